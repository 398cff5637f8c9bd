from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from msgspec.structs import replace

from chatlab.errors import SettingsError
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.series import LATENCY_EDGES
from chatlab.experiment.worlds.runner import run
from chatlab.plots import plot_latency, plot_queue, plot_rates
from chatlab.plots.style import LOOKS
from chatlab.sim.faults import ConnectionReset, ServerDown
from chatlab.sim.people import PeopleConfig


@pytest.fixture(scope="module")
def busy() -> Run:
    return run(
        Scenario(
            name="busy",
            duration=40.0,
            people=PeopleConfig(count=20, send_rate=0.2),
            faults=(ServerDown(at=10.0, duration=5.0), ConnectionReset(at=30.0)),
        ),
        sample=0,
    )


@pytest.fixture(scope="module")
def silent() -> Run:
    return run(Scenario(duration=20.0, people=PeopleConfig(count=3)), sample=0)


def curve(ax: Axes, label: str) -> tuple[list[float], list[float]]:
    (line,) = [line for line in ax.lines if line.get_label() == label]
    return list(np.asarray(line.get_xdata())), list(np.asarray(line.get_ydata()))


def keys(ax: Axes) -> list[str]:
    legend = ax.get_legend()
    return [text.get_text() for text in legend.get_texts()] if legend else []


def test_the_latency_curve_is_the_runs_distribution(busy: Run) -> None:
    ax = plot_latency(busy)
    x, y = curve(ax, "busy")
    assert x == list(LATENCY_EDGES)
    assert y == pytest.approx([0, *np.cumsum(busy.latencies) / sum(busy.latencies)])
    # The curve crosses one half in the bin of the median that the metric says.
    after = int(np.searchsorted(x, busy.metrics["latency_p50"] or 0))
    assert y[after - 1] < 0.5 <= y[after]
    assert ax.get_xscale() == "log"
    assert ax.get_xlabel() == "from sending to display (s), logarithmic"
    assert not keys(ax)
    low, high = ax.get_xlim()
    assert low < (busy.metrics["latency_p50"] or 0) < high


def test_a_curve_ends_at_the_share_that_was_shown(busy: Run, silent: Run) -> None:
    shown = sum(busy.latencies)
    gone = replace(busy, metrics=busy.metrics | {"undelivered": shown})
    none = replace(busy, metrics=busy.metrics | {"undelivered": 7}, latencies=silent.latencies)
    ax = plot_latency({"all": busy, "half": gone, "none": none})
    assert curve(ax, "half")[1][-1] == 0.5
    assert set(curve(ax, "none")[1]) == {0}
    assert [text.get_text() for text in ax.texts if text.get_gid() == "never"] == [
        "never: 50 %",
        "never: 100 %",
    ]
    assert ax.get_xlim() == plot_latency(busy).get_xlim()
    with pytest.raises(SettingsError, match="no message was delivered"):
        plot_latency(none)


def test_several_latencies_have_a_key_and_looks_of_their_own(busy: Run, silent: Run) -> None:
    ax = plot_latency({"one": busy, "none": silent, "two": busy})
    assert keys(ax) == ["one", "two"]
    for number, line in enumerate(line for line in ax.lines if line.get_label() in ("one", "two")):
        assert same_color(line.get_color(), LOOKS[number].colour)
    with pytest.raises(SettingsError, match="no message was delivered in any of the runs"):
        plot_latency(silent)


def test_rates_are_counts_of_each_second(busy: Run) -> None:
    ax = plot_rates(busy, of=("attempts",))
    x, y = curve(ax, "attempts")
    assert x == list(range(41))
    assert y == [*busy.series["attempts"], busy.series["attempts"][-1]]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("time (s)", "attempts in each second")
    assert ax.get_xlim() == (0, 40)
    assert ax.get_ylim()[1] > max(busy.series["attempts"])
    assert not keys(ax)
    assert keys(plot_rates(busy)) == ["attempts", "requests"]


