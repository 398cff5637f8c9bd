"""Bounds of metrics, such as `attempts_per_second_max<=2000`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from math import inf, isfinite
from typing import Literal

from msgspec import Struct

from chatlab.errors import SettingsError
from chatlab.experiment.metrics import Value

_BOUND = re.compile(r"\s*(\w+)\s*(<=|>=|≤|≥|<|>|==?)\s*(\S+)\s*")
_SIGNS: Mapping[str, Literal["<=", ">="]] = {"<=": "<=", "≤": "<=", ">=": ">=", "≥": ">="}
HIGHER_IS_BETTER = frozenset({"sent", "acked", "delivered", "time_connected"})
"""Metrics of which more is better; of all others it is less."""


class Bound(Struct, frozen=True):
    """A metric that must be at most, or at least, a number."""

    metric: str
    sign: Literal["<=", ">="]
    limit: float

    def is_kept(self, value: float) -> bool:
        """Return whether a value of the metric keeps the bound. An infinite time is above every limit."""
        return value <= self.limit if self.sign == "<=" else value >= self.limit

    def __str__(self) -> str:
        return f"{self.metric} {self.sign.replace('<=', '≤').replace('>=', '≥')} {self.limit:,g}"


def read_bound(text: str) -> Bound:
    """Return the bound of a text such as `recovery_p99<=30`.

    Errors: `SettingsError`.
    """
    example = "such as attempts_per_second_max<=2000"
    match = _BOUND.fullmatch(text)
    if match is None:
        raise SettingsError(f"keep: give a metric, <= or >=, and a number, {example}; got {text!r}")
    metric, sign, number = match.groups()
    if sign not in _SIGNS:
        raise SettingsError(f"keep: give <= or >= in {text!r}, {example}")
    try:
        limit = float(number.replace("_", "").replace(",", ""))
    except ValueError:
        limit = inf
    if not isfinite(limit):
        raise SettingsError(f"keep: {number!r} is not a number; give one, {example}")
    return Bound(metric, _SIGNS[sign], limit)


def read_bounds(keep: str | Bound | Iterable[str | Bound]) -> list[Bound]:
    """Return one bound or several. Errors: `SettingsError`."""
    given = [keep] if isinstance(keep, str | Bound) else list(keep)
    return [bound if isinstance(bound, Bound) else read_bound(bound) for bound in given]


def numbers_of(metric: str, runs: Sequence[Mapping[str, Value]]) -> list[float]:
    """Return a metric of each run.

    Errors: `SettingsError` if it has no value in one of them.
    """
    values = [run[metric] for run in runs]
    if any(value is None for value in values):
        raise SettingsError(
            f"{metric} has no value in this scenario{_WHY.get(metric.split('_')[0], '')}; take another"
        )
    return [float(value) for value in values if value is not None]


_WHY = {
    "latency": ", as no message is due",
    "recovery": ", as no fault breaks a connection",
    "last": ", as nobody comes back",
    "attempts": ", as no fault begins",
    "queue": ", as no fault begins",
}
