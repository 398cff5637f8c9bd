"""Text that the comm can carry, and text that can't deceive who reads a transcript."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

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


def encodable(value: object) -> str | int | float | bool | None:
    """The value as a comm can carry it: without halves of surrogate pairs, NaN and infinity.

    Errors: `TypeError` when it is neither text, a number, a bool nor None.
    """
    if isinstance(value, str):
        return str(value) if value.isascii() else _SURROGATE.sub("\ufffd", value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, int):
        return value
    raise TypeError(f"a view shows text, numbers, bools and None, not {type(value).__name__}")


def visible(text: str) -> str:
    """The text with control characters and what hides or reorders text made visible; line feeds stay."""
    return _SURROGATE.sub("\ufffd", text.replace("\r\n", "\n").translate(_SYMBOLS))


def visible_line(text: str) -> str:
    """The same on one line, so that no line of a transcript can be forged."""
    return visible(text).replace("\n", _LINE_END)


def clock(at: float) -> str:
    """Milliseconds since 1970 as UTC time of day."""
    try:
        return f"{datetime.fromtimestamp(at / 1000, UTC):%H:%M:%S}"
    except (OverflowError, ValueError, OSError):
        return "--:--:--"
