"""Numbers as people write them: `10`, "10 s", "10,5", "1/3", "50 %", "twice", "at least 8 s"."""

from __future__ import annotations

import re
from fractions import Fraction
from math import isfinite
from unicodedata import normalize

from chatlab.text import cut, visible_line

_SECONDS = {
    "ms": 0.001,
    "millisecond": 0.001,
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "min": 60.0,
    "minute": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
}
"""Units of time in seconds."""
_PER_CENT = ("%", "percent", "per cent")
_RATE = re.compile(
    r"(?P<what>.*?)\s*(?:/|\bper\b|\bevery\b|\beach\b|\ban?\b)\s*(?P<count>\d+(?:\.\d+)?)?\s*(?P<time>[^\W\d]+)"
)
"""A unit such as "messages a second", "messages per minute", "every 3 s" or "/s"."""
_SIGNS = str.maketrans({"−": "-", "⁄": "/"})
_SHOWN = 40
"""Maximum characters of a value that an error quotes."""
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?", re.ASCII | re.IGNORECASE)
_THOUSANDS = re.compile(r"(?<![\d.,])([-+]?[1-9]\d{0,2}(?:[,_' ]\d{3})+)(?![\d,])", re.ASCII)
_TEXT = re.compile(
    r"(?:about |at least |circa |ca\. |~|≈|≥|>=|=)?\s*([^a-z%]*(?:e[-+]?\d+)?)\s*(.*)",
    re.ASCII | re.IGNORECASE | re.DOTALL,
)
_TO_TEN = "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"
_WORDS = {
    "none": "0",
    "zero": "0",
    "once": "1 times",
    "twice": "2 times",
    "thrice": "3 times",
    "eleven": "11",
    "twelve": "12",
    **{word: str(number) for number, word in enumerate(_TO_TEN, 1)},
}
"""Numbers in words, in digits."""
_IN_WORDS = re.compile(rf"\b(?:{'|'.join(_WORDS)})\b", re.IGNORECASE)


class NotANumber(ValueError):
    """A value that isn't one finite number in the wanted unit; the message says why, as a sentence."""


def read_number(given: object, unit: str = "") -> float:
    """Return the number that a person wrote, in `unit`, such as "seconds", "milliseconds" or "messages".

    A text may have a decimal comma, thousands separators, a fraction, a per cent sign and a unit. It may be a
    word up to "twelve", or "once", "twice", "thrice". A list of one number counts as that number.

    Errors: `NotANumber`.
    """
    if isinstance(given, list | tuple) and len(given) == 1:
        given = given[0]
    try:
        number = _read_text(given, unit) if isinstance(given, str) else _convert(given)
    except NotANumber:
        raise
    except Exception:  # A foreign type may raise anything.
        raise NotANumber(
            f"{quote_given(given)} isn't a number. Write one number, for example `10`."
        ) from None
    if not isfinite(number):
        raise NotANumber(f"{quote_given(given)} isn't a finite number.")
    return number


def _convert(given: object) -> float:
    if given is None or isinstance(given, bool | bytes | complex) or not hasattr(given, "__float__"):
        kind = "a list" if isinstance(given, list | tuple | set) else f"of the type {type(given).__name__}"
        raise NotANumber(f"{quote_given(given)} is {kind}. Write one number, for example `10`.")
    return float(given)


def _read_text(given: str, unit: str) -> float:
    plain = normalize("NFKC", given).strip().translate(_SIGNS)
    plain = _IN_WORDS.sub(lambda found: _WORDS[found[0].lower()], plain, count=1)
    text = _THOUSANDS.sub(lambda found: re.sub(r"[^\d+-]", "", found[1]), plain)
    parts = _TEXT.fullmatch(text)
    if parts is None or not parts[1].strip():
        raise NotANumber(f"{quote_given(given)} isn't a number alone. Write digits only, for example `10`.")
    digits, written = parts[1].strip(), parts[2].strip().rstrip(".").lower()
    if digits.endswith("/") and written:  # "0.5/s"
        digits, written = digits[:-1].rstrip(), f"/{written}"
    number = _read_digits(given, re.sub(r",(?=\d)", ".", digits))
    return number * _factor(given, written, unit)


def _read_digits(given: str, digits: str) -> float:
    above, slash, below = digits.partition("/")
    if not all(_NUMBER.fullmatch(part.strip()) for part in ((above, below) if slash else (above,))):
        raise NotANumber(f"{quote_given(given)} isn't one number. Write, for example, `10`, `2.5` or `1/3`.")
    if not slash:
        return float(above)
    if not float(below):
        raise NotANumber(f"{quote_given(given)} divides by zero.")
    return float(Fraction(above.strip()) / Fraction(below.strip()))


def _factor(given: str, written: str, unit: str) -> float:
    """Return the factor from the unit that was written to the wanted one."""
    if written in ("", unit, singular(unit)) or (written == "times" and _counts(unit)):
        return 1.0
    if rate := _rate_factor(written, unit):
        return rate
    if written in _PER_CENT:
        if unit and unit not in _PER_CENT:
            raise NotANumber(f"{quote_given(given)} is a share. Write the number of {unit}.")
        return 1.0 if unit else 0.01
    factor, wanted = _SECONDS.get(singular(written)), _SECONDS.get(singular(unit))
    if factor is None or wanted is None:
        wish = f"Write the number of {unit}." if unit else "Write the number alone."
        raise NotANumber(
            f"{quote_given(given)} ends in {quote_given(written)}, which isn't known here. {wish}"
        )
    return factor / wanted


def _counts(unit: str) -> bool:
    """Return whether a unit is of things that are counted, such as "messages", or empty."""
    return singular(unit) not in _SECONDS and unit not in _PER_CENT and not _RATE.fullmatch(unit)


def _rate_factor(written: str, unit: str) -> float | None:
    """Return the factor from the rate that was written to the wanted one; None if one isn't a rate."""
    rate, wanted = _RATE.fullmatch(written), _RATE.fullmatch(unit)
    if not rate or not wanted or rate["what"] not in ("", wanted["what"], singular(wanted["what"])):
        return None
    seconds, per = _SECONDS.get(singular(rate["time"])), _SECONDS.get(singular(wanted["time"]))
    seconds = (seconds or 0.0) * float(rate["count"] or 1)
    return per / seconds if seconds and per else None


def singular(unit: str) -> str:
    """Return the name of one of a unit: "second" of "seconds"."""
    return unit[:-1] if len(unit) > 2 and unit.endswith("s") else unit


def quote_given(given: object) -> str:
    """Return a value of any type as feedback quotes it: printable, on one line, and cut."""
    try:
        return cut(visible_line(repr(given)), _SHOWN)
    except Exception:
        return f"A value of the type {type(given).__name__}"
