from __future__ import annotations

import itertools
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axis import Axis
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.textpath import TextPath

from chatlab.messages import ConnectionStatus
from chatlab.plots.png import png
from chatlab.plots.style import (
    FAINT,
    LOOKS,
    STATUS_LOOKS,
    Chart,
    bar,
    grid,
    look,
    new_axes,
    size,
    spread,
    style_axes,
    text_width,
    tint,
)


def luminance(colour: str) -> float:
    """Return the relative luminance. Source: WCAG 2.2."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_series_differ_without_colour_and_their_names_are_legible_on_white() -> None:
    assert len({style.marker for style in LOOKS}) == len({style.line for style in LOOKS}) == len(LOOKS)
    assert all(contrast(style.colour, "white") >= 4 for style in LOOKS)
    assert look(len(LOOKS)) is LOOKS[0]


def test_statuses_differ_without_colour_and_text_on_them_is_legible() -> None:
    assert STATUS_LOOKS.keys() == set(ConnectionStatus)
    for one, other in itertools.combinations(STATUS_LOOKS.values(), 2):
        assert one.hatch != other.hatch or contrast(one.fill, other.fill) > 1.9
    assert all(contrast(style.fill, style.text) >= 4.5 for style in STATUS_LOOKS.values())


def test_a_new_figure_is_white_100_mm_wide_and_shows_itself_in_jupyter() -> None:
    ax = new_axes(height=50.0, left=10.0, right=15.0, top=5.0, bottom=10.0)
    figure = ax.figure
    assert isinstance(figure, Chart)
    assert figure.get_size_inches() * 25.4 == pytest.approx([100, 50])
    assert figure.get_facecolor() == (1, 1, 1, 1)
    assert size(ax) == pytest.approx((75 * 72 / 25.4, 35 * 72 / 25.4))
    shown = figure._repr_png_()
    assert shown == png(figure)
    assert shown.startswith(b"\x89PNG")
    assert int.from_bytes(shown[16:20]) == int(100 / 25.4 * 200)  # IHDR's width in pixels


@pytest.mark.proof
def test_plots_do_not_touch_pyplot() -> None:
    script = (
        "import sys, chatlab.plots as p; from chatlab.settings import ReconnectConfig as C;"
        "p.plot_backoff(C()).figure._repr_png_(); print('matplotlib.pyplot' in sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True).stdout
    assert output.strip() == "False"


def test_style_axes_labels_any_axes() -> None:
    ax = Figure().subplots()
    style_axes(ax, title="Why?", note="because", x="time (s)", y="delay (s)")
    assert (ax.get_title(loc="left"), ax.get_xlabel(), ax.get_ylabel()) == ("Why?", "time (s)", "delay (s)")
    assert [text.get_text() for text in ax.texts] == ["because"]


def test_tint_is_between_white_and_the_colour() -> None:
    assert tint("#000000", 0.25) == (0.75, 0.75, 0.75)
    assert tint("#ff0000", 1.0) == (1.0, 0.0, 0.0)


def test_text_width_is_that_of_the_drawn_text() -> None:
    ax = new_axes()
    text = ax.text(0, 0, "reconnecting", fontsize=8, fontweight="bold")
    drawn = text.get_window_extent().width / ax.figure.dpi * 72
    assert text_width("reconnecting", 8, bold=True) == pytest.approx(drawn, rel=0.05)
    assert text_width("", 8) == 0.0


@pytest.mark.parametrize("text", ["1", "ij", "f(x) = µ ± 3", "100 %", "W, …"])
@pytest.mark.parametrize("weight", ["normal", "bold"])
def test_text_width_is_that_of_the_curves_at_their_extremes(text: str, weight: str) -> None:
    outline = TextPath((0, 0), text, size=8, prop=FontProperties(weight=weight))
    assert text_width(text, 8, bold=weight == "bold") == pytest.approx(outline.get_extents().width, abs=0.01)


@given(st.lists(st.floats(-10, 110), max_size=8))
def test_labels_are_spread_in_order_and_within_bounds(positions: list[float]) -> None:
    placed = spread(positions, 5.0, 0.0, 100.0)
    assert all(-1e-9 <= at <= 100 + 1e-9 for at in placed)
    order = sorted(range(len(positions)), key=positions.__getitem__)
    for before, after in itertools.pairwise(order):
        assert placed[after] - placed[before] >= 5.0 - 1e-9


def test_labels_move_as_little_as_it_takes() -> None:
    assert spread([10.0, 50.0, 90.0], 5.0, 0.0, 100.0) == [10.0, 50.0, 90.0]
    assert spread([50.0, 50.0], 10.0, 0.0, 100.0) == [45.0, 55.0]
    assert spread([1.0, 0.0], 10.0, 0.0, 100.0) == [10.0, 0.0]
    assert spread([5.0] * 3, 10.0, 0.0, 10.0) == [0.0, 5.0, 10.0]
    assert spread([], 10.0, 0.0, 100.0) == []


def test_style_axes_sets_only_ticks_that_differ(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ax = Figure().subplots()
    ax.tick_params(labelsize=20, colors="red", length=9)
    style_axes(ax, title="Why?", x="time (s)")
    ours = {"labelsize": 8.0, "color": "#1a1a1a", "labelcolor": "#1a1a1a", "length": 3}
    for axis in (ax.xaxis, ax.yaxis):
        assert ours.items() <= axis.get_tick_params().items()
    monkeypatch.setattr(Axis, "set_tick_params", None)  # which nobody can call
    style_axes(ax, title="Why again?", x="time (s)")


def test_lanes_have_names_but_neither_a_line_nor_marks() -> None:
    ax = Figure().subplots()
    style_axes(ax, title="Who?", x="time (s)", lanes=True)
    assert [axis.get_tick_params()["length"] for axis in (ax.xaxis, ax.yaxis)] == [3, 0]
    assert [name for name in ax.spines if ax.spines[name].get_visible()] == ["bottom"]


def test_a_grid_is_faint_and_behind_all_else_and_only_on_the_given_axes() -> None:
    ax = Figure().subplots()
    for _ in range(2):
        grid(ax.yaxis)
        assert [axis.get_tick_params()["gridOn"] for axis in (ax.xaxis, ax.yaxis)] == [False, True]
        assert ax.yaxis.get_gridlines()[0].get_color() == FAINT
        assert ax.get_axisbelow() is True


def test_a_bar_has_the_given_place_and_leaves_the_limits() -> None:
    ax = new_axes()
    ax.set(xlim=(0, 10), ylim=(0, 3))
    bar(ax, 2.0, 1.0, 20.0, 0.5, facecolor="red", hatch="//")
    (patch,) = ax.patches
    assert isinstance(patch, Rectangle)
    assert patch.get_bbox().bounds == (2.0, 1.0, 20.0, 0.5)
    assert (patch.get_facecolor(), patch.get_hatch()) == ((1, 0, 0, 1), "//")
    assert patch.get_clip_box() is not None
    assert (ax.get_xlim(), ax.get_ylim()) == ((0, 10), (0, 3))
