"""Values in a form that the comm can carry, and times of day."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from chatlab.text import without_surrogates


def encodable(value: object) -> str | int | float | bool | None:
    """Return the value as a comm can carry it: without lone surrogates, NaN and infinity.

    Errors: `TypeError` if it is neither text, a number, a bool nor None.
    """
    if isinstance(value, str):
        return without_surrogates(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, int):
        return value
    raise TypeError(f"a view shows text, numbers, bools and None, not {type(value).__name__}")


def encodable_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields with values that can be encoded."""
    return {name: encodable(value) for name, value in fields.items()}


def moment(at: float) -> str:
    """Return milliseconds since 1970 as UTC date and time."""
    try:
        return f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M:%S}"
    except (OverflowError, ValueError, OSError):
        return "---------- --:--:--"


def clock(at: float) -> str:
    """Return milliseconds since 1970 as UTC time of day."""
    try:
        return f"{datetime.fromtimestamp(at / 1000, UTC):%H:%M:%S}"
    except (OverflowError, ValueError, OSError):
        return "--:--:--"
