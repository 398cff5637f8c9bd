"""Align the moments of two runs, within a tolerance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from itertools import zip_longest

from msgspec import Struct

from chatlab.experiment.moments import Moment

VIRTUAL_TOLERANCE = 1e-3
"""Seconds by which times may differ in worlds of virtual time, whose packets have equal random delays."""


class Tolerance(Struct, frozen=True):
    """The allowed difference of two times: `seconds`, and a `share` of the later time. `source` says why."""

    seconds: float
    share: float = 0.0
    source: str = ""

    def allows(self, a: float, b: float) -> bool:
        """Whether these two times count as the same."""
        return abs(a - b) <= self.at(max(a, b))

    def at(self, time: float) -> float:
        """Return the allowed difference at `time`, in seconds."""
        return self.seconds + self.share * time

    def __str__(self) -> str:
        share = f" + {self.share:.0%}" if self.share else ""
        source = f", {self.source}" if self.source else ""
        return f"{format_seconds(self.seconds)}{share}{source}"


Pair = tuple[Moment | None, Moment | None]


def align(
    a: Sequence[Moment], b: Sequence[Moment], tolerance: Tolerance
) -> tuple[list[tuple[Moment, Moment]], list[Pair]]:
    """Return the pairs of equal moments, and those of different ones. None stands for a missing moment.

    A tolerance above `VIRTUAL_TOLERANCE` also pairs equal moments in another order, if their times allow it.
    """
    matcher = SequenceMatcher(
        None, [moment.text for moment in a], [moment.text for moment in b], autojunk=False
    )
    equal: list[tuple[Moment, Moment]] = []
    different: list[Pair] = []
    only_a: list[Moment] = []
    only_b: list[Moment] = []
    for tag, a_from, a_to, b_from, b_to in matcher.get_opcodes():
        if tag == "equal":
            equal += zip(a[a_from:a_to], b[b_from:b_to], strict=True)
        elif tolerance.at(0) > VIRTUAL_TOLERANCE:
            only_a += a[a_from:a_to]
            only_b += b[b_from:b_to]
        else:
            different += zip_longest(a[a_from:a_to], b[b_from:b_to])
    for moment in only_a:
        swapped = next((other for other in only_b if _same(moment, other, tolerance)), None)
        if swapped is None:
            different.append((moment, None))
        else:
            only_b.remove(swapped)
            equal.append((moment, swapped))
    return equal, _pair_reordered([*different, *((None, moment) for moment in only_b)])


def _pair_reordered(pairs: Iterable[Pair]) -> list[Pair]:
    """Pair the equal moments that both runs have in another order; return these pairs and the remaining
    ones."""
    rest = list(pairs)
    reordered: list[Pair] = []
    for a in [a for a, _ in rest if a is not None]:
        candidates = [b for _, b in rest if b is not None and b.text == a.text]
        if not candidates:
            continue
        b = min(candidates, key=lambda moment: abs(moment.number - a.number))
        reordered.append((a, b))
        rest = [(None if one is a else one, None if other is b else other) for one, other in rest]
    return reordered + [pair for pair in rest if pair != (None, None)]


def _same(a: Moment, b: Moment, tolerance: Tolerance) -> bool:
    return a.text == b.text and tolerance.allows(a.at, b.at)


def format_seconds(seconds: float) -> str:
    """Return a time with three digits, in ms or s, and never as 1e+03."""
    value, unit = (seconds * 1000, "ms") if seconds < 0.9995 else (seconds, "s")
    return f"{value:,.3g} {unit}" if value < 999.5 else f"{value:,.0f} {unit}"
