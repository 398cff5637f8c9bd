"""The stack of wire and live world: faults of the real server, and errors."""

from __future__ import annotations

import pytest

from chatlab import compare, run
from chatlab.experiment.column_recorder import ColumnRecorder
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.stack import addressed
from chatlab.settings import FallbackConfig, HeartbeatConfig, OutboxConfig
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.faults import AnyFault, NoPong, ServerDown, SlowServer
from chatlab.sim.people import PeopleConfig, ScriptEntry
from chatlab.sim.transport_settings import FallbackSettings, SSESettings, WebSocketSettings


def test_every_transport_of_a_fallback_is_sent_to_its_address_of_the_server() -> None:
    config = addressed(FallbackSettings().config(room="r", sender="ada"), "http://127.0.0.1:4321")
    assert isinstance(config, FallbackConfig)
    assert [inner.url for inner in config.transports] == [
        "ws://127.0.0.1:4321/ws",
        *["http://127.0.0.1:4321"] * 3,
    ]


def scenario(*faults: AnyFault, script: tuple[ScriptEntry, ...] = (), **changes: object) -> Scenario:
    played = Scenario(duration=30.0, people=PeopleConfig(count=2, script=script), faults=faults)
    return played.replace(**changes)


BEAT = HeartbeatConfig(interval=5.0, timeout=2.0, mode="ping")
BURST = tuple(
    ScriptEntry(at=4.01 + 0.01 * number, person=person, text=f"{number}")
    for number, person in enumerate(["ada", "bob", "ada", "bob", "ada"])
)


@pytest.mark.parametrize(
    "played",
    [
        scenario(NoPong(at=7.3, duration=9.1), transport=WebSocketSettings(heartbeat=BEAT)),
        scenario(NoPong(at=7.3, duration=20.1), transport=SSESettings(idle_timeout=8.0)),
        scenario(SlowServer(at=2.3, duration=9.0, service_time=0.3), script=BURST),
        scenario(script=BURST, server=ServerConfig(service_time=0.1, service="exponential")),
        scenario(script=BURST, server=ServerConfig(max_connections=1)),
        scenario(
            script=BURST, server=ServerConfig(presence=True, reconnection_time=1.5), transport=SSESettings()
        ),
        scenario(
            ServerDown(at=3.3, duration=9.1),
            script=BURST,
            transport=WebSocketSettings(outbox=OutboxConfig(max_size=1, overflow="reject")),
        ),
        scenario(people=PeopleConfig(count=5, rooms=2, send_rate=0.3, arrive_over=4.0), seed=11),
    ],
    ids=["ping frames", "comments", "slow", "at random", "full", "presence", "refused", "a population"],
)
def test_the_real_server_has_the_faults_of_the_model(played: Scenario) -> None:
    model, wire = run(played), run(played, "wire")
    compared = compare(model, wire)
    assert compared, str(compared)
    for name in ("sent", "acked", "delivered", "lost", "refused", "attempts", "time_connected", "queue_max"):
        assert model.metrics[name] == pytest.approx(wire.metrics[name]), name


def test_an_error_of_the_recorder_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(recorder: ColumnRecorder, person: int, at: float) -> None:
        raise ZeroDivisionError("in the recorder")

    monkeypatch.setattr(ColumnRecorder, "attempted", fail)
    with pytest.raises(ZeroDivisionError, match="in the recorder"):
        run(scenario(), "wire")
