"""Sheets: the same axes each time, without earlier artists."""

from __future__ import annotations

from collections.abc import Callable
from unittest.mock import Mock

import pytest
from matplotlib.axes import Axes

from chatlab.plots import plot_alarms, plot_backoff, plot_detection, plot_polling
from chatlab.plots.png import png
from chatlab.plots.reusable_figure import ReusableFigure
from chatlab.plots.style import figure_of, new_row
from chatlab.plots.text_cache import TextCachingCanvas
from chatlab.presets import PRESETS
from tests.sizes import rows


def test_axes_are_those_of_the_last_time_and_placed_as_new_ones() -> None:
    reusable = ReusableFigure()
    row = reusable.row(2, left=20.0)
    assert [ax.get_position().bounds for ax in row] == [
        ax.get_position().bounds for ax in new_row(2, left=20.0)
    ]
    assert reusable.row(2, left=20.0) == row
    assert isinstance(figure_of(row[0]).canvas, TextCachingCanvas)


@pytest.mark.parametrize(("count", "left"), [(2, 21.0), (1, 20.0)])
def test_another_layout_has_a_figure_of_its_own(count: int, left: float) -> None:
    reusable = ReusableFigure()
    before = figure_of(reusable.row(2, left=20.0)[0])
    row = reusable.row(count, left=left)
    assert len(row) == count
    assert figure_of(row[0]) is not before


def test_what_was_drawn_is_gone() -> None:
    reusable = ReusableFigure()
    (ax,) = reusable.row()
    ax.plot([1, 2], label="line")
    ax.bar([1, 2], [1, 2])
    ax.text(1, 1, "text")
    ax.scatter([1], [1])
    ax.legend()
    assert reusable.row() == [ax]
    assert [*ax.lines, *ax.patches, *ax.texts, *ax.collections, *ax.artists] == []
    assert ax.get_legend() is None


PLOTS: dict[str, list[Callable[[Axes], object]]] = {
    "backoff": [
        lambda ax: plot_backoff({name: PRESETS[name].reconnect for name in list(PRESETS)[:4]}, ax=ax),
        lambda ax: plot_backoff(PRESETS["seed"].reconnect, ax=ax, attempts=3),
    ],
    "alarms": [
        lambda ax: plot_alarms(10.0, 0.01, pongs=[0.08, 0.5, 12.0], ax=ax),
        lambda ax: plot_alarms(3.0, 0.0, ax=ax),
    ],
    "detection": [
        lambda ax: plot_detection([12.0, 25.0], 30.0, 10.0, ax=ax),
        lambda ax: plot_detection([1.5], 1.0, 1.0, ax=ax),
    ],
    "polling": [
        lambda ax: plot_polling(0.2, ax=ax),
        lambda ax: plot_polling(10.0, interval=60.0, delay=0.5, measured={"short": (30.0, 1.0)}, ax=ax),
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", rows(PLOTS, "polling"))
def test_a_plot_on_a_used_sheet_is_that_on_a_new_one(name: str) -> None:
    plots, used = PLOTS[name], ReusableFigure()
    for plot in [*plots, *reversed(plots)]:
        new = ReusableFigure()
        pictures = []
        for reusable in (used, new):
            (ax,) = reusable.row()
            plot(ax)
            pictures.append(png(figure_of(ax)))
        assert pictures[0] == pictures[1]


@pytest.mark.slow
def test_a_label_below_stays_and_one_at_the_left_follows_its_numbers() -> None:
    places = []
    reusable = ReusableFigure()
    for top in (1.0, 1e5):
        (ax,) = reusable.row(left=20.0)
        ax.set(xlim=(0, 1), ylim=(0, top), xlabel="time (s)", ylabel="people")
        png(figure_of(ax))
        places.append([axis.label.get_window_extent().p0.tolist() for axis in (ax.xaxis, ax.yaxis)])
    assert places[0][0] == places[1][0]
    assert places[1][1][0] < places[0][1][0] - 10


def test_a_sheet_that_was_not_drawn_yet_places_its_labels_when_it_is() -> None:
    reusable = ReusableFigure()
    for _ in range(2):
        (ax,) = reusable.row()
        ax.set(xlabel="time (s)")
    png(figure_of(ax))
    numbers = min(label.get_window_extent().y0 for label in ax.get_xticklabels())
    assert ax.xaxis.label.get_window_extent().y1 < numbers


def test_numbers_at_an_axis_are_measured_once_a_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    reusable = ReusableFigure()
    (ax,) = reusable.row()
    png(figure_of(ax))
    (ax,) = reusable.row()
    ax.set_xlim(0, 1.01)
    number = ax.get_xticklabels()[0]
    measure = Mock(side_effect=number.get_window_extent)
    monkeypatch.setattr(number, "get_window_extent", measure)
    png(figure_of(ax))
    assert measure.call_count == 1
