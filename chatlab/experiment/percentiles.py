"""Percentiles with infinite values, and how metrics are written and read.

A percentile that nobody has reached by the end of a run is infinite.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from types import MappingProxyType

import numpy as np

from chatlab.experiment.column_recorder import Column

Value = int | float | None
"""A metric: a count, seconds or a rate; None if there is nothing to measure, inf for times without an end."""

NEVER: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"latency": ("undelivered", "owed"), "recovery": ("unrecovered", "broken")}
)
"""For each kind of percentile: the counts of values that are infinite, and of all values."""


def percentile(values: Column, q: float, never: int = 0) -> float:
    """Return a percentile, interpolated linearly, of sorted values and `never` infinite ones."""
    rank = (len(values) + never - 1) * q / 100
    below, above = (float(values[at]) if at < len(values) else inf for at in (int(rank), int(np.ceil(rank))))
    return below if below == above else below + (rank - int(rank)) * (above - below)


def percentiles(name: str, values: Column, never: int, of: Sequence[int]) -> Mapping[str, Value]:
    """Return percentiles `of` the values and `never` infinite ones, by names such as "latency_p50"; None:
    there are no values."""
    values = np.sort(values)
    known = len(values) + never
    return {f"{name}_p{q}": percentile(values, q, never) if known else None for q in of}


def read_infinite(metrics: Mapping[str, Value]) -> dict[str, Value]:
    """Return metrics that were read from JSON, which has null for inf."""
    return {
        name: inf if value is None and metrics.get(_counts(name)[0]) else value
        for name, value in metrics.items()
    }


def describe_never(name: str, metrics: Mapping[str, Value]) -> str:
    """Return the words for an infinite metric, with the share of infinite values, such as "never (12 %)"."""
    never, known = (metrics.get(count) or 0 for count in _counts(name))
    return f"never ({describe_share(never / known)})" if known else "never"


def describe_share(share: float) -> str:
    """Return a share as a percentage, such as "12 %"."""
    return f"{100 * share:.2g} %" if share < 0.995 else "100 %"


def _counts(name: str) -> tuple[str, str]:
    return NEVER.get(name.split("_")[0], ("", ""))
