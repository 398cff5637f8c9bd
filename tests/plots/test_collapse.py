from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import same_color
from matplotlib.figure import Figure

from chatlab.errors import SettingsError
from chatlab.plots import plot_collapse
from chatlab.plots.style import LOOKS
from chatlab.studies.retry_storm import AFTER, PUBLISHED, SPIKE, Policy, Storm


def storm(good: int) -> Storm:
    return Storm(np.full(80, 40), np.full(80, 50), np.full(80, good))


STORMS: dict[Policy, list[Storm]] = {"no backoff": [storm(0), storm(8)], "backoff and jitter": [storm(39)]}


def test_means_stand_beside_what_was_published() -> None:
    ax = plot_collapse(STORMS)
    lines = {line.get_label(): line for line in ax.lines}
    assert set(lines["no backoff"].get_ydata()) == {4.0}  # type: ignore[arg-type]
    assert set(lines["clients that come"].get_ydata()) == {40.0}  # type: ignore[arg-type]
    assert len(lines["no backoff"].get_xdata()) == 81  # type: ignore[arg-type]
    bars = [line for line in ax.lines if line.get_gid() == "published"]
    assert [list(bar.get_ydata()) for bar in bars] == [[PUBLISHED[policy]] * 2 for policy in STORMS]  # type: ignore[arg-type]
    assert all(tuple(bar.get_xdata()) == AFTER for bar in bars)  # type: ignore[arg-type]
    for number, policy in enumerate(STORMS):
        assert same_color(lines[policy].get_color(), LOOKS[number].colour)
    (spike,) = [patch for patch in ax.patches if patch.get_gid() == "spike"]
    assert spike.get_x() == SPIKE[0]  # type: ignore[attr-defined]


def test_no_texts_overlap() -> None:
    ax = plot_collapse(STORMS)
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    legend = ax.get_legend()
    assert legend is not None
    (spike,) = [text for text in ax.texts if text.get_text() == "spike"]
    assert not legend.get_window_extent().overlaps(spike.get_window_extent())
    assert ax.yaxis.label.get_window_extent().x0 >= 0


def test_it_draws_on_given_axes() -> None:
    ax = Figure().subplots()
    assert plot_collapse(STORMS, ax=ax) is ax


@pytest.mark.parametrize("storms", [{}, {"no backoff": []}])
def test_nothing_to_draw_is_refused(storms: dict[Policy, list[Storm]]) -> None:
    with pytest.raises(SettingsError, match="give one storm or more of each policy"):
        plot_collapse(storms)
