from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from chatlab.errors import SettingsError
from chatlab.plots import plot_backoff
from chatlab.presets import PRESETS
from chatlab.settings import ReconnectConfig
from chatlab.studies.backoff_delays import backoff_delays

FULL = ReconnectConfig(jitter="full")
SEED = ReconnectConfig()


def bars(ax: Axes) -> list[Rectangle]:
    return [patch for patch in ax.patches if isinstance(patch, Rectangle)]


def test_line_is_the_median_and_bars_are_the_percentiles() -> None:
    ax = plot_backoff(FULL, samples=500, seed=3)
    low, median, high = np.percentile(backoff_delays(FULL, samples=500, seed=3), (10, 50, 90), axis=0)
    (line,) = ax.lines
    assert line.get_label() == "full"
    assert line.get_xdata() == pytest.approx(range(1, 11))
    assert line.get_ydata() == pytest.approx(median)
    assert [bar.get_x() + bar.get_width() / 2 for bar in bars(ax)] == pytest.approx(range(1, 11))
    assert [bar.get_y() for bar in bars(ax)] == pytest.approx(low)
    assert [bar.get_y() + bar.get_height() for bar in bars(ax)] == pytest.approx(high)


def test_the_seeds_spread_ends_at_its_cap() -> None:
    """Check that there is no bar from the sixth retry on."""
    assert [bar.get_x() + bar.get_width() / 2 for bar in bars(plot_backoff(SEED))] == pytest.approx(
        [1, 2, 3, 4, 5]
    )


def test_bars_of_several_settings_do_not_overlap() -> None:
    ax = plot_backoff({name: PRESETS[name].reconnect for name in PRESETS}, samples=50)
    boxes = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for bar in bars(ax))
    assert len(boxes) > 50
    assert all(before[1] <= after[0] + 1e-9 for before, after in itertools.pairwise(boxes))
    lines = [(line.get_label(), len(np.asarray(line.get_xdata()))) for line in ax.lines]
    assert lines == [(name, 4 if name == "SignalR" else 10) for name in PRESETS]


def text_boxes(ax: Axes) -> dict[str, Bbox]:
    """Return the names of lines, as drawn."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    return {text.get_text(): text.get_window_extent() for text in ax.texts if text.get_position() != (0, 3)}


@pytest.mark.slow
@pytest.mark.parametrize(
    "names", [("seed", "full jitter"), ("seed", "socket.io", "Phoenix", "full jitter", "Centrifugo")]
)
def test_names_stand_apart_within_the_figure(names: tuple[str, ...]) -> None:
    ax = plot_backoff({name: PRESETS[name].reconnect for name in names})
    boxes = text_boxes(ax)
    assert boxes.keys() == set(names)
    for name, box in boxes.items():
        assert ax.figure.bbox.x0 <= box.x0 < box.x1 <= ax.figure.bbox.x1
        assert ax.bbox.y0 <= (box.y0 + box.y1) / 2 <= ax.bbox.y1
        assert not any(box.overlaps(other) for key, other in boxes.items() if key != name)


def test_names_have_the_colours_of_their_lines() -> None:
    ax = plot_backoff({"a": SEED, "b": FULL})
    assert {text.get_text(): text.get_color() for text in ax.texts[1:]} == {
        str(line.get_label()): line.get_color() for line in ax.lines
    }


def test_settings_that_give_up_say_so() -> None:
    ax = plot_backoff({"SignalR": PRESETS["SignalR"].reconnect, "full": FULL})
    _, above, beside = ax.texts
    assert isinstance(above, Annotation)
    assert above.get_text() == "SignalR gives up"
    assert above.xy == pytest.approx((4 - 0.14, 30))  # half a lane to the left of the fourth retry
    assert beside.get_text() == "full"


def test_a_thin_line_leads_from_beside_each_end_to_its_name() -> None:
    close = {name: FULL.replace(max_delay=delay) for name, delay in (("one", 20.0), ("two", 20.5))}
    ax = plot_backoff({"SignalR": PRESETS["SignalR"].reconnect, "seed": SEED} | close)
    boxes = text_boxes(ax)
    (leaders,) = ax.collections
    assert isinstance(leaders, LineCollection)
    lines = [line for line in ax.lines if line.get_label() != "SignalR"]
    assert len(leaders.get_segments()) == len(lines) == 3
    colours = to_rgba_array([line.get_color() for line in lines])
    assert (np.asarray(leaders.get_color()) == colours).all()
    for line, leader in zip(lines, leaders.get_segments(), strict=True):
        end = ax.transData.transform([np.asarray(line.get_xydata())[-1]])[0]
        begin, aim = ax.transData.transform(leader)
        way = aim - end
        assert begin == pytest.approx(end + 4 / 72 * ax.figure.dpi * way / np.hypot(*way))
        box = boxes[str(line.get_label())]
        assert abs(aim[0] - (box.x0 + box.x1) / 2) < 0.1 * box.width
        assert box.y0 < aim[1] < box.y1
    assert abs(way[1]) > 5, "none is at a slant"
    names = [text for text in ax.texts if text.get_text() in {"seed", *close}]
    assert all(text.get_bbox_patch() and text.get_zorder() >= leaders.get_zorder() for text in names)
    assert ax.get_children().index(leaders) < min(ax.get_children().index(text) for text in names)


def test_question_units_and_ticks() -> None:
    ax = plot_backoff(FULL, samples=1234, attempts=7)
    assert ax.get_title(loc="left") == "How long until the next attempt?"
    assert ax.get_ylabel() == "delay (s)"
    assert "1,234 clients" in ax.texts[0].get_text()
    assert list(ax.get_xticks()) == [1, 2, 3, 4, 5, 6, 7]
    assert ax.get_ylim()[0] == 0


def test_a_schedule_is_called_so() -> None:
    assert plot_backoff(PRESETS["Phoenix"].reconnect).lines[0].get_label() == "schedule"


def test_it_draws_on_given_axes() -> None:
    left, right = Figure(figsize=(8, 3)).subplots(1, 2)
    assert plot_backoff(FULL, ax=right) is right
    assert right.lines
    assert not left.lines


def test_all_delays_nought() -> None:
    ax = plot_backoff(ReconnectConfig(base_delay=0.0))
    assert ax.get_ylim() == (0, 1)


def test_disabled_settings_are_left_out_and_nothing_at_all_is_refused() -> None:
    off = ReconnectConfig(enabled=False)
    assert [line.get_label() for line in plot_backoff({"off": off, "on": FULL}).lines] == ["on"]
    for configs in ({}, {"off": off}):
        with pytest.raises(SettingsError, match="nothing to draw"):
            plot_backoff(configs)
