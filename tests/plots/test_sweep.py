from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from chatlab.errors import SettingsError
from chatlab.plots import plot_contention, plot_cost, plot_sweep
from chatlab.studies.contention import FORMULAS, compare_formulas

NAN = math.nan
TABLE = pd.DataFrame(
    [
        ("seed", 100, 0, 1.0, 10, 5, 0.01),
        ("seed", 100, 1, 3.0, 30, 5, 0.03),
        ("seed", 1000, 0, 200.0, 40, 5, 0.1),
        ("full", 100, 0, 4.0, 200, 10, 1.0),
        ("full", 1000, 0, NAN, 0, 0, NAN),
    ],
    columns=["jitter", "count", "seed", "recovery_p99", "requests", "delivered", "latency_p50"],
)


def cells(ax: Axes) -> list[Rectangle]:
    return [patch for patch in ax.patches if isinstance(patch, Rectangle)]


def brightness(cell: Rectangle) -> float:
    return to_rgb(cell.get_facecolor())[0]


def test_a_cell_is_the_median_over_the_seeds_with_their_spread() -> None:
    ax = plot_sweep(TABLE, "count", "jitter", "recovery_p99")
    shown = {
        (text.get_position()): text.get_text()
        for text in ax.texts
        if text.get_text() and text.get_position() != (0, 3)
    }
    assert shown == {(0, 0): "2\n1 – 3", (1, 0): "200", (0, 1): "4"}
    assert [label.get_text() for label in ax.get_xticklabels()] == ["100", "1000"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["seed", "full"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("count", "jitter")
    assert "recovery, 99th percentile (s), median of 2 seeds" in [text.get_text() for text in ax.texts]


def test_the_darker_the_more_and_what_is_missing_is_hatched() -> None:
    least, most, little, missing = cells(plot_sweep(TABLE, "count", "jitter", "recovery_p99"))
    assert brightness(least) > brightness(little) > brightness(most)
    assert missing.get_gid() == "missing"
    assert missing.get_hatch()
    assert not any(cell.get_hatch() for cell in (least, most, little))
    logarithmic = cells(plot_sweep(TABLE, "count", "jitter", "recovery_p99", log=True))
    assert brightness(logarithmic[2]) < brightness(little) - 0.05
    assert brightness(logarithmic[1]) == brightness(most)


def test_figures_are_legible_on_their_cells() -> None:
    ax = plot_sweep(TABLE, "count", "jitter", "recovery_p99")
    figures = [text for text in ax.texts if text.get_position() != (0, 3)]
    known = [cell for cell in cells(ax) if cell.get_gid() == "cell"]
    for text, cell in zip(figures, known, strict=True):
        assert cell.get_x() + 0.5 == text.get_position()[0]
        assert abs(to_rgb(text.get_color())[0] - brightness(cell)) > 0.4


@pytest.mark.parametrize("values", [[5.0, 5.0], [0.0, 7.0], [0.0, 0.0]])
def test_equal_figures_and_zeros_are_drawn(values: list[float]) -> None:
    table = pd.DataFrame({"x": [1, 2], "y": ["a", "a"], "lost": values})
    for log in (False, True):
        assert all(0 <= brightness(cell) <= 1 for cell in cells(plot_sweep(table, "x", "y", "lost", log=log)))


def test_a_heat_map_of_nothing_is_refused() -> None:
    with pytest.raises(SettingsError, match="there is no column 'colour'; choose from jitter, count"):
        plot_sweep(TABLE, "colour", "jitter", "recovery_p99")
    with pytest.raises(SettingsError, match="no run has a value of 'recovery_p99'"):
        plot_sweep(TABLE.iloc[4:], "count", "jitter", "recovery_p99")


def marks(ax: Axes) -> list[tuple[float, float]]:
    return [
        (float(np.asarray(line.get_xdata())[0]), float(np.asarray(line.get_ydata())[0])) for line in ax.lines
    ]


def test_a_mark_is_cost_against_latency() -> None:
    ax = plot_cost(TABLE, "jitter")
    # Of each run requests / delivered, then the median: of 2, 6 and 8, and of 200 / 10.
    assert marks(ax) == [pytest.approx((0.03, 6.0)), pytest.approx((1.0, 20.0))]
    assert [text.get_text() for text in ax.texts if text.get_text() in ("seed", "full")] == ["seed", "full"]
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("latency, median (s)", "requests per delivered message")
    both = plot_cost(TABLE, ["jitter", "count"], cost="requests")
    assert len(marks(both)) == 3
    assert "seed, 1000" in [text.get_text() for text in both.texts]


@pytest.mark.slow
def test_names_of_equal_marks_stand_apart_within_the_figure() -> None:
    table = pd.DataFrame(
        {
            "by": ["one", "two", "three with a long name"],
            "requests": [5, 5, 9],
            "delivered": 1,
            "latency_p50": [0.1, 0.1, 4.0],
        }
    )
    ax = plot_cost(table, "by")
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in ax.texts if text.get_text() in set(table["by"])]
    # An annotation's extent holds its leader line, too: letters alone are at its right.
    heights = sorted((box.y0 + box.y1) / 2 for box in boxes)
    assert len(set(heights)) == 3
    for text in ax.texts:
        assert text.get_window_extent().x1 <= figure.bbox.x1 + 1


INFINITE = pd.DataFrame(
    {
        "x": [1, 1, 1, 2, 3, 3],
        "y": "a",
        "recovery_p99": [1.0, math.inf, math.inf, 5.0, 9.0, math.inf],
        "requests": 5,
        "delivered": 1,
        "latency_p50": [0.1, 0.1, math.inf, math.inf, 0.2, 0.3],
    }
)


@pytest.mark.parametrize("log", [False, True])
def test_an_infinite_median_is_never_and_dark(log: bool) -> None:
    ax = plot_sweep(INFINITE, "x", "y", "recovery_p99", log=log)
    texts = [text.get_text() for text in ax.texts if text.get_position() != (0, 3)]
    assert [text for text in texts if text] == ["never\n1 – never", "5", "never\n9 – never"]
    never, finite, other = cells(ax)
    assert brightness(never) == brightness(other) < brightness(finite)
    only = cells(plot_sweep(INFINITE.iloc[1:3], "x", "y", "recovery_p99", log=log))
    assert [cell.get_gid() for cell in only] == ["cell"]


@pytest.mark.slow
def test_a_spread_without_room_is_left_out() -> None:
    table = pd.concat([TABLE.assign(count=count) for count in range(40)])
    ax = plot_sweep(table, "count", "jitter", "recovery_p99")
    assert not [text for text in ax.texts if "\n" in text.get_text()]


def test_a_mark_that_is_never_shown_is_hollow_and_at_the_right() -> None:
    ax = plot_cost(INFINITE, "x")
    first, second, third = ax.lines
    assert [line.get_gid() for line in (first, second, third)] == [None, "never", None]
    assert second.get_markerfacecolor() == "white"
    assert marks(ax)[1][0] > marks(ax)[2][0] == pytest.approx(0.25)
    assert "2 (never)" in [text.get_text() for text in ax.texts]
    assert marks(plot_cost(INFINITE.iloc[3:4], "x")) == [(1.0, 5.0)]


def test_costs_of_nothing_are_refused() -> None:
    with pytest.raises(SettingsError, match="there is no column 'bytes_up'"):
        plot_cost(TABLE, "jitter", cost="bytes_up")
    with pytest.raises(SettingsError, match="no run has a 'requests' and a 'latency_p50' above 0"):
        plot_cost(TABLE.iloc[4:], "jitter")


def test_they_draw_on_given_axes() -> None:
    top, bottom = Figure(figsize=(8, 8)).subplots(2)
    assert plot_sweep(TABLE, "count", "jitter", "requests", ax=top) is top
    assert plot_cost(TABLE, "jitter", ax=bottom) is bottom


@pytest.mark.parametrize("of", ["writes", "seconds"])
def test_contention_stands_beside_what_was_published(of: str) -> None:
    table = compare_formulas((3, 10), repetitions=2)
    ax = plot_contention(table, of=of)
    lines: list[Any] = ax.get_lines()
    assert len(lines) == 2 * len(FORMULAS)
    for number, formula in enumerate(FORMULAS):
        rows = table[table["formula"] == formula]
        simulated, published = lines[2 * number], lines[2 * number + 1]
        assert simulated.get_label() == formula
        assert list(simulated.get_ydata()) == rows[of].tolist()
        assert published.get_gid() == "published"
        assert np.array_equal(published.get_ydata(), rows[f"published_{of}"], equal_nan=True)
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [*FORMULAS, "published"]
    with pytest.raises(SettingsError, match="of: choose one of seconds, writes, got 'joy'"):
        plot_contention(table, of="joy")
