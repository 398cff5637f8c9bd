"""Search the values of a setting for the one at which bounds are just kept, or at which a metric is best.

A bound is kept at a value if it is kept with every seed. The search begins with a grid, and the scenario's
own value. If the bounds are kept on one side only, and their metrics go one way, the limit is found by
bisection. Otherwise, and if nothing keeps the bounds, the search is a finer grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, groupby, pairwise
from math import inf, isnan
from statistics import median
from typing import Any, Literal, NamedTuple

from chatlab.experiment.bounds import HIGHER_IS_BETTER, Bound, check_has_values, numbers_of
from chatlab.experiment.trials import Setting, Trials, grid, rounded

COARSE, FINE = 5, 33
"""Number of values of the first grid, and the most of the finer one."""
CLOSE = 0.01
"""The limit is known to this part of its value, or of the range."""


class Result(NamedTuple):
    """The end of a search.

    A *limit* has the last `value` that keeps the bounds, and the next one `beyond` it. *Islands* are several
    ranges that keep them. *Choices* are some of the choices, of which `value` is the first. If the bounds are
    kept *nowhere*, `beyond` is the closest value; if *everywhere*, there is no value, nor if the
    result is the *same* at all values.
    """

    kind: Literal["limit", "islands", "choices", "nowhere", "everywhere", "same", "best"]
    value: Any = None
    beyond: Any = None


class Search:
    """One search: its trials, bounds and the metric that is to be best."""

    def __init__(
        self, trials: Trials, bounds: Sequence[Bound], best: str | None, own: float | None = None
    ) -> None:
        self.trials, self.bounds, self.best = trials, bounds, best
        self.setting, self._own = trials.setting, own

    def search(self) -> Result:
        """Run trials until the value is found, or no more runs are allowed."""
        self.trials.run(self.first())
        for metric in [*(bound.metric for bound in self.bounds), *([self.best] if self.best else [])]:
            check_has_values(metric, chain.from_iterable(self.trials.done.values()))
        if self._is_same():
            return Result("same")
        if self.setting.choices is None and self.best is None:
            return self._limit()
        if self.setting.choices is None:
            self._look_closer()
        kept = self.kept()
        if not kept:
            return self._nowhere()
        return Result("choices", kept[0]) if self.best is None else Result("best", self._top(kept))

    def so_far(self) -> Result:
        """Return what the trials show until now, for a search that was interrupted."""
        kept = self.kept()
        if not kept:
            return self._nowhere()
        if self.best is not None:
            return Result("best", self._top(kept))
        if self.setting.choices is not None:
            return Result("choices", kept[0])
        changes = self._changes()
        if not changes:
            return Result("everywhere")
        if len(changes) == 1:
            low, high = changes[0]
            return Result("limit", low, high) if self.is_kept(low) else Result("limit", high, low)
        return Result("islands", max(self.spans(), key=lambda span: span[1] - span[0])[1])

    def first(self) -> list[Any]:
        """Return the values that are run first: the choices, or a grid and the scenario's own value."""
        if self.setting.choices is not None:
            return list(self.setting.choices)
        values = grid(self.setting, COARSE)
        is_inside = self._own is not None and self.setting.low <= self._own <= self.setting.high
        return [*values, self._own] if is_inside and self._own not in values else values

    def tried(self) -> list[Any]:
        """Return the values that were run, in order."""
        values = list(self.trials.done)
        return values if self.setting.choices is not None else sorted(values)

    def kept(self) -> list[Any]:
        """Return the values that keep all bounds."""
        return [value for value in self.tried() if self.is_kept(value)]

    def is_kept(self, value: Any) -> bool:
        """Return whether all bounds are kept at a value, with every seed."""
        return all(
            bound.is_kept(number) for bound in self.bounds for number in self.numbers(bound.metric, value)
        )

    def numbers(self, metric: str, value: Any) -> list[float]:
        """Return a metric with each seed; NaN if it has no value."""
        return numbers_of(metric, self.trials.done[value])

    def worst(self, value: Any) -> Bound:
        """Return the bound that is kept least at a value."""
        return max(self.bounds, key=lambda bound: _excess(bound, self.numbers(bound.metric, value)))

    def spans(self) -> list[tuple[float, float]]:
        """Return the first and the last of each series of neighbours that keep the bounds."""
        groups = [list(group) for kept, group in groupby(self.tried(), key=self.is_kept) if kept]
        return [(group[0], group[-1]) for group in groups]

    def equals(self, value: Any) -> list[Any]:
        """Return the values that keep the bounds and aren't worse than `value` with every seed."""
        costs = self._costs(value)
        return [
            other
            for other in self.kept()
            if other != value and not all(a > b for a, b in zip(self._costs(other), costs, strict=True))
        ]

    # The limit

    def _limit(self) -> Result:
        changes = self._changes()
        if self._is_monotone() and len(changes) == 1:
            low, high = self._bisect(*changes[0])
            return Result("limit", low, high) if self.is_kept(low) else Result("limit", high, low)
        if not self._is_monotone() or changes or not self.kept():
            self.trials.run(self._finer())
        if len(kept := self.kept()) == len(self.tried()):
            return Result("everywhere")
        if not kept:
            return self._nowhere()
        low, high = max(self.spans(), key=lambda span: span[1] - span[0])
        for inner, outer in self._changes():
            if high == inner:
                return Result("islands", self._bisect(inner, outer)[0])
            if low == outer and high == self.setting.high:
                return Result("islands", self._bisect(inner, outer)[1])
        return Result("islands", high)

    def _is_same(self) -> bool:
        """Return whether the runs of all values, of which there are several, have the same metrics."""
        first, *others = self.trials.done.values()
        return bool(others) and all(runs == first for runs in others)

    def _nowhere(self) -> Result:
        return Result("nowhere", beyond=min(self.tried(), key=self._excess))

    def _excess(self, value: Any) -> float:
        return max(_excess(bound, self.numbers(bound.metric, value)) for bound in self.bounds)

    def _changes(self) -> list[tuple[float, float]]:
        """Return the neighbours of which one keeps the bounds, and the other doesn't."""
        return [(a, b) for a, b in pairwise(self.tried()) if self.is_kept(a) != self.is_kept(b)]

    def _bisect(self, low: float, high: float) -> tuple[float, float]:
        """Return close neighbours between two values, of which one keeps the bounds."""
        kept = self.is_kept(low)
        while self.trials.room() and (middle := self._middle(low, high)) is not None:
            self.trials.run([middle])
            low, high = (middle, high) if self.is_kept(middle) == kept else (low, middle)
        return low, high

    def _middle(self, low: float, high: float) -> float | None:
        """Return a value between two others, or None if they are close."""
        if self.setting.whole:
            return (int(low) + int(high)) // 2 if high - low > 1 else None
        close = CLOSE * max(abs(low), CLOSE * (self.setting.high - self.setting.low))
        return rounded(low, high) if high - low > close else None

    def _is_monotone(self) -> bool:
        """Return whether no bound's metric goes up in one place, and down in another.

        A step counts if every seed takes it, so that chance doesn't.
        """
        return not any(
            self._steps(bound.metric, 1) and self._steps(bound.metric, -1) for bound in self.bounds
        )

    def _steps(self, metric: str, sign: int) -> bool:
        found = [[sign * number for number in self.numbers(metric, value)] for value in self.tried()]
        return any(all(a < b for a, b in zip(*pair, strict=True)) for pair in pairwise(found))

    def _finer(self) -> list[float]:
        """Return the new values of a finer grid: as many as runs are allowed for."""
        grids = (grid(self.setting, count) for count in range(FINE, 1, -1))
        new = ([value for value in values if value not in self.trials.done] for values in grids)
        return max((values for values in new if len(values) <= self.trials.room()), key=len)

    def _allowed(self, values: Sequence[float]) -> list[float]:
        new = [value for value in values if value not in self.trials.done]
        return new[: self.trials.room()]

    # The best

    def _look_closer(self) -> None:
        """Run finer grids around the best value so far, three times."""
        for _ in range(3):
            values = self.tried()
            at = values.index(self._top(self.kept() or values))
            low, high = values[max(at - 1, 0)], values[min(at + 1, len(values) - 1)]
            self.trials.run(
                self._allowed(grid(Setting(self.setting.path, low, high, self.setting.whole), COARSE))
            )

    def _top(self, values: Sequence[Any]) -> Any:
        return min(values, key=lambda value: (median(self._costs(value)), sum(self._costs(value))))

    def _costs(self, value: Any) -> list[float]:
        """Return the metric to be best with each seed, so that less is better."""
        assert self.best is not None
        sign = -1 if self.best in HIGHER_IS_BETTER else 1
        return [inf if isnan(number) else sign * number for number in self.numbers(self.best, value)]


def _excess(bound: Bound, numbers: Sequence[float]) -> float:
    """Return how far the worst number is beyond a bound, relative to it; inf if one has no value."""
    if any(map(isnan, numbers)):
        return inf
    worst = max(numbers) - bound.limit if bound.sign == "<=" else bound.limit - min(numbers)
    return worst / (abs(bound.limit) or 1.0)
