"""The language rules that can be counted: `python -m tests.style` reports each breach with file and line.

- A docstring begins with a verb in the imperative or with a noun, not with a word of `STARTS`.
- Parameters are named: "after `count` seconds", not "so" and "many" in a row, in any text file.
- Markdown lines have at most `WIDTH` characters, outside tables, code and tables of benchmarks.
- A relative link in Markdown leads to a file.

Errors: exit code 1 if there is a breach, or if a folder of `UNREAD` has none.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
WIDTH = 140
"""Characters in a line of Markdown."""
STARTS = frozenset(
    ["Be", "Have", "Let", "That", "Want", "What", "Whatever", "When", "Where", "Who", "Whoever"]
)
"""Words that begin no docstring."""
GIVEN = ("docs/reference",)
"""Folders with documents that are kept as they were given."""
UNREAD: tuple[str, ...] = ()
"""Folders and files that break the rules still. One that doesn't any more has to leave this list."""

_PAIR = re.compile(r"\bso(\s+(?:#\s+)?|\\n\",\s*\")many\b", re.IGNORECASE)
_MARK = re.compile(r"<!-- ([\w ]+) -->$")
_FENCE = re.compile(r"\s*(`{3,})")
_LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")
_INLINE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)")
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class Breach(NamedTuple):
    """A line that breaks a rule; `file` is relative to the repository."""

    file: str
    line: int
    message: str


def docstrings(tree: ast.AST) -> Iterator[ast.Constant]:
    """Yield the docstrings of a module, its classes and functions, and those below assignments."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        documented = [body[0]] if body and isinstance(node, _DOCUMENTED) else []
        documented += [
            below for above, below in pairwise(body) if isinstance(above, ast.Assign | ast.AnnAssign)
        ]
        for statement in documented:
            value = getattr(statement, "value", None)
            if (
                isinstance(statement, ast.Expr)
                and isinstance(value, ast.Constant)
                and isinstance(value.value, str)
            ):
                yield value


def docstring_starts(text: str) -> Iterator[tuple[int, str]]:
    """Yield line and message of each docstring in Python source that begins with a word of `STARTS`."""
    for docstring in docstrings(ast.parse(text)):
        word = re.match(r"\s*(\w+)", str(docstring.value))
        if word and word[1] in STARTS:
            yield docstring.lineno, f"a docstring begins with {word[1]!r}: use a verb or a noun"


def unnamed_numbers(text: str) -> Iterator[tuple[int, str]]:
    """Yield line and message of each number that has two vague words in place of a name."""
    for found in _PAIR.finditer(text):
        yield (
            text.count("\n", 0, found.start()) + 1,
            f"name the number, instead of {' '.join(found[0].split())!r}",
        )


def prose(text: str) -> Iterator[tuple[int, str]]:
    """Yield the numbered lines of Markdown outside code and parts that programs write."""
    fence = mark = ""
    for number, line in enumerate(text.splitlines(), 1):
        if opening := _FENCE.match(line):
            if not fence:
                fence = opening[1]
            elif line.strip() == fence:
                fence = ""
        elif fence:
            continue
        elif named := _MARK.match(line):
            mark = "" if mark == named[1] else named[1]
        elif not mark:
            yield number, line


def long_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield line and message of each line of Markdown that is too long; rows of tables may be."""
    for number, line in prose(text):
        if len(line) > WIDTH and not line.lstrip().startswith("|"):
            yield number, f"{len(line)} characters: one sentence a line, and at most {WIDTH} characters"


def dead_links(text: str, folder: Path) -> Iterator[tuple[int, str]]:
    """Yield line and message of each relative link in Markdown to a file that isn't there."""
    for number, line in prose(text):
        for found in _LINK.finditer(_INLINE.sub("", line)):
            target = found[1] or found[2]
            name = target.partition("#")[0]
            if name and not re.match(r"[a-z]+:", target) and not (folder / name).exists():
                yield number, f"no file {name!r}"


def breaches(names: Iterable[str], root: Path = ROOT) -> Iterator[Breach]:
    """Yield the breaches in files below `root`; what isn't text is passed over."""
    for name in names:
        path = root / name
        if _within(name, GIVEN) or not path.is_file():
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found = [*unnamed_numbers(text)]
        if path.suffix == ".py":
            found += docstring_starts(text)
        if path.suffix == ".md":
            found += dead_links(text, path.parent)
            found += long_lines(text)
        yield from (Breach(name, *breach) for breach in found)


def judge(found: Iterable[Breach], unread: Iterable[str] = UNREAD) -> list[str]:
    """Return the lines of the report: breaches in folders that were read, and clean folders in `unread`."""
    kept = list(found)
    reported = [f"{file}:{line}: {message}" for file, line, message in kept if not _within(file, unread)]
    clean = [folder for folder in unread if not any(_within(breach.file, (folder,)) for breach in kept)]
    return [*reported, *(f"{folder} keeps the rules: take it out of UNREAD" for folder in clean)]


def _within(file: str, folders: Iterable[str]) -> bool:
    return any(file == folder or file.startswith(f"{folder}/") for folder in folders)


def tracked() -> list[str]:
    """Return the repository's files, with new ones that git doesn't ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return [name for name in listing.split("\0") if name]


def main() -> int:
    """Report all breaches; return 1 if there is one."""
    report = judge(breaches(tracked()))
    sys.stdout.write("".join(f"{line}\n" for line in report))
    return bool(report)


if __name__ == "__main__":
    raise SystemExit(main())
