"""Effects of each fault on people, seen in their traces."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest

from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.messages import ConnectionStatus
from chatlab.settings import HeartbeatConfig, ReconnectConfig
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.faults import (
    AnyFault,
    ConnectionReset,
    Flapping,
    HalfOpen,
    NoPong,
    Partition,
    ServerDown,
    ServerRestart,
    SlowServer,
)
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.people import PeopleConfig, ScriptEntry
from chatlab.sim.transport_settings import WebSocketSettings
from chatlab.transports.machine import Closed, Deliver

D = 0.25
SURE = ReconnectConfig(jitter="none", max_attempts=None, max_delay=4.0)


def happen(*faults: AnyFault, count: int = 2, duration: float = 60.0, **more: Any) -> Run:
    world = more.pop("world", "model")
    scenario = Scenario(
        duration=duration,
        people=PeopleConfig(count=count, script=more.pop("script", ())),
        network=NetworkConfig(latency=D),
        transport=WebSocketSettings(reconnect=SURE, heartbeat=HeartbeatConfig(interval=10.0, timeout=3.0)),
        faults=faults,
        **more,
    )
    return run(scenario, world, sample=count)


def ends(run: Run, person: str) -> list[tuple[float, str]]:
    return [
        (step.at, str(step.event.failure)) for step in run.steps(person) if isinstance(step.event, Closed)
    ]


def connected(run: Run, person: str) -> list[tuple[float, float]]:
    return [
        (span.start, span.end) for span in run.statuses(person) if span.status is ConnectionStatus.CONNECTED
    ]


def test_server_down_loses_every_connection_and_refuses_until_it_is_over() -> None:
    result = happen(ServerDown(at=10.0, duration=5.0))
    for person in result.people:
        first, *rest = ends(result, person)
        assert first == (10 + D, "closed 1006: the connection was lost")
        assert [why for _, why in rest] == ["refused: nobody accepts connections there"] * 2
        # Attempts 1 s after the loss, 2 s and 4 s after the refusals; each refusal takes 2D.
        assert connected(result, person) == [
            (4 * D, 10 + D),
            (10 + D + 1 + 2 * D + 2 + 2 * D + 4 + 4 * D, 60.0),
        ]


def test_a_restart_closes_with_its_code_and_the_server_is_back() -> None:
    result = happen(ServerRestart(at=10.0, duration=1.0))
    for person in result.people:
        assert ends(result, person) == [(10 + D, "closed 1012: service restart")]
        assert connected(result, person) == [(4 * D, 10 + D), (10 + D + 1 + 4 * D, 60.0)]


@pytest.mark.parametrize("kind", [ServerDown, ServerRestart])
def test_an_outage_of_one_front_end_disconnects_only_its_people(
    kind: type[ServerDown | ServerRestart],
) -> None:
    result = happen(kind(at=10.0, duration=5.0, people=("person-2",)))
    assert ends(result, "person-1") == []
    assert len(ends(result, "person-2")) == 3
    assert len(connected(result, "person-2")) == 2


def test_outages_may_overlap() -> None:
    result = happen(ServerDown(at=10.0, duration=20.0), ServerRestart(at=15.0, duration=1.0))
    assert connected(result, "person-1")[1][0] > 30


def test_a_flapping_server_is_up_for_good_once_the_fault_is_over() -> None:
    """However long its last outage would have lasted."""
    cut, whole = (happen(Flapping(at=10.0, duration=d, period=10.0, down=8.0)) for d in (11.0, 18.0))
    assert [len(connected(result, "person-1")) for result in (cut, whole)] == [3, 3]
    assert 21 < connected(cut, "person-1")[2][0] < 28 < connected(whole, "person-1")[2][0]


def test_a_reset_is_over_at_once() -> None:
    result = happen(ConnectionReset(at=10.0, people=("person-1",)))
    assert ends(result, "person-1") == [(10 + D, "closed 1006: the connection was lost")]
    assert connected(result, "person-1") == [(4 * D, 10 + D), (10 + D + 1 + 4 * D, 60.0)]
    assert ends(result, "person-2") == []


def test_a_half_open_connection_is_found_by_the_heartbeat() -> None:
    result = happen(HalfOpen(at=15.0, people=("person-1",)))
    # Connected at 1, pings at 11 and 21; the latter stays unanswered for 3 s.
    assert connected(result, "person-1") == [(1.0, 24.0), (24 + 1 + 4 * D, 60.0)]
    assert ends(result, "person-1") == []


def test_a_link_opened_during_a_half_open_fault_opens_when_it_is_over() -> None:
    result = happen(HalfOpen(at=15.0, duration=15.0, people=("person-1",)))
    # Found at 24, tried from 25 on; TCP sends the SYN at 25, 26, 27, 28, 29 and 30.
    assert connected(result, "person-1")[1][0] == 30 + 4 * D


@pytest.mark.parametrize(("direction", "posted"), [("up", 24 + 1 + 6 * D), ("down", 16 + 2 * D)])
def test_a_connection_that_is_half_open_one_way_loses_no_message(
    direction: Literal["up", "down"], posted: float
) -> None:
    """Without answers the server has a message at once, and without requests after the reconnect."""
    script = (ScriptEntry(at=16.0, person="person-1", text="hi"),)
    result = happen(HalfOpen(at=15.0, people=("person-1",), direction=direction), script=script)
    assert connected(result, "person-1") == [(1.0, 24.0), (24 + 1 + 4 * D, 60.0)]
    counts = [result.metrics[name] for name in ("sent", "acked", "delivered", "lost", "duplicated")]
    assert counts == [1, 1, 2, 0, 0]
    shown = [step.at for step in result.steps("person-2") if any(type(e) is Deliver for e in step.effects)]
    assert shown == [pytest.approx(posted)]


def test_a_short_partition_delays_without_a_reconnect() -> None:
    script = (ScriptEntry(at=16.0, person="ada", text="hi"), ScriptEntry(at=16.5, person="ada", text="ho"))
    result = happen(Partition(at=15.0, duration=2.0), script=script)
    assert result.metrics["attempts"] == 2
    # Each is sent again as a probe, after two round trips and 0.2 s.
    shown = [
        (step.at, effect.event.message.text)
        for step in result.steps("ada")
        for effect in step.effects
        if isinstance(effect, Deliver) and effect.event.message is not None
    ]
    assert shown == [(17.2 + 2 * D, "hi"), (17.7 + 2 * D, "ho")]


def test_a_long_partition_is_found_and_survived() -> None:
    script = (ScriptEntry(at=16.0, person="ada", text="hi"),)
    result = happen(Partition(at=15.0, duration=20.0), script=script)
    assert result.metrics["attempts"] == 6
    assert (result.metrics["delivered"], result.metrics["lost"], result.metrics["duplicated"]) == (2, 0, 0)


@pytest.mark.parametrize(
    ("long", "short"),
    [
        (Partition(at=15.0, duration=20.0), Partition(at=16.0, duration=1.0)),
        (HalfOpen(at=15.0, duration=20.0), HalfOpen(at=16.0, duration=1.0)),
        (ServerDown(at=15.0, duration=20.0), ServerDown(at=16.0, duration=1.0)),
        (
            ServerDown(at=15.0, duration=20.0, people=("person-1",)),
            ServerDown(at=16.0, duration=1.0, people=("person-1",)),
        ),
        (NoPong(at=15.0, duration=20.0), NoPong(at=16.0, duration=1.0)),
    ],
    ids=["partition", "half_open", "server_down", "front_end_down", "no_pong"],
)
def test_a_short_fault_within_a_long_one_does_not_end_it(long: AnyFault, short: AnyFault) -> None:
    alone, both = happen(long), happen(long, short)
    assert len(connected(alone, "person-1")) > 1, "the long one is noticed"
    for person in alone.people:
        assert connected(both, person) == connected(alone, person)


@pytest.mark.slow
def test_a_share_of_the_people_is_hit_at_random() -> None:
    result = happen(ConnectionReset(at=10.0, share=0.3), count=2_000, duration=12.0)
    hit = sum(bool(ends(result, person)) for person in result.people)
    assert abs(hit - 600) < 4 * np.sqrt(2_000 * 0.3 * 0.7)
    again = happen(HalfOpen(at=5.0), ConnectionReset(at=10.0, share=0.3), count=100, duration=12.0)
    assert again.metrics["attempts"] == 100


def test_a_share_of_some_people_is_a_share_of_them() -> None:
    some = tuple(f"person-{number}" for number in range(1, 11))
    result = happen(ConnectionReset(at=10.0, share=0.5, people=some), count=30)
    hit = {person for person in result.people if ends(result, person)}
    assert hit < set(some)
    assert len(hit) in range(2, 9)


def test_a_slow_servers_requests_take_its_own_time_and_that_of_the_fault() -> None:
    script = (ScriptEntry(at=10.0, person="ada", text="hi"),)
    slow = SlowServer(at=5.0, duration=20.0, service_time=0.5)
    result = happen(slow, count=1, script=script, server=ServerConfig(service_time=0.25))
    [shown] = [step.at for step in result.steps("ada") if any(isinstance(e, Deliver) for e in step.effects)]
    assert shown == 10.0 + D + 0.75 + D


@pytest.mark.parametrize(("keep", "resyncs"), [(True, 0), (False, 2)])
def test_a_restart_without_history_resyncs_every_client(keep: bool, resyncs: int) -> None:
    script = (ScriptEntry(at=5.0, person="ada", text="hi"),)
    result = happen(ServerRestart(at=10.0), script=script, server=ServerConfig(keep_history=keep))
    assert result.metrics["resyncs"] == resyncs


def test_presence_can_be_announced() -> None:
    def told(run: Run) -> set[str]:
        return {
            effect.event.type
            for step in run.steps()
            for effect in step.effects
            if isinstance(effect, Deliver)
        }

    assert told(happen(ConnectionReset(at=10.0), server=ServerConfig(presence=True))) == {"presence"}
    assert told(happen(ConnectionReset(at=10.0))) == set()


def test_a_stopped_server_forgets_its_members() -> None:
    result = happen(ServerRestart(at=10.0), server=ServerConfig(presence=True))
    here = [
        sorted(effect.event.payload["people"])
        for step in result.steps()
        for effect in step.effects
        if isinstance(effect, Deliver) and step.at > 10 and effect.event.payload["state"] == "here"
    ]
    assert here == [["person-1"], ["person-1", "person-2"]]


def test_faults_know_their_names_and_ends() -> None:
    assert [(fault.kind, fault.end_at) for fault in (ServerDown(at=1.0, duration=2.0), HalfOpen(at=1.0))] == [
        ("server_down", 3.0),
        ("half_open", 1.0),
    ]
