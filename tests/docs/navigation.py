"""The links among notebooks, made from README's table.

python -m tests.docs.navigation --write
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tests.docs.blocks import ROOT

FOLDER = ROOT / "notebooks"
ROW = re.compile(r"^\| \[([^\]]+)\]\(notebooks/(\w+\.ipynb)\) \| (.+) \|$", re.MULTILINE)
CONTENTS = "## All notebooks"
NEIGHBOURS = re.compile(r"^\*\*(?:Previous|Next)\*\*: ")
WRITE = "python -m tests.docs.navigation --write"


class Entry(NamedTuple):
    """A row of README's table."""

    title: str
    name: str
    question: str

    @property
    def link(self) -> str:
        return f"[{self.title}]({self.name})"


def entries() -> list[Entry]:
    """Return the notebooks in README's order."""
    return [Entry(*row) for row in ROW.findall((ROOT / "README.md").read_text(encoding="utf-8"))]


def neighbours(number: int, among: list[Entry]) -> str:
    """Return the text of the last cell of a notebook."""
    links = []
    if number:
        links.append(f"**Previous**: {among[number - 1].link}")
    if number + 1 < len(among):
        links.append(f"**Next**: {among[number + 1].link}")
    return " · ".join([*links, f"[All notebooks]({among[0].name}#All-notebooks)"])


def contents(among: list[Entry]) -> str:
    """Return the text of the table of contents."""
    rows = (f"| {entry.link} | {entry.question} |" for entry in among)
    return "\n".join([CONTENTS, "", "| notebook | question |", "|---|---|", *rows])


def with_links(notebook: dict[str, Any], number: int, among: list[Entry]) -> dict[str, Any]:
    """Return the notebook with its last cells made anew."""
    cells = [cell for cell in notebook["cells"] if not is_navigation("".join(cell["source"]))]
    texts = [*([] if number else [contents(among)]), neighbours(number, among)]
    made = [
        {
            "cell_type": "markdown",
            "id": f"cell-{len(cells) + place:02}",
            "metadata": {},
            "source": text.splitlines(keepends=True),
        }
        for place, text in enumerate(texts)
    ]
    return {**notebook, "cells": cells + made}


def is_navigation(text: str) -> bool:
    """Return whether a cell was made by this module."""
    return text.startswith(CONTENTS) or bool(NEIGHBOURS.match(text))


def page(path: Path, number: int, among: list[Entry]) -> str:
    """Return the content of a notebook's file, with links."""
    notebook = with_links(json.loads(path.read_text(encoding="utf-8")), number, among)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def pages() -> dict[Path, str]:
    """Return the content of each notebook's file, with links."""
    among = entries()
    return {
        FOLDER / entry.name: page(FOLDER / entry.name, number, among) for number, entry in enumerate(among)
    }


if __name__ == "__main__" and "--write" in sys.argv:
    for file, text in pages().items():
        file.write_text(text, encoding="utf-8")
