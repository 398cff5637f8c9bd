"""Makes README's badges from `pyproject.toml`, which names the repository's public home and the version.

python -m tests.docs.badges --write
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from tests.docs.blocks import ROOT

PAGE = ROOT / "README.md"
WRITE = "python -m tests.docs.badges --write"
MARK = "<!-- badges -->"

BADGES = {
    "JupyterLab": ("https://mybinder.org/badge_logo.svg", "lab/tree/notebooks/00_start.ipynb"),
    "Voilà": (
        "https://img.shields.io/badge/launch-Voil%C3%A0-579aca",
        "voila/render/notebooks/00_start.ipynb",
    ),
}
"""What each badge opens: its picture, and the page's path on the server that Binder starts."""

UNNAMED = "https://github.com/OWNER/chatlab"
"""What `pyproject.toml` says as long as nobody has published the repository."""

NOT_YET = (
    "*(They lead there as soon as the repository is published: "
    "[one line](docs/binder.md#publishing) says where.)*"
)


def project() -> dict[str, Any]:
    """Return what `pyproject.toml` says of the project."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found: dict[str, Any] = tomllib.loads(text)["project"]
    return found


def badges(project: Mapping[str, Any]) -> str:
    """Return the badges of a project, which launch the tag of its version."""
    home = project["urls"]["Repository"].removesuffix("/").removesuffix(".git")
    launch = f"https://mybinder.org/v2/{_source(home)}/v{project['version']}?urlpath="
    lines = [
        f"[![Open it in {name} on Binder]({picture})]({launch}{quote(page, safe='')})"
        for name, (picture, page) in BADGES.items()
    ]
    return "\n".join(lines + [NOT_YET] * (home == UNNAMED))


def _source(home: str) -> str:
    """Return how Binder spells a repository's address."""
    host, _, name = home.removeprefix("https://").partition("/")
    return f"gh/{name}" if host == "github.com" else f"git/{quote(home, safe='')}"


def with_badges(page: str) -> str:
    """Return the page with the badges of now."""
    before, _, rest = page.partition(MARK)
    _, _, after = rest.partition(MARK)
    return f"{before}{MARK}\n{badges(project())}\n{MARK}{after}"


if __name__ == "__main__":
    text = with_badges(PAGE.read_text(encoding="utf-8"))
    if "--write" in sys.argv[1:]:
        PAGE.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
