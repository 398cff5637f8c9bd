"""Ranges of the unknowns of a fit, and the values in them that a search tries.

A *place* has the values as shares of their ranges, from 0 to 1. A range whose ends have a ratio of `WIDE` or
more is divided by ratios.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, floor

import numpy as np

from chatlab.experiment.effect_rules import value_at
from chatlab.experiment.fit_intervals import Interval, minimum
from chatlab.experiment.likeness import Array
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.trials import WIDE, Setting

POINTS = 4
"""Values of the first round beside two for each unknown."""
SHRINK = 0.55
"""Size of a round's ranges, as a part of the ones before."""
Values = tuple[float, ...]
"""A value of each unknown."""


class Ranges:
    """The settings that are unknown, each with a range."""

    def __init__(self, settings: Sequence[Setting]) -> None:
        self.settings = settings

    def place(self, values: Values) -> Array:
        """Return the place of values."""
        pairs = zip(self.settings, values, strict=True)
        return np.array([share_of(setting, value) for setting, value in pairs])

    def values(self, place: Sequence[float] | Array) -> Values:
        """Return the values at a place, or at the nearest one within the ranges."""
        pairs = zip(self.settings, np.clip(place, 0.0, 1.0).tolist(), strict=True)
        return tuple(value_of(setting, share) for setting, share in pairs)

    def own(self, scenario: Scenario) -> list[Values]:
        """Return the values that a scenario has itself, if one is within its range.

        Another one is replaced by the middle of its range.
        """
        given = [value_at(scenario, setting.path) for setting in self.settings]
        inside = [
            isinstance(value, int | float) and setting.low <= value <= setting.high
            for setting, value in zip(self.settings, given, strict=True)
        ]
        if not any(inside):
            return []
        middle = self.values([0.5] * len(given))
        return [tuple(one if may else other for one, other, may in zip(given, middle, inside, strict=True))]

    def fill(self, around: Values | None, number: int) -> list[Values]:
        """Return values that fill the ranges evenly, in later rounds smaller ones around the best values."""
        axes = range(len(self.settings))
        size = SHRINK**number
        centre = np.full(len(axes), 0.5) if around is None else self.place(around)
        low = np.minimum(np.maximum(centre - size / 2, 0.0), 1 - size)
        count = (1 if number else POINTS) + 2 * len(axes)
        starts = [number * 64 + index + 1 for index in range(count)]
        return [
            self.values(low + size * np.array([halton(start, axis) for axis in axes])) for start in starts
        ]

    def box(self, place: Array, size: float, number: int) -> list[Values]:
        """Return values that fill a box of a size around a place evenly, others for each `number`."""
        axes = range(len(self.settings))
        starts = [500 + 64 * number + index for index in range(1 + 8 * len(axes))]
        shares = (np.array([halton(start, axis) for axis in axes]) for start in starts)
        return [self.values(place + size * (share - 0.5)) for share in shares]

    def beside(self, values: Values, step: float) -> list[Values]:
        """Return for each unknown the values with a lower and with a higher one, `step` of the range away."""
        found = []
        for axis, setting in enumerate(self.settings):
            for sign in (-1, 1):
                moved = self.place(values)
                moved[axis] += sign * step
                other = self.values(moved)[axis]
                if setting.whole and other == values[axis]:
                    other = min(max(other + sign, setting.low), setting.high)
                found.append((*values[:axis], other, *values[axis + 1 :]))
        return found

    def lowest(self, tried: Sequence[Values], distances: Sequence[float]) -> Values:
        """Return the values at which the distance should be least, as seen from those that are nearest.

        `tried` has values with their `distances`, the least first.
        """
        places = np.array([self.place(values) for values in tried])
        unknowns = len(self.settings)
        terms = 1 + unknowns + unknowns * (unknowns + 1) // 2
        near = np.argsort(np.abs(places - places[0]).max(axis=1), kind="stable")[: terms + 1]
        return self.values(minimum(places[near], np.array(distances)[near]))

    def ends(self, found: Interval, place: Array) -> list[tuple[float, float]]:
        """Return an interval as values. It contains the fitted ones, and is rounded outwards."""
        low = np.clip(np.minimum(found.estimate - found.reach, place), 0.0, 1.0)
        high = np.clip(np.maximum(found.estimate + found.reach, place), 0.0, 1.0)
        return [
            (_rounded(setting, one, floor), _rounded(setting, other, ceil))
            for setting, one, other in zip(self.settings, low.tolist(), high.tolist(), strict=True)
        ]


def halton(index: int, axis: int) -> float:
    """Return a number of a sequence that fills the unit box evenly."""
    base = (2, 3, 5, 7, 11, 13)[axis % 6]
    share, scale = 0.0, 1.0
    while index:
        scale /= base
        index, digit = divmod(index, base)
        share += digit * scale
    return share


def _is_wide(setting: Setting) -> bool:
    return setting.low > 0 and setting.high / setting.low >= WIDE


def value_of(setting: Setting, share: float) -> float:
    """Return the value at a share of the range, rounded to three digits or a whole number."""
    value = _exact_value(setting, share)
    value = round(value) if setting.whole else float(f"{value:.3g}")
    return min(max(value, setting.low), setting.high)


def _exact_value(setting: Setting, share: float) -> float:
    low, high = setting.low, setting.high
    return low * (high / low) ** share if _is_wide(setting) else low + (high - low) * share


def _rounded(setting: Setting, share: float, towards: Callable[[float], int]) -> float:
    """Return the value at a share, rounded up or down to a whole number if the setting takes only these."""
    value = _exact_value(setting, share)
    return towards(round(value, 9)) if setting.whole else value


def share_of(setting: Setting, value: float) -> float:
    """Return the share of the range at a value."""
    low, high = setting.low, setting.high
    if _is_wide(setting):
        return float(np.log(value / low) / np.log(high / low))
    return (value - low) / (high - low)
