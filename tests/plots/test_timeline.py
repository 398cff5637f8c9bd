from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from chatlab.errors import SettingsError
from chatlab.experiment.spans import FaultSpan, StatusSpan
from chatlab.messages import ConnectionStatus
from chatlab.plots import plot_statuses
from chatlab.plots.style import STATUS_LOOKS

DISCONNECTED, CONNECTING, CONNECTED, RECONNECTING, ERROR = ConnectionStatus
LIVE = [
    StatusSpan(DISCONNECTED, 0.0, 1.0),
    StatusSpan(CONNECTING, 1.0, 1.5, (1.0,)),
    StatusSpan(CONNECTED, 1.5, 60.0),
    StatusSpan(RECONNECTING, 60.0, 70.0, (61.0, 63.0)),
    StatusSpan(ERROR, 70.0, 120.0),
]
MODEL = [StatusSpan(CONNECTED, 0.0, 60.0), StatusSpan(RECONNECTING, 60.0, 100.0, (61.5,))]
Drawn = tuple[str | None, float, float, float]


def drawn(ax: Axes) -> list[Drawn]:
    """Return status, middle of the lane, start and end of every span in the plot."""
    return [
        (
            patch.get_gid(),
            patch.get_y() + patch.get_height() / 2,
            patch.get_x(),
            patch.get_x() + patch.get_width(),
        )
        for patch in ax.patches
        if isinstance(patch, Rectangle) and patch.get_gid() != "fault"
    ]


def keys(ax: Axes) -> list[str]:
    legend = ax.get_legend()
    return [text.get_text() for text in legend.get_texts()] if legend else []


def test_spans_stand_in_their_lanes_at_their_times() -> None:
    ax = plot_statuses({"live": LIVE, "model": MODEL})
    expected = [
        (span.status.value, y, span.start, span.end) for y, lane in ((0, LIVE), (-1, MODEL)) for span in lane
    ]
    for found, wanted in zip(drawn(ax), expected, strict=True):
        assert found[0] == wanted[0]
        assert found[1:] == pytest.approx(wanted[1:])
    assert [
        (y, label.get_text()) for y, label in zip(ax.get_yticks(), ax.get_yticklabels(), strict=True)
    ] == [
        (0, "live"),
        (-1, "model"),
    ]
    assert ax.get_xlim() == (0, 120)
    assert ax.get_xlabel() == "time (s)"


def test_statuses_have_their_looks() -> None:
    for patch in plot_statuses(LIVE).patches:
        style = STATUS_LOOKS[ConnectionStatus(str(patch.get_gid()))]
        assert same_color(patch.get_facecolor(), style.fill)
        assert (patch.get_hatch() or "") == style.hatch


def test_attempts_are_marked_above_their_lane() -> None:
    ax = plot_statuses({"live": LIVE, "model": MODEL})
    first, second = (line for line in ax.lines if line.get_gid() == "attempts")
    assert list(np.asarray(first.get_xdata())) == [1.0, 61.0, 63.0]
    assert list(np.asarray(second.get_xdata())) == [61.5]
    assert all(0.25 < y < 0.5 for y in np.asarray(first.get_ydata()))
    assert all(-0.75 < y < -0.5 for y in np.asarray(second.get_ydata()))


def test_a_status_is_named_in_its_span_or_in_the_key() -> None:
    ax = plot_statuses({"live": LIVE, "model": MODEL})
    names = [(text.get_text(), text.get_position()) for text in ax.texts]
    assert names == [
        ("connected", (30.75, 0)),
        ("error", (95, 0)),
        ("connected", (30, -1)),
        ("reconnecting", (80, -1)),
    ]
    # Reconnecting is in the key too, as the first lane has no room for its name.
    assert keys(ax) == ["disconnected", "connecting", "reconnecting", "attempt to connect"]


def test_names_fit_into_their_spans_and_the_key_into_the_figure() -> None:
    ax = plot_statuses({"live": LIVE, "model": MODEL})
    ax.get_figure(root=True).draw_without_rendering()  # type: ignore[union-attr]
    spans = [patch.get_window_extent() for patch in ax.patches]
    for text in ax.texts:
        box = text.get_window_extent()
        assert any(span.x0 <= box.x0 and box.x1 <= span.x1 and span.y0 <= box.y0 for span in spans)
    legend = ax.get_legend()
    assert legend is not None
    box = legend.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= ax.figure.bbox.x1
    assert box.y0 >= 0
    assert box.y1 < ax.xaxis.label.get_window_extent().y0


def test_no_key_where_every_status_is_named() -> None:
    assert plot_statuses([StatusSpan(CONNECTED, 0.0, 60.0)]).get_legend() is None


def test_faults_are_behind_all_lanes_and_named_apart() -> None:
    faults = [
        FaultSpan("server_down", 60.0, 80.0),
        FaultSpan("connection_reset", 62.0, 62.0),
        FaultSpan("half_open", 115.0, math.inf),
        FaultSpan("no_pong", 300.0, 310.0),
    ]
    ax = plot_statuses({"live": LIVE, "model": MODEL}, faults=faults)
    shades = [patch for patch in ax.patches if isinstance(patch, Rectangle) and patch.get_gid() == "fault"]
    assert [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in shades] == [(60, 80), (115, 120)]
    lines = [line for line in ax.lines if line.get_gid() == "fault"]
    assert [np.asarray(line.get_xdata())[0] for line in lines] == [60, 62, 115]
    spans = [patch for patch in ax.patches if patch.get_gid() != "fault"]
    assert max(artist.get_zorder() for artist in (*shades, *lines)) < min(
        patch.get_zorder() for patch in spans
    )
    ax.get_figure(root=True).draw_without_rendering()  # type: ignore[union-attr]
    boxes = {
        text.get_text(): text.get_window_extent()
        for text in ax.texts
        if text.get_text() in {"server down", "connection reset", "half open"}
    }
    assert len(boxes) == 3
    lanes_top = max(patch.get_window_extent().y1 for patch in spans)
    for name, box in boxes.items():
        assert ax.bbox.x0 <= box.x0 < box.x1 <= ax.bbox.x1
        assert lanes_top < box.y0 < box.y1 <= ax.bbox.y1 + 2
        assert not any(box.overlaps(other) for key, other in boxes.items() if key != name)


def test_a_moment_is_drawn() -> None:
    ax = plot_statuses([StatusSpan(CONNECTING, 2.0, 2.0, (2.0,))])
    assert drawn(ax) == []
    assert ax.get_xlim() == (2, 3)
    assert keys(ax) == ["attempt to connect"]


def test_it_draws_on_given_axes() -> None:
    top, bottom = Figure(figsize=(8, 4)).subplots(2)
    assert plot_statuses(LIVE, ax=bottom) is bottom
    assert not top.patches


@pytest.mark.parametrize("lanes", [[], {}, {"live": []}])
def test_nothing_is_refused(lanes: list[StatusSpan] | dict[str, list[StatusSpan]]) -> None:
    with pytest.raises(SettingsError, match="nothing to draw"):
        plot_statuses(lanes)
