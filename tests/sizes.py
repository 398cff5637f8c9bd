"""The tier of a run, and the sizes of tests in it.

`CHATLAB_TIER` names the tier: `check`, `test` (the default) or `proof`. Only `proof` uses the full sizes, and
runs tests that are marked `proof`. Write `examples(400)` for a number in a decorator, since Hypothesis
prefers an explicit number to its profile.
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
    """Return the number of Hypothesis' examples: `full` in `proof`, fewer otherwise."""
    return full if FULL else max(full // 8, 10)


def times(full: int) -> int:
    """Return the number of repetitions of something slow: `full` in `proof`, fewer otherwise."""
    return full if FULL else max(full // 10, 1)


def steps(full: int) -> int:
    """Return the step of a range of moments: `full` in `proof`, three times as large otherwise."""
    return full if FULL else full * 3


def rows(values: Iterable[object], *kept: object) -> list[object]:
    """Return the values of a test matrix's axis: all in `proof`, otherwise only those `kept`."""
    return [value if value in kept else pytest.param(value, marks=pytest.mark.proof) for value in values]
