"""A proxy that blocks transports: what each way to block does, and to whom, in all three worlds."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from chatlab.errors import SettingsError
from chatlab.experiment.compare import compare
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.live_world import run_live_together
from chatlab.experiment.worlds.runner import run
from chatlab.messages import ConnectionStatus
from chatlab.settings import ReconnectConfig
from chatlab.sim.blocking import Blocking, read_transport, strip_upgrade, transport_of
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.faults import AnyFault, Blocked, ConnectionReset, HttpError, ServerDown
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.people import PeopleConfig, ScriptEntry
from chatlab.sim.transport_settings import (
    AnyTransport,
    FallbackSettings,
    LongPollingSettings,
    ShortPollingSettings,
    SSESettings,
    WebSocketSettings,
)
from chatlab.transports.machine import Closed, Fetch, OpenWebSocket

D = 0.1
SURE = ReconnectConfig(jitter="none", max_attempts=None, max_delay=4.0)
WEBSOCKET = WebSocketSettings(reconnect=SURE, connect_timeout=3.0)
SSE = SSESettings(reconnect=SURE, connect_timeout=3.0)
POLLING = ShortPollingSettings(reconnect=SURE, request_timeout=3.0)
FALLBACK = FallbackSettings(transports=(WEBSOCKET, SSE, POLLING), attempts_per_transport=2)
SAME = ("requests", "bytes_up", "bytes_down", "attempts")


def scenario(*faults: AnyFault, transport: AnyTransport = WEBSOCKET, **more: Any) -> Scenario:
    settings: dict[str, Any] = {"duration": 30.0, "people": PeopleConfig(count=2)}
    return Scenario(transport=transport, network=NetworkConfig(latency=D), faults=faults, **(settings | more))


def failures(result: Run, person: str = "person-1") -> list[str]:
    return [str(step.event.failure) for step in result.steps(person) if isinstance(step.event, Closed)]


def connected_at(result: Run, person: str = "person-1") -> list[float]:
    spans = result.statuses(person)
    return [span.start for span in spans if span.status is ConnectionStatus.CONNECTED]


# What the client sees


@pytest.mark.parametrize(
    ("how", "seen"),
    [
        ("403", "HTTP 403: blocked by a proxy"),
        ("strip_upgrade", "HTTP 426: this path is a WebSocket"),
        ("swallow", ""),
        ("reset", "reset"),
    ],
)
def test_a_websocket_fails_in_the_same_way_in_model_and_wire(how: Blocking, seen: str) -> None:
    blocked = scenario(Blocked(at=0.0, how=how))
    model, wire = run(blocked, sample=2), run(blocked, "wire", sample=2)
    assert compare(model, wire), str(compare(model, wire))
    assert {name: model.metrics[name] for name in SAME} == {name: wire.metrics[name] for name in SAME}
    assert failures(model) == failures(wire)
    assert connected_at(model) == []
    if seen:
        assert all(failure.startswith(seen) for failure in failures(model)), failures(model)
    ends = [span.status for span in model.statuses("person-1")][-1]
    final = how in ("403", "strip_upgrade")  # A client doesn't ask again after a 403.
    assert ends is (ConnectionStatus.ERROR if final else ConnectionStatus.RECONNECTING)


@pytest.mark.parametrize("how", ["403", "strip_upgrade", "swallow", "reset"])
def test_a_fallback_whose_websockets_are_blocked_connects_by_the_next_transport(how: Blocking) -> None:
    """In all three worlds."""
    blocked = scenario(Blocked(at=0.0, how=how), transport=FALLBACK)
    model, wire = run(blocked, sample=2), run(blocked, "wire", sample=2)
    (live,) = run_live_together([blocked], 2, 50.0)
    for other in (wire, live):
        assert compare(model, other), str(compare(model, other))
    tries = {"403": 1, "strip_upgrade": 1, "swallow": 2, "reset": 2}[how]
    for world in (model, wire, live):
        for person in world.people:
            steps = world.steps(person)
            opened = [e for step in steps for e in step.effects if isinstance(e, OpenWebSocket)]
            assert len(opened) == tries
            assert len(connected_at(world, person)) == 1


def test_five_percent_of_the_people_are_behind_such_a_proxy() -> None:
    result = run(scenario(Blocked(at=0.0, share=0.05), transport=FALLBACK, people=PeopleConfig(count=400)))
    assert 5 < (result.metrics["attempts"] or 0) - 400 < 40
    assert result.series["connected"][-1] == 400


@pytest.mark.slow
def test_a_stream_is_blocked_while_polls_are_not() -> None:
    transport = FallbackSettings(transports=(SSE, POLLING), attempts_per_transport=1)
    for how in ("403", "reset"):
        blocked = scenario(Blocked(at=0.0, transports=("sse",), how=how), transport=transport)
        model, wire = run(blocked, sample=2), run(blocked, "wire", sample=2)
        assert compare(model, wire), str(compare(model, wire))
        asked = [e for step in model.steps() for e in step.effects if isinstance(e, Fetch)]
        assert {effect.purpose for effect in asked} == {"stream", "poll"}
        assert len(connected_at(model)) == 1


def test_open_connections_stay_and_posts_pass() -> None:
    script = (ScriptEntry(at=12.0, person="person-1", text="hi"),)
    blocked = scenario(
        Blocked(at=5.0, transports=("sse",)), transport=SSE, people=PeopleConfig(count=2, script=script)
    )
    result = run(blocked, sample=2)
    assert (result.metrics["acked"], result.metrics["delivered"]) == (1, 2)
    assert len(connected_at(result)) == 1


def test_a_stripped_request_frees_its_connection_once_it_is_answered() -> None:
    """As HTTP's connections do: the server keeps it, and the client closes it."""
    stripped = Blocked(at=0.0, how="strip_upgrade", people=("person-1", "person-2"))
    played = scenario(
        stripped,
        transport=FALLBACK.replace(upgrade_after=2.0),
        people=PeopleConfig(count=3, arrive_over=3.0),
        server=ServerConfig(max_connections=4),
    )
    model, wire = run(played, sample=3), run(played, "wire", sample=3)
    assert compare(model, wire), str(compare(model, wire))
    tries = [e for step in model.steps() for e in step.effects if isinstance(e, OpenWebSocket)]
    assert len(tries) > 6
    assert all(len(connected_at(model, person)) == 1 for person in model.people)


