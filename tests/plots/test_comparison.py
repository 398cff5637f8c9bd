from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from msgspec import structs

from chatlab import compare, run
from chatlab.errors import SettingsError
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.plots import plot_comparison
from chatlab.plots.comparison import MOST_PEOPLE
from chatlab.plots.png import png
from chatlab.sim.faults import ServerDown
from chatlab.sim.people import PeopleConfig


@pytest.fixture(scope="module")
def model() -> Run:
    return run(
        Scenario(duration=20.0, people=PeopleConfig(count=2), faults=(ServerDown(at=4.1, duration=2.0),))
    )


def marks(ax: Axes, gid: str) -> list[float]:
    return [
        float(x) for line in ax.get_lines() if line.get_gid() == gid for x in np.atleast_1d(line.get_xdata())
    ]


def late(result: Run, person: str) -> Run:
    trace = [
        structs.replace(step, at=step.at + 1) if step.person == person and step.at > 4 else step
        for step in result.trace
    ]
    return structs.replace(result, world="wire", trace=trace)


def test_runs_that_agree_have_no_marks(model: Run) -> None:
    ax = plot_comparison(model, structs.replace(model, world="wire"))
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["person-1, model", "person-1, wire", "person-2, model", "person-2, wire"]
    assert not marks(ax, "first difference")
    assert not marks(ax, "further differences")
    assert "yes, to within 1 ms" in [text.get_text() for text in ax.texts]
    assert ax.get_title(loc="left") == "Do model and wire agree?"


def test_the_note_has_no_reason_which_would_not_fit(model: Run) -> None:
    ax = plot_comparison(model, structs.replace(model, world="live", lateness=0.0))
    assert "yes, to within 5 ms" in [text.get_text() for text in ax.texts]


def test_differences_are_marked_where_they_are(model: Run) -> None:
    other = late(model, "person-2")
    differences = compare(model, other).differences
    assert {difference.person for difference in differences} == {"person-2"}
    ax = plot_comparison(model, other)
    assert marks(ax, "first difference") == [differences[0].at]
    assert marks(ax, "further differences") == [difference.at for difference in differences[1:]]
    heights = [
        float(y)
        for line in ax.get_lines()
        if line.get_gid() == "first difference"
        for y in np.atleast_1d(line.get_ydata())
    ]
    assert len(heights) == 1
    assert -3 < heights[0] < -2  # between the lanes of the second person
    note = f"{len(differences)} differences, the first of person-2 at {differences[0].at:.2f} s"
    assert note in [text.get_text() for text in ax.texts]
    legend = ax.get_legend()
    assert legend is not None
    assert "first difference" in [text.get_text() for text in legend.get_texts()]


@pytest.mark.slow
def test_people_with_differences_are_drawn_first() -> None:
    crowd = run(
        Scenario(duration=10.0, people=PeopleConfig(count=9), faults=(ServerDown(at=4.1, duration=2.0),))
    )
    ax = plot_comparison(crowd, late(crowd, "person-9"))
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert len(names) == 2 * MOST_PEOPLE
    assert names[-1] == "person-9, wire"
    assert any("3 more people aren't shown" in text.get_text() for text in ax.texts)


@pytest.mark.slow
def test_two_runs_in_one_world_have_different_names_and_axes_may_be_given(model: Run) -> None:
    own = plot_comparison(model, model)
    assert "person-1, model 2" in [label.get_text() for label in own.get_yticklabels()]
    figure = own.get_figure(root=True)
    assert figure is not None
    assert png(figure).startswith(b"\x89PNG")
    given = figure.add_axes((0.2, 0.2, 0.6, 0.6))
    assert plot_comparison(model, model, ax=given) is given


def test_with_nobody_in_common_there_is_nothing_to_draw(model: Run) -> None:
    with pytest.raises(SettingsError, match="the same people"):
        plot_comparison(model, structs.replace(model, people=[], trace=[]))
