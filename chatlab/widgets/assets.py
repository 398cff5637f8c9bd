"""The views' JavaScript and CSS, ready for anywidget."""

from __future__ import annotations

import re
from pathlib import Path

STATIC = Path(__file__).parent / "static"
_IMPORT = re.compile(r'^import \{(?P<names>[^}]*)\} from "\./(?P<file>[\w.]+)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=const |class |(?:async )?function )", re.MULTILINE)


def module(name: str) -> str:
    """A view's source as one ES module: what it imports from a neighbour is put in, in a scope of its own.

    A widget's module is loaded from a blob, from which `./feed.js` leads nowhere.
    """

    def inlined(match: re.Match[str]) -> str:
        neighbour = _EXPORT.sub("", (STATIC / match["file"]).read_text("utf-8"))
        return f"const {{{match['names']}}} = (() => {{\n{neighbour}\nreturn {{{match['names']}}};\n}})();"

    return _IMPORT.sub(inlined, (STATIC / name).read_text("utf-8"))


def stylesheet() -> str:
    """The CSS of all views."""
    return (STATIC / "chatlab.css").read_text("utf-8")
