"""Each run gets the plot that fits it, with the run's own figures."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from chatlab.errors import SettingsError
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.plots import plot_crowd, plot_lateness, plot_run
from chatlab.plots.run import PLOTS, fitting

RESET = '[[faults]]\nkind = "connection_reset"\nat = 10.0\n'


@cache
def outage(people: int = 4, send_rate: float = 0.2, sample: int = 50) -> Run:
    text = f"duration = 30.0\npeople = {{ count = {people}, send_rate = {send_rate} }}\n"
    return run(Scenario.from_toml(text + RESET), sample=sample)


def test_which_plot_fits() -> None:
    assert fitting(outage()) == "lateness"
    assert fitting(outage(101, 0.0)) == "crowd"
    assert fitting(outage(4, 0.0)) == "statuses"
    assert fitting(outage(4, 0.0, 0)) == "crowd"


@pytest.mark.slow
@pytest.mark.parametrize("kind", PLOTS)
def test_every_plot_can_be_drawn(kind: str) -> None:
    assert plot_run(outage(), kind).get_title(loc="left")


def test_a_plot_that_there_is_not() -> None:
    with pytest.raises(
        SettingsError, match=r"plot: there is no 'pie'; choose one of crowd, lateness, latency"
    ):
        plot_run(outage(), "pie")
    with pytest.raises(SettingsError, match=r"nothing to draw: nobody was recorded"):
        plot_run(outage(sample=0), "statuses")
    with pytest.raises(SettingsError, match=r"nothing to draw: no message of recorded people was shown"):
        plot_run(outage(4, 0.0), "lateness")


def test_a_crowd_has_its_attempts_and_its_connected_people() -> None:
    result = outage(101, 0.0)
    ax = plot_crowd(result)
    (other,) = [axes for axes in ax.figure.axes if axes is not ax]
    steps = [[float(value) for value in np.array(axes.lines[-1].get_ydata())[:-1]] for axes in (ax, other)]
    assert steps == [result.series["attempts"], result.series["connected"]]


def test_latencies_over_time_are_those_of_the_run() -> None:
    """Everybody is recorded, so they are all: the median is the metric."""
    result = outage()
    (line,) = [line for line in plot_lateness(result).lines if line.get_marker() == "o"]
    sent_at, latency = np.array(line.get_xdata()), np.array(line.get_ydata())
    assert len(latency) == result.metrics["delivered"]
    assert np.median(latency) == pytest.approx(result.metrics["latency_p50"], abs=0.001)
    assert set(np.floor(sent_at)) <= {second for second, count in enumerate(result.series["sent"]) if count}
