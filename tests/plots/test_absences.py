from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from chatlab.errors import SettingsError
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.plots import plot_absences
from chatlab.plots.png import png
from chatlab.plots.style import figure_of
from chatlab.settings import ReconnectConfig
from chatlab.sim.faults import ConnectionReset, ServerDown
from chatlab.sim.people import PeopleConfig
from chatlab.sim.transport_settings import WebSocketSettings
from chatlab.studies import absences, kaplan_meier


@pytest.fixture(scope="module")
def herd() -> Run:
    return run(
        Scenario(
            name="herd",
            duration=40.0,
            people=PeopleConfig(count=20),
            transport=WebSocketSettings(reconnect=ReconnectConfig(jitter="full")),
            faults=(ServerDown(at=10.0, duration=5.0), ConnectionReset(at=39.9)),
        )
    )


@pytest.fixture(scope="module")
def gone() -> Run:
    transport = WebSocketSettings(reconnect=ReconnectConfig(enabled=False))
    faults = (ConnectionReset(at=10.0, people=("person-1",)),)
    return run(Scenario(duration=40.0, people=PeopleConfig(count=2), transport=transport, faults=faults))


def test_the_curve_is_the_estimate_with_a_tick_for_each_person_who_is_still_away(herd: Run) -> None:
    ax = plot_absences(herd)
    line, ticks = ax.lines
    seconds, shares = kaplan_meier(absences(herd))
    assert line.get_label() == "herd"
    assert list(np.asarray(line.get_xdata()))[1:-1] == seconds
    assert list(np.asarray(line.get_ydata()))[1:-1] == shares
    assert len(np.asarray(ticks.get_xdata())) == sum(not absence.back for absence in absences(herd)) > 0
    assert ax.get_xlim()[1] > seconds[-1]
    assert [text.get_text() for text in ax.texts if text.get_gid() == "never"] == ["not back: 5 %"]


@pytest.mark.slow
def test_the_share_that_is_not_back_is_written(herd: Run, gone: Run) -> None:
    ax = plot_absences({"herd": herd, "gone": gone})
    assert [text.get_text() for text in ax.texts if text.get_gid() == "never"] == [
        "not back: 5 %",
        "not back: 100 %",
    ]
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["herd", "gone"]
    assert np.isfinite(plot_absences(gone).get_xlim()).all()
    assert png(figure_of(ax)).startswith(b"\x89PNG")


def test_nothing_to_draw_is_reported(herd: Run) -> None:
    with pytest.raises(SettingsError, match="none of the recorded people lost a connection"):
        plot_absences(replace(herd, people=[]))
