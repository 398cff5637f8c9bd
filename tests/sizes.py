"""The tier of a run, and how much a test does in it that can do more or less.

`CHATLAB_TIER` names the tier: `check`, `test` (where nothing is said) or `proof`. Only `proof` takes the full
sizes, and only `proof` runs what is marked `proof`. A number in a decorator becomes `examples(400)`, since
Hypothesis prefers an explicit number to its profile.
"""

import os
from collections.abc import Iterable
from typing import Final

import pytest

TIERS: Final = ("check", "test", "proof")
TIER: Final = os.environ.get("CHATLAB_TIER") or "test"
if TIER not in TIERS:
    raise ValueError(f"CHATLAB_TIER must be one of {', '.join(TIERS)}, not {TIER!r}")

FULL: Final = TIER == "proof"


def examples(full: int) -> int:
    """Return the number of Hypothesis' examples, of which there are `full` in `proof`."""
    return full if FULL else max(full // 8, 10)


def times(full: int) -> int:
    """Return the number of repetitions of something slow, of which there are `full` in `proof`."""
    return full if FULL else max(full // 10, 1)


def rows(values: Iterable[object], *kept: object) -> list[object]:
    """Return the values of a matrix's axis, of which only `kept` are tried outside of `proof`."""
    return [value if value in kept else pytest.param(value, marks=pytest.mark.proof) for value in values]