# Its time, and other faults


def test_it_ends_and_lasts_for_the_rest_of_the_run_otherwise() -> None:
    reset = ConnectionReset(at=5.0)
    for duration, again in (10.0, 1), (None, 0), (1e3, 0):
        result = run(scenario(Blocked(at=4.0, how="reset", duration=duration), reset), sample=2)
        assert len(connected_at(result)) == 1 + again
    assert [Blocked(at=4.0, duration=d).end_at for d in (10.0, None)] == [14.0, inf]


def test_the_latest_of_several_decides_until_it_ends() -> None:
    first, second = Blocked(at=0.0, how="reset"), Blocked(at=0.0, duration=5.0, how="swallow")
    result = run(scenario(first, second), sample=2)
    assert failures(result)
    assert failures(result) == [failures(run(scenario(first), sample=2))[0]] * len(failures(result))
    spans = [step.at for step in result.steps("person-1") if isinstance(step.event, Closed)]
    assert spans[0] > 5.0


def test_other_transports_of_two_faults_are_blocked_together() -> None:
    both = scenario(Blocked(at=0.0), Blocked(at=0.0, transports=("sse",)), transport=FALLBACK)
    asked = [e for step in run(both, sample=1).steps() for e in step.effects if isinstance(e, Fetch)]
    assert asked[-1].purpose == "poll"


