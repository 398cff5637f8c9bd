from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from chatlab.errors import SettingsError
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.plots import plot_node_attempts, plot_node_connections
from chatlab.plots.style import new_axes
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.faults import RollingRestart
from chatlab.sim.people import PeopleConfig


@pytest.fixture(scope="module")
def deploy() -> Run:
    return run(
        Scenario(
            name="deploy",
            duration=60.0,
            people=PeopleConfig(count=30),
            server=ServerConfig(nodes=3),
            faults=(RollingRestart(at=10.0, drain=5.0, down=2.0, pause=1.0),),
        )
    )


def test_attempts_are_stacked_up_to_those_of_all_nodes(deploy: Run) -> None:
    ax = plot_node_attempts(deploy)
    stack = [one for one in ax.collections if str(one.get_label()).startswith("node")]
    assert [one.get_label() for one in stack] == ["node 1", "node 2", "node 3"]
    tops = [float(one.get_paths()[0].get_extents().y1) for one in stack]
    counts = np.array(deploy.node_series["attempts"])
    assert tops == np.cumsum(counts, axis=0).max(axis=1).tolist()
    assert ax.get_ylim()[1] > tops[-1] > 0


def test_connections_are_a_line_for_each_node_and_two_are_named(deploy: Run) -> None:
    ax = plot_node_connections(deploy)
    lines = [line for line in ax.lines if str(line.get_label()).startswith("node")]
    assert [list(np.asarray(line.get_ydata())) for line in lines] == deploy.node_series["connected"]
    ends = [counts[-1] for counts in deploy.node_series["connected"]]
    named = [text.get_text() for text in ax.texts if text.get_gid() == "node"]
    assert named == [f"node {ends.index(max(ends)) + 1}", f"node {ends.index(min(ends)) + 1}"]


@pytest.mark.parametrize("plot", [plot_node_attempts, plot_node_connections])
def test_they_draw_on_given_axes_or_say_that_nothing_was_counted(deploy: Run, plot: object) -> None:
    assert callable(plot)
    ax = new_axes()
    assert plot(deploy, ax=ax) is ax
    with pytest.raises(SettingsError, match="nothing to draw: the run has no counts of nodes"):
        plot(replace(deploy, node_series={}))
