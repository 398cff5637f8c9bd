"""The plots of the explorers: they draw measured values and closed forms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle, StepPatch
from msgspec import structs

from chatlab.errors import SettingsError
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.plots import (
    plot_alarms,
    plot_detection,
    plot_polling,
    plot_refused,
    plot_returns,
    plot_transports,
)
from chatlab.plots.png import png
from chatlab.plots.style import figure_of, size
from chatlab.presets import PRESETS
from chatlab.sim.people import PeopleConfig
from chatlab.sim.transport_settings import AnyTransport, LongPollingSettings, WebSocketSettings
from chatlab.studies.backoff_delays import Herd, herd_returns
from chatlab.studies.closed_forms import late_pong_share, long_poll_cost, short_poll_cost


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def steps(ax: Axes) -> list[StepPatch]:
    return [patch for patch in ax.patches if isinstance(patch, StepPatch)]


def values(patch: StepPatch) -> list[float]:
    return [float(value) for value in patch.get_data()[0]]


def herd(*returns: float) -> Herd:
    return Herd(np.array(returns), np.ones(len(returns), dtype=np.int64))


# When do clients come back?


def test_each_herd_has_a_lane_and_its_largest_share() -> None:
    herds = {name: herd_returns(PRESETS[name].reconnect, 1_000, 60.0) for name in ("Phoenix", "full jitter")}
    ax = plot_returns(herds)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Phoenix", "full jitter"]
    spread, share = texts(ax)[-2], herds["full jitter"].busiest()
    assert "100 %" in texts(ax)
    assert spread == f"{100 * share:.2g} %"
    bars = [np.count_nonzero(np.diff(np.asarray(values(patch)) % 1)) for patch in steps(ax)]
    assert bars[0] < 5 < 100 < bars[1]


def test_those_who_gave_up_are_named() -> None:
    ax = plot_returns(herd(1.0, 2.0, np.inf, np.inf))
    assert texts(ax)[-2] == "25 %, 50 % gave up"


def test_the_share_refused_is_a_bar_and_a_figure_in_the_lane_of_the_name() -> None:
    ax = plot_refused({"seed": 0.5, "full jitter": 0.0})
    bars = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    assert [bar.get_width() for bar in bars] == [0.5, 0.0]
    assert texts(ax)[:2] == ["50 %", "0 %"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["seed", "full jitter"]
    with pytest.raises(SettingsError, match="nothing to draw"):
        plot_refused({})


def test_a_herd_of_which_nobody_came_back_is_refused() -> None:
    with pytest.raises(SettingsError, match="nobody came back"):
        plot_returns(herd(np.inf))


def test_all_come_in_the_instant_of_the_return() -> None:
    assert np.isfinite(plot_returns(herd(0.0, 0.0)).get_xlim()[1])


# How soon is a dead connection noticed?


def test_bars_are_shares_and_the_outline_is_the_closed_form() -> None:
    ax = plot_detection(np.linspace(10.01, 39.99, 600).tolist(), 30.0, 10.0)
    assert values(steps(ax)[0]) == pytest.approx([0.05] * 20)
    outline = ax.lines[0]
    assert list(np.asarray(outline.get_xdata())) == [10.0, 10.0, 40.0, 40.0]
    assert max(np.asarray(outline.get_ydata())) == pytest.approx(0.05)
    assert "mean 25 s" in texts(ax)
    with pytest.raises(SettingsError, match="nobody noticed"):
        plot_detection([], 30.0, 10.0)


def test_the_axis_shows_shares_of_people_at_their_height() -> None:
    ax = plot_detection([1.25, 1.75], 1.0, 1.0)
    told = ax.yaxis.get_major_formatter().format_ticks([0.0, 0.025, 0.05, 0.125])
    assert told == ["0%", "2.5%", "5%", "12.5%"]


def test_late_pongs_are_a_share_of_all_beside_the_closed_form_and_the_datagrams() -> None:
    pongs = [0.08] * 97 + [0.36, 0.5, np.inf]
    ax = plot_alarms(10.0, 0.01, pongs=pongs)
    datagrams, least, late, timeout = ax.lines
    shares = dict(np.asarray(late.get_xydata(), float).round(9))
    assert shares[0.05] == 1.0
    assert shares[60.0] == pytest.approx(0.01), "the one that never came"
    assert next(share for time, share in sorted(shares.items()) if time > 0.1) == pytest.approx(0.03)
    assert np.asarray(datagrams.get_ydata(), float)[0] == pytest.approx(1 - 0.99**2)
    for time, share in np.asarray(least.get_xydata(), float):
        assert share == pytest.approx(max(late_pong_share(time, 0.01, 0.04), 1e-8))
    assert list(np.asarray(timeout.get_xdata(), float)) == [10.0, 10.0]
    assert texts(ax)[:2] == ["datagrams lost for good", "timeout"]


@pytest.mark.slow
def test_the_axes_are_labelled_within_the_figure() -> None:
    for ax in (plot_detection([12.0, 25.0], 30.0, 10.0), plot_alarms(10.0, 0.2), plot_polling(0.2)):
        figure = ax.get_figure(root=True)
        assert figure is not None
        figure.draw_without_rendering()
        for label in (ax.xaxis.label, ax.yaxis.label):
            box = label.get_window_extent()
            assert label.get_text()
            assert min(box.x0, box.y0) >= 0, label.get_text()


def test_without_loss_no_datagram_is_lost_either() -> None:
    ax = plot_alarms(10.0, 0.0)
    assert texts(ax)[0] == "timeout"
    with pytest.raises(SettingsError, match="give a share"):
        plot_alarms(10.0, 1.5)


# What does it cost to be quick?


@pytest.mark.slow
def test_the_marks_lie_where_the_closed_forms_say() -> None:
    ax = plot_polling(0.2, interval=5.0, hold=20.0, delay=0.05, measured={"short": (2.5, 1.1)})
    marks = {
        (float(np.asarray(line.get_xdata())[0]), float(np.asarray(line.get_ydata())[0]))
        for line in ax.lines
        if len(np.asarray(line.get_xdata())) == 1
    }
    short, long = short_poll_cost(0.2, 5.0, 0.05), long_poll_cost(0.2, 20.0, 0.05)
    assert {(short.latency, short.requests), (long.latency, long.requests), (2.5, 1.1)} <= marks
    assert {"short poll, 5 s", "long poll, 20 s", "push: no requests", "0.3 s"} <= set(texts(ax))
    assert "crosses" in texts(ax)[-1]
    assert "crosses" not in texts(plot_polling(0.2))[-1]


@pytest.mark.sampled(2)
@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"rate": 0.01},
        {"rate": 10.0},
        {"interval": 0.1},
        {"interval": 60.0},
        {"hold": 1.0},
        {"hold": 120.0},
        {"delay": 0.005},
        {"delay": 0.5},
    ],
    ids=str,
)
def test_names_stand_apart_from_other_marks_and_within_the_plot(settings: dict[str, Any]) -> None:
    ax = plot_polling(**{"rate": 0.2, **settings})
    figure = figure_of(ax)
    png(figure)
    names = {
        text.get_text(): text.get_window_extent() for text in ax.texts if text.get_fontweight() == "bold"
    }
    *curve, note = [text.get_window_extent() for text in ax.texts if text.get_fontweight() != "bold"]
    marks = [line for line in ax.lines if line.get_markersize() == 7]
    assert len(names) == len(marks) == 3
    for name, box in names.items():
        assert box.x1 < figure.bbox.x1, name
        assert not any(box.overlaps(other) for text, other in names.items() if text != name), name
        places = [ax.transData.transform(line.get_xydata()[0]) for line in marks]  # type: ignore[index]  # the stubs say ArrayLike
        assert not any(box.padded(2).contains(*place) for place in places), name
    assert not any(box.overlaps(note) for box in [*curve, *names.values()])


def test_an_invalid_rate_is_refused() -> None:
    with pytest.raises(SettingsError, match="rate"):
        plot_polling(-1.0)


# Transports side by side


@pytest.fixture(scope="module")
def runs() -> dict[str, Run]:
    people = PeopleConfig(count=3, send_rate=0.2)
    transports: dict[str, AnyTransport] = {"push": WebSocketSettings(), "poll": LongPollingSettings()}
    return {
        name: run(Scenario(duration=60.0, people=people, transport=transport), sample=0)
        for name, transport in transports.items()
    }


@pytest.mark.slow
def test_bars_are_the_runs_metrics_per_delivered_message(runs: dict[str, Run]) -> None:
    axes = plot_transports(runs)
    widths = [
        [patch.get_width() for patch in ax.patches if isinstance(patch, Rectangle) and patch.get_width() > 0]
        for ax in axes
    ]
    for number, result in enumerate(runs.values()):
        metrics = {name: value or 0 for name, value in result.metrics.items()}
        delivered = metrics["delivered"]
        assert widths[0][number] == pytest.approx(metrics["latency_p50"])
        assert widths[1][number] == pytest.approx(metrics["requests"] / delivered)
        assert widths[2][number] == pytest.approx((metrics["bytes_up"] + metrics["bytes_down"]) / delivered)
    assert [ax.get_title(loc="left") for ax in axes] == ["How late?", "How many requests?", "How many bytes?"]
    assert len({figure_of(ax) for ax in axes}) == 1
    assert png(figure_of(axes[0])).startswith(b"\x89PNG")
    assert size(axes[0])[0] > 50


def test_ticks_mark_the_95th_percentile_at_the_end_of_a_thin_line(runs: dict[str, Run]) -> None:
    late, requests, _ = plot_transports(runs)
    thin, ticks = late.lines
    median, latest = (
        [result.metrics[metric] or 0.0 for result in runs.values()]
        for metric in ("latency_p50", "latency_p95")
    )
    ends = np.maximum(median, latest)
    assert np.asarray(ticks.get_xydata()).tolist() == [[end, lane] for lane, end in enumerate(ends)]
    points = np.asarray(thin.get_xydata()).reshape(2, 3, 2)
    assert points[:, :2, 0].tolist() == np.stack([median, ends], axis=1).tolist()
    assert np.isnan(points[:, 2, 0]).all()
    assert points[:, :2, 1].tolist() == [[0, 0], [1, 1]]
    assert not requests.lines


@pytest.mark.slow
def test_what_is_never_shown_has_an_arrow_or_no_bar(runs: dict[str, Run]) -> None:
    push, poll = runs.values()
    counts = {"owed": 100, "undelivered": 12}
    late = structs.replace(push, metrics=push.metrics | {"latency_p95": math.inf} | counts)
    lost = structs.replace(late, metrics=late.metrics | {"latency_p50": math.inf})
    empty = structs.replace(push, metrics=push.metrics | {"latency_p50": None, "latency_p95": None})
    ax = plot_transports({"late": late, "lost": lost, "poll": poll, "empty": empty})[0]
    texts = [text.get_text() for text in ax.texts]
    assert f"{push.metrics['latency_p50']:.3g} s, never (12 %)" in texts
    assert {"never (12 %)", "–"} <= set(texts)
    _, ticks, arrows = ax.lines
    assert np.asarray(ticks.get_ydata()).tolist() == [2, 3]
    assert np.asarray(arrows.get_ydata()).tolist() == [0, 1]
    assert arrows.get_marker() == ">"
    assert np.isfinite(ax.get_xlim()).all()
    assert png(figure_of(ax)).startswith(b"\x89PNG")
    plot_transports({"lost": lost})


def test_silent_runs_are_refused() -> None:
    with pytest.raises(SettingsError, match="no message was delivered in any of the runs"):
        plot_transports({"silent": run(Scenario(duration=5.0), sample=0)})