def test_several_rates_are_named_by_run_and_series(busy: Run, silent: Run) -> None:
    assert keys(plot_rates({"a": busy, "b": silent}, of=("attempts",))) == ["a", "b"]
    assert keys(plot_rates({"a": busy, "b": silent}, of=("attempts", "sent"))) == [
        "a: attempts",
        "a: sent",
        "b: attempts",
    ]
    assert keys(plot_rates(busy, of=("sent", "delivered"))) == ["sent", "delivered"]


def test_faults_are_behind_the_curves_and_named(busy: Run) -> None:
    ax = plot_rates(busy)
    assert [line.get_xdata()[0] for line in ax.lines if line.get_gid() == "fault"] == [10.0, 30.0]  # type: ignore[index]
    (shade,) = [patch for patch in ax.patches if patch.get_gid() == "fault"]
    assert shade.get_zorder() < min(line.get_zorder() for line in ax.lines if line.get_gid() != "fault")
    assert {"server down", "connection reset"} <= {text.get_text() for text in ax.texts}


def test_of_several_runs_only_common_faults_are_drawn(busy: Run) -> None:
    down, reset = busy.scenario.faults
    for first, lines, areas in (
        (down, [10, 30], 1),
        (ServerDown(at=10.0, duration=9.0), [10, 30], 0),
        (ServerDown(at=12.0, duration=3.0), [30], 0),
    ):
        runs = {"one": busy, "other": replace(busy, scenario=busy.scenario.replace(faults=(first, reset)))}
        for ax in (plot_rates(runs), plot_queue(runs)):
            drawn = [line.get_xdata()[0] for line in ax.lines if line.get_gid() == "fault"]  # type: ignore[index]
            assert drawn == lines
            assert len([patch for patch in ax.patches if patch.get_gid() == "fault"]) == areas


@pytest.mark.slow
def test_no_texts_overlap(busy: Run) -> None:
    for ax in (plot_rates(busy, of=("sent", "delivered")), plot_latency({"one": busy, "two": busy})):
        figure = ax.get_figure(root=True)
        assert figure is not None
        figure.draw_without_rendering()
        legend = ax.get_legend()
        assert legend is not None
        box = legend.get_window_extent()
        assert 0 <= box.x0 < box.x1 <= figure.bbox.x1
        title = ax._left_title.get_window_extent()  # type: ignore[attr-defined]
        assert box.y1 <= title.y0 + 2
        assert ax.yaxis.label.get_window_extent().x0 >= 0


def test_the_queue_is_drawn_for_runs_that_have_it(busy: Run) -> None:
    with pytest.raises(SettingsError, match="the runs' series have no 'queue'"):
        plot_queue(replace(busy, series={"attempts": [1]}))
    assert curve(plot_queue(busy), "busy")[1][:-1] == busy.series["queue"]
    ax = plot_queue(replace(busy, series={"work": [2] * 40}), of="work")
    assert (curve(ax, "busy")[1], ax.get_ylabel()) == ([2] * 41, "pending requests and frames")
    with pytest.raises(SettingsError, match="of: choose one of queue, work, got 'tea'"):
        plot_queue(busy, of="tea")  # type: ignore[arg-type]
    counts = list(range(40))
    ax = plot_queue(replace(busy, series={"queue": counts}))
    assert curve(ax, "busy")[1] == [*counts, 39]
    assert ax.get_ylabel() == "waiting connections"


def test_missing_series_are_reported(busy: Run) -> None:
    with pytest.raises(SettingsError, match=r"tears are 0 in all runs; their series are attempts, sent"):
        plot_rates(busy, of=("tears",))


def test_they_draw_on_given_axes(busy: Run) -> None:
    top, bottom = Figure(figsize=(8, 8)).subplots(2)
    assert plot_rates(busy, ax=top) is top
    assert plot_latency(busy, ax=bottom) is bottom