@pytest.mark.parametrize("how", ["403", "strip_upgrade", "swallow", "reset"])
def test_errors_and_outages_beside_it_are_the_same_in_model_and_wire(how: Blocking) -> None:
    faults = (
        Blocked(at=3.0, duration=12.0, how=how),
        HttpError(at=5.0, duration=6.0, retry_after=1.2),
        ServerDown(at=8.03, duration=1.1),
    )
    played = scenario(*faults, transport=FALLBACK)
    assert compare(run(played, sample=2), run(played, "wire", sample=2))


def test_metrics_know_that_it_breaks_no_open_websocket_but_every_poll() -> None:
    assert [
        Blocked(at=1.0, transports=kinds).severity for kinds in (("websocket", "sse"), ("long_polling",))
    ] == [0, 1]
    blocked = Blocked(at=1.0)
    assert (blocked.deaf_until, blocked.loses, blocked.leaves_half_open) == (-inf, False, False)
    result = run(scenario(Blocked(at=1.0, duration=20.0, how="reset"), ConnectionReset(at=5.0)))
    assert result.metrics["broken"] == 2
    assert (result.metrics["recovery_p50"] or 0) > 15.0, "it counts from the reset"


# Settings


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"transports": ()}, r"Blocked\.transports: "),
        ({"transports": ("carrier_pigeon",)}, r"Blocked\.transports: choose one of websocket, sse, "),
        ({"how": "418"}, r"Blocked\.how: choose one of 403, strip_upgrade, swallow, reset, got '418'"),
        ({"duration": 0.0}, r"Blocked\.duration: give a number"),
        ({"duration": inf}, r"Blocked\.duration: give a number"),
        ({"duration": float("nan")}, r"Blocked\.duration: give a number"),
        (
            {"how": "strip_upgrade", "transports": ("websocket", "sse")},
            r"Blocked\.how: 'strip_upgrade' blocks only websocket; choose another one for sse",
        ),
    ],
)
def test_settings_are_checked_in_one_sentence(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=f"^{message}") as error:
        Blocked(at=0.0, **wrong)
    assert "\n" not in str(error.value)


def test_a_transport_that_nobody_uses_is_blocked_in_vain() -> None:
    blocked = run(scenario(Blocked(at=0.0, transports=("sse", "long_polling"))), sample=2)
    assert blocked.trace == run(scenario(), sample=2).trace  # So a sweep may compare transports.


# How a proxy knows a transport


UPGRADE = (
    b"GET /ws?room=a HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\n\r\n"
)


@pytest.mark.parametrize(
    ("request_line", "transport"),
    [
        ("GET /stream?room=a", "sse"),
        ("GET /messages/poll?room=a", "long_polling"),
        ("GET /messages?room=a", "short_polling"),
        ("POST /messages?room=a", None),
        ("GET /csrf", None),
        ("GET /ws", None),
    ],
)
def test_a_request_belongs_to_a_transport(request_line: str, transport: str | None) -> None:
    assert read_transport(f"{request_line} HTTP/1.1\r\nHost: x\r\n\r\n".encode()) == transport
    method, _, path = request_line.partition(" ")
    assert transport_of(method, path.partition("?")[0]) == transport


def test_a_stripped_upgrade_is_a_plain_request_of_the_same_size() -> None:
    assert read_transport(UPGRADE) == "websocket"
    plain = strip_upgrade(UPGRADE)
    assert read_transport(plain) is None
    assert len(plain) == len(UPGRADE)
    assert b"Upgrade: " not in plain
    assert b"\r\nConnection" not in plain
    assert plain.startswith(b"GET /ws?room=a HTTP/1.1\r\nHost: x\r\n")
    assert strip_upgrade(plain) == plain


def test_long_polls_are_blocked_at_the_next_request() -> None:
    polling = LongPollingSettings(reconnect=SURE, hold=8.0)
    blocked = scenario(Blocked(at=2.0, transports=("long_polling",)), transport=polling)
    model, wire = run(blocked, sample=2), run(blocked, "wire", sample=2)
    assert compare(model, wire)
    assert model.statuses("person-1")[-1].status is ConnectionStatus.ERROR
    assert model.statuses("person-1")[-1].start > 8.0
