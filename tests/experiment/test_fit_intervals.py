"""Intervals of fitted unknowns: the minimum of a quadratic surface, and the errors of its estimates."""

from __future__ import annotations

from concurrent.futures import Executor
from itertools import product

import numpy as np
import pytest

from chatlab import run
from chatlab.experiment.cells import cells_of
from chatlab.experiment.fit import fit
from chatlab.experiment.fit_intervals import NOMINAL, Array, interval, minimum
from chatlab.experiment.scenario import Scenario
from tests.experiment.remembering import Remembering

LINE = np.linspace(0.2, 0.6, 9)[:, None]
SQUARE = np.array(list(product(np.linspace(0, 1, 5), np.linspace(0, 0.5, 5))))


def bowl(places: Array, lowest: Array, floor: float = 0.1) -> Array:
    """Return distances whose squares are a quadratic function with its minimum at `lowest`."""
    apart = places - lowest
    distances: Array = np.sqrt(
        floor + (apart**2).sum(axis=1) + 0.5 * apart.prod(axis=1) * (apart.shape[1] > 1)
    )
    return distances


def test_the_minimum_of_a_quadratic_surface_lies_between_the_places() -> None:
    for at in (0.2, 0.313, 0.555):
        assert minimum(LINE, bowl(LINE, np.array([at]))) == pytest.approx([at])
    assert minimum(SQUARE, bowl(SQUARE, np.array([0.33, 0.41]))) == pytest.approx([0.33, 0.41])


def test_the_minimum_stays_within_the_places() -> None:
    assert minimum(LINE, bowl(LINE, np.array([0.9]))) == pytest.approx([0.6])
    assert minimum(SQUARE, bowl(SQUARE, np.array([0.4, -3.0])))[1] == 0


def test_without_a_minimum_the_nearest_place_is_taken() -> None:
    hill = 2 - bowl(LINE, np.array([0.4]))
    assert minimum(LINE, hill) == LINE[int(np.argmin(hill))]
    assert minimum(LINE, np.ones(9)) == LINE[0]
    assert minimum(LINE[:2], np.array([3.0, 2.0])) == LINE[1]
    same = np.repeat(LINE[:1], 9, axis=0)
    assert minimum(same, np.ones(9)) == LINE[0]


def test_an_interval_is_as_wide_as_the_errors_and_without_their_mean() -> None:
    """Estimates that are 0.02 too low, and 0.03 off, give an interval around 0.4 + 0.02."""
    lows = 0.38 + 0.03 * np.array([-1, 1, -1, 1, -1, 1, -1, 1])
    simulated = np.array([bowl(LINE, np.array([low])) for low in lows])
    found = interval(LINE, bowl(LINE, np.array([0.4])), simulated, np.array([0.4]))
    assert found.estimate == pytest.approx([0.42])
    sd = 0.03 * np.sqrt(8 / 7)
    assert found.reach == pytest.approx([1.895 * sd * np.sqrt(9 / 8)], rel=0.02)  # t of 7 degrees of freedom


INCIDENT = Scenario.from_toml(
    """
    duration = 45.0
    people = { count = 40, arrive_over = 5.0 }
    network.latency = { median = 0.04, p99 = 0.2 }
    server = { accept_rate = 20.0, backlog = 10 }
    transport.reconnect = { max_attempts = "none", jitter = "full", max_delay = 10.0 }
    [[faults]]
    kind = "server_down"
    at = 10.0
    duration = 8.0
    """
)


def covers(
    path: str, low: float, high: float, truth: float, seed: int, executor: Executor | None = None
) -> bool:
    """Return whether the interval of an unknown contains the value with which an incident was made up."""
    (cell,) = cells_of(INCIDENT, {path: [truth]}, [seed])
    counts = [float(count) for count in run(cell.scenario, sample=0).series["attempts"][7:40]]
    fitted = fit(INCIDENT, counts, {path: (low, high)}, executor=executor, progress=False)
    ends = fitted.intervals[path]
    return ends[0] <= truth <= ends[1]


@pytest.mark.slow
def test_an_unknown_has_an_interval_that_contains_it() -> None:
    assert covers("faults[0].duration", 3.0, 15.0, 9.7, 501)


@pytest.mark.proof
@pytest.mark.parametrize(
    ("path", "low", "high"),
    [
        ("people.count", 20, 80),
        ("faults[0].duration", 3.0, 15.0),
        ("transport.reconnect.base_delay", 0.3, 10.0),
    ],
)
def test_intervals_cover_the_hidden_values_as_often_as_they_say(path: str, low: float, high: float) -> None:
    """Of 40 incidents, about nine in ten; 30 or fewer come by chance once in a hundred times at most."""
    rng = np.random.default_rng(24)
    covered, executor = 0, Remembering()
    for number in range(40):
        share = float(rng.uniform(0.2, 0.8))
        truth = low * (high / low) ** share if high / low >= 10 else low + share * (high - low)
        truth = round(truth) if isinstance(low, int) else truth
        covered += covers(path, low, high, truth, 500 + number, executor)
    assert covered > 30, f"{covered} of 40 intervals cover it; nominal {NOMINAL:.0%}"
