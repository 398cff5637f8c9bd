"""The code blocks of README and docs, and how each kind is run."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_FENCE = re.compile(r"^(`{3,})(\S*)[^\n]*\n(.*?)^\1\s*$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A code block, with its language and the line on which it begins."""

    language: str
    text: str
    line: int


def blocks(page: str) -> list[Block]:
    """Return a page's code blocks."""
    return [
        Block(match[2], match[3], page.count("\n", 0, match.start()) + 1) for match in _FENCE.finditer(page)
    ]


def without_blocks(page: str) -> str:
    """Return a page's text without its code."""
    return _FENCE.sub("", page)


def run_python(block: Block, names: dict[str, Any], filename: str) -> None:
    """Run a block in a namespace, as a notebook's cell: `await` may stand outside of functions."""
    code = compiled("\n" * block.line + block.text, filename)
    if code.co_flags & inspect.CO_COROUTINE:
        asyncio.run(eval(code, names))
    else:
        exec(code, names)


def compiled(source: str | ast.Module | ast.Expression, filename: str) -> CodeType:
    """Return a cell's code; it makes a coroutine if an `await` stands outside of its functions."""
    mode = "eval" if isinstance(source, ast.Expression) else "exec"
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code: CodeType = compile(source, filename, mode, flags=flags, dont_inherit=True)
    return code


def commands(block: Block) -> Iterator[list[str]]:
    """Yield the words of each command of a shell block, without comments and without pipes into it."""
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line.rpartition(" | ")[2], comments=True)
        if words:
            yield words
