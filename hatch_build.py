"""Make the package's long description: the README, with links and pictures that lead to the repository."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

RELEASE = re.compile(r"\d+\.\d+\.\d+")
RELATIVE = re.compile(r"(!?)(\[(?:[^\[\]]|!\[[^\]]*\]\([^)]*\))*\])\((?!https?://|mailto:|#)([^)\s]+)\)")
"""A Markdown link or picture with a path inside the repository."""


def absolute(page: str, home: str, version: str) -> str:
    """Return the page with links into the repository at `home`, at the release's tag or at the newest commit.

    Files are at `blob/` and pictures at `raw/` below the address, as on GitHub and GitLab.
    """
    reference = f"v{version}" if RELEASE.fullmatch(version) else "HEAD"
    home = home.removesuffix("/").removesuffix(".git")

    def link(found: re.Match[str]) -> str:
        picture, words, path = found.groups()
        return f"{picture}{words}({home}/{'raw' if picture else 'blob'}/{reference}/{path})"

    return RELATIVE.sub(link, page)


class Readme(MetadataHookInterface):
    """Set the field `readme`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the field from README.md, the repository's address and the version."""
        page = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        text = absolute(page, metadata["urls"]["Repository"], metadata["version"])
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
