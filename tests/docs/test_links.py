"""Links of README, docs and notebooks lead somewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.docs.blocks import PAGES, ROOT, without_blocks

NOTEBOOKS = sorted((ROOT / "notebooks").glob("**/[!.]*.ipynb"))
OTHERS = [ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "bench/README.md")]
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")
NAMED = re.compile(r"`((?:chatlab|docs|notebooks|bench|tests|binder)/[a-z\d_./-]*\w\.\w+)`")
ANCHOR = re.compile(r"<a id=\"([^\"]+)\">")


def text_of(path: Path) -> str:
    """Return a page's prose, or that of a notebook."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return without_blocks(text)


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page: its own, and those that code hosts, or Jupyter, make of headings."""
    text = text_of(path)
    found = set(ANCHOR.findall(text))
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        if path.suffix == ".ipynb":
            found.add(heading.replace(" ", "-"))
            continue
        bare = re.sub(r"[^\w\- ]", "", heading.lower())
        found.add(bare.strip().replace(" ", "-"))
    return found


def broken(path: Path) -> list[str]:
    """Return the dead links of a page, and the names of files that don't exist."""
    text = text_of(path)
    lost = []
    for match in LINK.finditer(text):
        target = match[1] or match[2]
        if re.match(r"https?:|mailto:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name) if name else path
        if not file.exists() or (anchor and anchor not in anchors(file)):
            lost.append(target)
    return lost + [name for name in NAMED.findall(text) if not (ROOT / name).exists()]


@pytest.mark.parametrize(
    "path", [*PAGES, *OTHERS, *NOTEBOOKS], ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_its_links_lead_somewhere(path: Path) -> None:
    assert broken(path) == []


def test_a_broken_link_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text('# A heading, `with` code\n<a id="here"></a>\n', encoding="utf-8")
    page = tmp_path / "a.md"
    page.write_text(
        "[1](b.md) [2](b.md#a-heading-with-code) [3](b.md#here) [4](https://x.example) ![5](c.png)\n"
        "[6](b.md#there) [7](d.md) `chatlab/none.py` `chatlab/lab.py`\n```\n[8](e.md)\n```\n"
        "[9](f.ipynb#A-heading) [10](f.ipynb#a-heading)\n",
        encoding="utf-8",
    )
    cell = {"cell_type": "markdown", "source": ["# A heading\n"]}
    (tmp_path / "f.ipynb").write_text(json.dumps({"cells": [cell]}), encoding="utf-8")
    assert broken(page) == ["c.png", "b.md#there", "d.md", "f.ipynb#a-heading", "chatlab/none.py"]


def test_the_readme_lists_every_notebook() -> None:
    text = text_of(ROOT / "README.md")
    names = [path.relative_to(ROOT).as_posix() for path in NOTEBOOKS if path.parent.name != "pages"]
    assert [name for name in names if f"({name})" not in text] == []
