"""Bounds of metrics, such as `attempts_per_second_max<=2000`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from math import inf, isfinite, nan
from typing import Literal

from msgspec import Struct

from chatlab.errors import SettingsError
from chatlab.experiment.percentiles import Value

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
    """Return a metric of each run; NaN if it has no value, which keeps no bound."""
    values = [run[metric] for run in runs]
    return [nan if value is None else float(value) for value in values]


def check_has_values(metric: str, runs: Iterable[Mapping[str, Value]]) -> None:
    """Check that a metric has a value in a run. Errors: `SettingsError`."""
    if all(run[metric] is None for run in runs):
        raise SettingsError(
            f"{metric} has no value in this scenario{_WHY.get(metric.split('_')[0], '')}; take another"
        )


_WHY = {
    "latency": ", as no message is due",
    "recovery": ", as no fault breaks a connection",
    "last": ", as nobody comes back",
    "attempts": ", as no fault begins",
    "queue": ", as no fault begins",
}
