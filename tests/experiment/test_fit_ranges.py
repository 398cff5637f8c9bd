"""Ranges of a fit's unknowns: places and values, those of each round, and those beside and between others."""

from __future__ import annotations

import numpy as np
import pytest

from chatlab.experiment.fit_intervals import Interval
from chatlab.experiment.fit_ranges import Ranges, halton, share_of, value_of
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.trials import Setting

WIDE, WHOLE = Setting("x", 1.0, 100.0), Setting("x", 10, 20, whole=True)
LENGTH = Setting("faults[0].duration", 5.0, 45.0)
PEOPLE = Setting("people.count", 50, 150, whole=True)
SCENARIO = Scenario.from_toml(
    """
    people.count = 60
    [[faults]]
    kind = "server_down"
    at = 10.0
    duration = 10.0
    """
)


def test_unknowns_cover_their_range_evenly() -> None:
    shares = [halton(index, 0) for index in range(1, 65)]
    assert np.histogram(shares, 8, (0, 1))[0].min() >= 7
    assert value_of(WIDE, 0.5) == 10
    assert share_of(WIDE, 10) == pytest.approx(0.5)
    assert [value_of(WHOLE, share) for share in (0.0, 0.49, 1.0)] == [10, 15, 20]
    assert share_of(WHOLE, 15) == 0.5


def test_values_and_places() -> None:
    ranges = Ranges([LENGTH, PEOPLE])
    assert ranges.place((15.0, 75)).tolist() == [0.25, 0.25]
    assert ranges.values([0.25, 0.2549]) == (15.0, 75)
    assert ranges.values([-1.0, 7.0]) == (5.0, 150)


@pytest.mark.parametrize(
    ("settings", "own"),
    [
        ([LENGTH], [(10.0,)]),
        ([PEOPLE, LENGTH], [(60, 10.0)]),
        ([Setting("people.count", 50, 60, whole=True)], [(60,)]),
        ([Setting("people.count", 60, 70, whole=True)], [(60,)]),
        ([Setting("people.count", 61, 70, whole=True)], []),
        ([Setting("people.count", 70, 90, whole=True), LENGTH], [(80, 10.0)]),
        ([Setting("people.nothing", 0.0, 1.0)], []),
    ],
)
def test_the_scenarios_own_values_are_taken_if_they_are_within_the_range(
    settings: list[Setting], own: list[tuple[float, ...]]
) -> None:
    assert Ranges(settings).own(SCENARIO) == own


def test_rounds_fill_ever_smaller_ranges_around_the_best_values() -> None:
    ranges = Ranges([LENGTH])
    assert [len(ranges.fill(None, 0)), len(Ranges([LENGTH, PEOPLE]).fill(None, 0))] == [6, 8]
    for number, width in [(0, 40.0), (1, 22.0), (3, 6.66)]:
        for best in (5.0, 20.0, 45.0):
            values = [value for (value,) in ranges.fill((best,), number)]
            low = min(max(best - width / 2, 5.0), 45.0 - width)
            assert len(set(values)) == (3 if number else 6)
            assert low - 0.1 <= min(values)
            assert max(values) <= low + width + 0.1


def test_a_box_is_filled_within_the_ranges() -> None:
    ranges = Ranges([LENGTH, PEOPLE])
    box = ranges.box(np.array([0.05, 0.5]), 0.4, 1)
    assert len(box) == 17
    assert box != ranges.box(np.array([0.05, 0.5]), 0.4, 2)
    places = np.array([ranges.place(values) for values in box])
    assert places[:, 0].min() == 0
    assert places[:, 0].max() <= 0.255
    assert 0.29 <= places[:, 1].min() < 0.4
    assert 0.6 < places[:, 1].max() <= 0.71


def test_values_beside_others_differ_in_one_unknown() -> None:
    ranges = Ranges([LENGTH, PEOPLE])
    assert ranges.beside((25.0, 100), 0.1) == [(21.0, 100), (29.0, 100), (25.0, 90), (25.0, 110)]
    assert ranges.beside((5.0, 150), 0.1) == [(5.0, 150), (9.0, 150), (5.0, 140), (5.0, 150)]


def test_a_step_that_is_too_small_goes_to_the_next_whole_number() -> None:
    assert Ranges([PEOPLE]).beside((100,), 0.001) == [(99,), (101,)]
    assert Ranges([PEOPLE]).beside((50,), 0.001) == [(50,), (51,)]
    assert Ranges([PEOPLE]).beside((150,), 0.001) == [(149,), (150,)]


def test_the_lowest_values_are_seen_from_the_nearest_ones() -> None:
    """The far ones, which are on no quadratic function with the others, don't count."""
    ranges = Ranges([LENGTH])
    tried = [(20.0,), (22.0,), (18.0,), (24.0,), (45.0,), (5.0,)]
    distances = [float(np.sqrt(1 + (value - 19.6) ** 2)) for (value,) in tried]
    assert ranges.lowest(tried, [*distances[:4], 1e6, 1e6]) == (19.6,)
    assert ranges.lowest(tried[:2], distances[:2]) == (20.0,)


def test_an_interval_contains_the_fitted_values_and_is_rounded_outwards() -> None:
    ranges = Ranges([LENGTH, PEOPLE])
    found = Interval(np.array([0.5, 0.5]), np.array([0.1, 0.003]))
    assert ranges.ends(found, np.array([0.5, 0.5])) == [(21.0, 29.0), (99, 101)]
    assert ranges.ends(found, np.array([0.3, 0.6])) == [(17.0, 29.0), (99, 110)]
    wide = Interval(np.array([0.5, 0.5]), np.array([2.0, 2.0]))
    assert ranges.ends(wide, np.array([0.5, 0.5])) == [(5.0, 45.0), (50, 150)]
