"""Text made safe to show on a terminal, in a log or in a transcript."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

_SURROGATE = re.compile("[\ud800-\udfff]")
_C0 = "NUL SOH STX ETX EOT ENQ ACK BEL BS HT LF VT FF CR SO SI DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC"
_ABBREVIATIONS = {
    **dict(enumerate(f"{_C0} FS GS RS US".split())),
    **dict(enumerate(("LRE", "RLE", "PDF", "LRO", "RLO"), 0x202A)),
    **dict(enumerate(("LRI", "RLI", "FSI", "PDI"), 0x2066)),
    0x7F: "DEL",
    0x200B: "ZWSP",
    0x2028: "LS",
    0x2029: "PS",
    0x2060: "WJ",
    0xFEFF: "BOM",
    **{code: f"U+{code:04X}" for code in (*range(0x80, 0xA0), *range(0x2061, 0x2065))},
}
_SYMBOLS = {code: f"\u27e8{name}\u27e9" for code, name in _ABBREVIATIONS.items() if name != "LF"}
_LINE_END = "\u21b5"


def without_surrogates(text: str) -> str:
    """Return the text with U+FFFD for each lone surrogate, so that it can be encoded."""
    return str(text) if text.isascii() else _SURROGATE.sub("\ufffd", text)


def visible(text: str) -> str:
    """Return the text with symbols for control, invisible and reordering characters; line feeds stay."""
    return without_surrogates(text.replace("\r\n", "\n").translate(_SYMBOLS))


def visible_line(text: str) -> str:
    """Return the text like `visible` on one line, so that it can't forge a line of a transcript."""
    return visible(text).replace("\n", _LINE_END)


def cut(text: str, max_length: int) -> str:
    """Return the text; if longer than `max_length` characters, cut to that length with an ellipsis at the
    end."""
    return text if len(text) <= max_length else f"{text[: max_length - 1]}…"


QUOTED = 100
"""Maximum characters of a wrong value that an error quotes."""


def quoted(value: object) -> str:
    """Return a wrong value as an error quotes it."""
    return cut(repr(value), QUOTED)


LONGEST_NAME = 40
"""Characters of the longest name that is shown in full."""


def short_name(name: str) -> str:
    """Return a name to show in a line: visible, and cut if it is very long."""
    return cut(visible_line(name[: 2 * LONGEST_NAME]), LONGEST_NAME)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint in parentheses at the known name that is most like `name`; empty if none is."""
    close = get_close_matches(name[:QUOTED], known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def unknown_name(name: object, known: Iterable[str], what: str = "") -> str:
    """Return the text of an error for a name that isn't a known one, with a hint and the known names.

    `what` is the kind of thing that has such names.
    """
    known = list(known)
    given = f"{what} {quoted(name)}".lstrip()
    return f"there is no {given}{did_you_mean(str(name), known)}; choose one of {', '.join(known)}"
