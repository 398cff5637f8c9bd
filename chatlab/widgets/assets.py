"""JavaScript and CSS of the views, as anywidget expects them."""

from __future__ import annotations

import re
from pathlib import Path

STATIC = Path(__file__).parent / "static"
_IMPORT = re.compile(r'^import \{(?P<names>[^}]*)\} from "\./(?P<file>\w+)\.js";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:const|class|(?:async )?function) (?P<name>\w+))", re.MULTILINE)


def module(name: str) -> str:
    """Return a view's source as one ES module: its imports come first, each file in a scope of its own.

    anywidget loads a module from a blob URL, and `./feed.js` can't be resolved from there.
    """
    neighbours: dict[str, str] = {}
    main = _joined(Path(name).stem, neighbours)
    scopes = (f"const {_scope(file)} = (() => {{\n{source}}})();\n" for file, source in neighbours.items())
    return "".join(scopes) + main


def _joined(file: str, neighbours: dict[str, str]) -> str:
    """Return a file's source with its imports read from scopes; add the scopes to `neighbours` in order."""

    def taken(match: re.Match[str]) -> str:
        neighbour = match["file"]
        if neighbour not in neighbours:
            source = _joined(neighbour, neighbours)
            names = ", ".join(export["name"] for export in _EXPORT.finditer(source))
            neighbours[neighbour] = f"{_EXPORT.sub('', source)}\nreturn {{ {names} }};\n"
        return f"const {{{match['names']}}} = {_scope(neighbour)};"

    return _IMPORT.sub(taken, (STATIC / f"{file}.js").read_text("utf-8"))


def _scope(file: str) -> str:
    return f"_{file}"


def stylesheet() -> str:
    """Return the CSS of all views."""
    return (STATIC / "chatlab.css").read_text("utf-8")
