"""README's badges, made from the latest release and `pyproject.toml`, which has the repository's address.

python -m tests.docs.badges --write
"""

from __future__ import annotations

import re
import sys
import tomllib
from urllib.parse import quote

from tests.docs.blocks import ROOT

PAGE = ROOT / "README.md"
WRITE = "python -m tests.docs.badges --write"
MARK = "<!-- badges -->"

BADGES = {
    "JupyterLab": ("https://mybinder.org/badge_logo.svg", "lab/tree/notebooks/00_start.ipynb"),
    "Voilà": (
        "https://img.shields.io/badge/launch-Voil%C3%A0-579aca",
        "voila/render/notebooks/pages/start.ipynb",
    ),
}
"""The picture of each badge, and the path of its page on the server that Binder starts."""

UNNAMED = "https://github.com/OWNER/chatlab"
"""The address in `pyproject.toml` before the repository is published."""

NOT_YET = (
    "*(They lead there as soon as the repository is published: "
    "[one line](docs/releasing.md#the-repositorys-address) says where.)*"
)


RELEASE = re.compile(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d$", re.MULTILINE)
"""A release's heading in the changelog."""


def address() -> str:
    """Return the repository's address, which stands only in `pyproject.toml`."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found: str = tomllib.loads(text)["project"]["urls"]["Repository"]
    return found


def released() -> str:
    """Return the version of the latest release in the changelog."""
    latest: str = RELEASE.findall((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))[0]
    return latest


def badges(home: str, version: str) -> str:
    """Return the badges of a repository, which launch the tag of a version."""
    launch = (
        f"https://mybinder.org/v2/{_source(home.removesuffix('/').removesuffix('.git'))}/v{version}?urlpath="
    )
    lines = [
        f"[![Open it in {name} on Binder]({picture})]({launch}{quote(page, safe='')})"
        for name, (picture, page) in BADGES.items()
    ]
    return "\n".join(lines + [NOT_YET] * (home == UNNAMED))


def _source(home: str) -> str:
    """Return a repository's address as Binder spells it."""
    host, _, name = home.removeprefix("https://").partition("/")
    return f"gh/{name}" if host == "github.com" else f"git/{quote(home, safe='')}"


def with_badges(page: str) -> str:
    """Return the page with current badges."""
    before, _, rest = page.partition(MARK)
    _, _, after = rest.partition(MARK)
    return f"{before}{MARK}\n{badges(address(), released())}\n{MARK}{after}"


if __name__ == "__main__":
    text = with_badges(PAGE.read_text(encoding="utf-8"))
    if "--write" in sys.argv[1:]:
        PAGE.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
