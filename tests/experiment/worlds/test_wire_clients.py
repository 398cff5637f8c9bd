"""Scenarios in which model and wire once differed in the client or in the network, and their neighbours."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from chatlab.experiment.compare import compare
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.settings import HeartbeatConfig, OutboxConfig, ReconnectConfig, Verdict
from chatlab.sim.as_written.settings import AsWritten
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.faults import (
    AnyFault,
    ConnectionReset,
    HalfOpen,
    HighLatency,
    HttpError,
    IdleTimeout,
    LowBandwidth,
    ServerDown,
    ServerRestart,
    SlowServer,
)
from chatlab.sim.latency import LogNormal, NetworkConfig
from chatlab.sim.people import PeopleConfig, ScriptEntry
from chatlab.sim.transport_settings import (
    AnyTransport,
    FallbackSettings,
    LongPollingSettings,
    ShortPollingSettings,
    SSESettings,
    WebSocketSettings,
)
from chatlab.transports.machine import Closed
from tests.experiment.worlds.test_wire_world import TRANSPORTS, assert_same, both


def with_settings(transport: AnyTransport, **settings: Any) -> AnyTransport:
    """Return a transport with these settings, or a fallback whose transports all have them."""
    assert not isinstance(transport, AsWritten)
    if isinstance(transport, FallbackSettings):
        return transport.replace(transports=tuple(one.replace(**settings) for one in transport.transports))
    return transport.replace(**settings)


def says(*times: float) -> tuple[ScriptEntry, ...]:
    """Return what Ada says at these times."""
    return tuple(ScriptEntry(at=at, person="ada", text="hello") for at in times)


@pytest.mark.parametrize("fault", [SlowServer(at=3.5, duration=4.0), ConnectionReset(at=4.1003)])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_message_whose_time_was_over_while_it_was_under_way_expires_at_once(
    transport: str, fault: AnyFault
) -> None:
    settings: dict[str, Any] = {"outbox": OutboxConfig(max_age=0.02)}
    if transport not in ("websocket", "fallback"):
        settings["request_timeout"] = 0.7
    assert_same(
        *both(
            Scenario(
                duration=8.0,
                people=PeopleConfig(script=says(1.3107, 4.0503)),
                transport=with_settings(TRANSPORTS[transport], **settings),
                network=NetworkConfig(latency=0.15),
                faults=(fault,),
            )
        )
    )


POLLS = FallbackSettings(transports=(LongPollingSettings(), ShortPollingSettings()), upgrade_after=1.0)

HASTY = ReconnectConfig(base_delay=0.05, max_attempts=1, jitter="none")


@pytest.mark.parametrize(
    ("end", "transport"),
    [
        *(("disconnects", transport) for transport in [*TRANSPORTS.values(), POLLS]),
        *(("gives up", TRANSPORTS[kind]) for kind in ("websocket", "sse", "long_polling")),
        ("gives up", ShortPollingSettings(interval=0.7)),
    ],
)
def test_a_person_who_disconnects_and_connects_again_opens_new_connections(
    end: str, transport: AnyTransport
) -> None:
    acts = [ScriptEntry(at=at, person="ada", action="connect") for at in (0.1, 3.3)]
    faults: tuple[AnyFault, ...] = ()
    if end == "disconnects":
        acts.append(ScriptEntry(at=2.5003, person="ada", action="disconnect"))
    else:
        faults = (HttpError(at=2.1003, duration=1.0, status=403), ConnectionReset(at=2.2003))
    model, wire = both(
        Scenario(
            duration=8.0,
            people=PeopleConfig(script=(*acts, *says(1.6007, 2.0107, 5.0107))),
            transport=with_settings(transport, reconnect=HASTY),
            faults=faults,
        )
    )
    assert_same(model, wire)
    statuses = [span.status for span in model.statuses("ada")]
    assert ("error" if end == "gives up" else "disconnected") in statuses[1:]
    assert statuses[-1] == "connected"


WELCOME, ECHO = 33, 121
"""Bytes of the frames that somebody gets who joins an empty room, and who hears their own "hello"."""


@pytest.mark.parametrize("latency", [0.04, 0.4])
@pytest.mark.parametrize("limit", [WELCOME - 1, WELCOME, ECHO - 1, ECHO, ECHO + 5])
@pytest.mark.parametrize("then", ["give up", "retry"])
def test_a_frame_that_is_too_large_closes_the_link_and_nothing_is_read_or_sent_then(
    limit: int, latency: float, then: Verdict
) -> None:
    """The server has 0.5 s to answer the close frame."""
    transport = WebSocketSettings(
        max_frame_size=limit,
        failures={"close 1009": then},
        heartbeat=HeartbeatConfig(interval=0.9, timeout=0.9),
    )
    model, wire = both(
        Scenario(
            duration=9.0,
            people=PeopleConfig(script=says(2.1007, 2.2007, 2.3007, 3.1007)),
            transport=transport,
            network=NetworkConfig(latency=latency),
        )
    )
    assert_same(model, wire)
    assert ("closed 1009" in str(model.trace)) == (limit < ECHO)


@pytest.mark.parametrize("limit", [200, 1000])
@pytest.mark.parametrize("seed", range(4))
def test_a_replaced_link_is_closed_after_its_successor_sends(seed: int, limit: int) -> None:
    """Both frames draw a delay of the path; so does the close frame of a better link that fails at once."""
    good = WebSocketSettings(connect_timeout=0.9, max_frame_size=limit)
    script = (ScriptEntry(at=0.01, person="bob", action="connect"), *says(2.3003, 2.5003, 2.7003))
    scenario = Scenario(
        duration=8.0,
        seed=seed,
        people=PeopleConfig(
            count=2,
            script=(
                *script,
                *(ScriptEntry(at=at, person="bob", text="x" * 90) for at in (2.1, 2.2, 2.4, 2.6)),
            ),
        ),
        transport=FallbackSettings(
            transports=(good, WebSocketSettings()), attempts_per_transport=1, upgrade_after=1.0
        ),
        network=NetworkConfig(jitter=0.3),
        faults=(HalfOpen(at=0.0, duration=0.4),),
    )
    model, wire = both(scenario)
    assert compare(model, wire)


def test_a_failed_link_ignores_a_later_close_frame() -> None:
    """The server's, to somebody who sends too much. It ends the connection once the client's is there."""
    scenario = Scenario(
        duration=6.0,
        people=PeopleConfig(count=3, script=says(2.1003, 2.1003, 2.1003)),
        transport=WebSocketSettings(max_frame_size=100),
        server=ServerConfig(rate=0.2, burst=2),
    )
    model, wire = both(scenario)
    assert_same(model, wire)
    ends = [step.at for step in model.steps("ada") if isinstance(step.event, Closed)]
    assert ends == [pytest.approx(2.1003 + 4 * 0.04)]


@pytest.mark.parametrize("silent", [False, True])
def test_a_server_ignores_frames_in_one_packet_with_a_close_frame(silent: bool) -> None:
    """The second message is slow, and holds the close frame up. One that is lost makes no difference."""
    script = [ScriptEntry(at=at, person="ada", text="x" * 300) for at in (2.1003, 2.1503)]
    script.append(ScriptEntry(at=2.3103, person="bob", action="connect"))
    script.append(ScriptEntry(at=2.5503, person="bob", text="hello"))
    slow = HighLatency(at=2.145, duration=0.03, latency=0.3)
    scenario = Scenario(
        duration=9.0,
        people=PeopleConfig(count=2, script=tuple(script)),
        transport=WebSocketSettings(max_frame_size=200, history=0),
        faults=(slow, HalfOpen(at=2.3003, direction="up")) if silent else (slow,),
    )
    assert_same(*both(scenario))


def test_a_limit_of_frames_is_its_own_transports() -> None:
    fallback = FallbackSettings(
        transports=(WebSocketSettings(max_frame_size=70), LongPollingSettings(), ShortPollingSettings())
    )
    assert_same(*both(Scenario(duration=9.0, people=PeopleConfig(script=says(2.1007)), transport=fallback)))


@pytest.mark.slow
@pytest.mark.sampled(3)
@pytest.mark.parametrize("text", ["x" * 9, "ä" * 5, "\N{SPARKLES}" * 3, "x" * 60, "x" * 61])
def test_a_limit_of_frames_counts_bytes_not_characters(text: str) -> None:
    script = (ScriptEntry(at=2.1007, person="ada", text=text),)
    for limit in range(120, 135) if len(text) < 60 else range(170, 182):
        transport = WebSocketSettings(max_frame_size=limit)
        assert_same(*both(Scenario(duration=5.0, people=PeopleConfig(script=script), transport=transport)))


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "fault",
    [
        *(ConnectionReset(at=at) for at in (0.5, 1.1, 1.8, 2.5)),
        *(ServerDown(at=at, duration=0.3) for at in (1.1, 1.8)),
        ServerRestart(at=1.8, duration=0.3, people=("ada",)),
    ],
)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_connection_that_dies_while_TLS_shakes_hands_draws_no_more_delays(
    transport: str, fault: AnyFault
) -> None:
    assert_same(
        *both(
            Scenario(
                duration=12.0,
                people=PeopleConfig(script=says(7.1003)),
                transport=with_settings(TRANSPORTS[transport], reconnect=ReconnectConfig(base_delay=1.0)),
                network=NetworkConfig(latency=0.7, jitter=0.1, tls=True),
                faults=(fault,),
            )
        )
    )


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("timeout", [1.9, 2.4, 2.9])
def test_a_connection_given_up_in_the_accept_queue_is_still_answered(timeout: float, tls: bool) -> None:
    assert_same(
        *both(
            Scenario(
                duration=15.0,
                people=PeopleConfig(count=2),
                transport=SSESettings(connect_timeout=timeout),
                network=NetworkConfig(latency=0.5, jitter=0.1, tls=tls),
                server=ServerConfig(accept_rate=0.4),
            )
        )
    )


@pytest.mark.parametrize("limit", [None, 1])
@pytest.mark.parametrize("effort", [0.0, 0.1])
def test_a_link_given_up_in_the_accept_queue_is_accepted_first(effort: float, limit: int | None) -> None:
    """The application accepts it in its first turn, before the server reads the end behind the request."""
    script = (ScriptEntry(at=at, person=who, action="connect") for at, who in ((0.0, "ada"), (0.1, "bob")))
    scenario = Scenario(
        duration=6.0,
        people=PeopleConfig(count=2, script=tuple(script)),
        transport=WebSocketSettings(connect_timeout=1.2, reconnect=ReconnectConfig(enabled=False)),
        network=NetworkConfig(jitter=0.1),
        server=ServerConfig(accept_rate=1.0, presence=True, service_time=effort, max_connections=limit),
    )
    model, wire = both(scenario)
    assert_same(model, wire)
    assert model.metrics["bytes_down"] == wire.metrics["bytes_down"]


def test_a_slow_server_without_work_for_a_person_answers_at_once() -> None:
    """A request followed at once by the end of its connection is still answered."""
    scenario = Scenario(
        duration=8.0,
        people=PeopleConfig(count=1),
        transport=SSESettings(connect_timeout=0.5, reconnect=ReconnectConfig(enabled=False)),
        network=NetworkConfig(bandwidth=200.0),
        faults=(SlowServer(at=0.0, duration=7.0, share=0.0),),
    )
    model, wire = both(scenario)
    assert_same(model, wire)
    assert model.metrics["bytes_down"] == wire.metrics["bytes_down"]


@pytest.mark.sampled(3)
@pytest.mark.parametrize("at", [3.1, 3.4, 3.7])
@pytest.mark.parametrize(
    "fault",
    [
        ConnectionReset(at=0.0),
        HalfOpen(at=0.0, direction="up"),
        HalfOpen(at=0.0, direction="down"),
        ServerDown(at=0.0, duration=0.05, people=("ada",)),
        ServerRestart(at=0.0, duration=0.05, people=("ada",)),
        ServerDown(at=0.0, duration=0.05),
    ],
)
@pytest.mark.parametrize("network", [{"latency": 0.2503}, {"latency": 0.4, "tls": True}])
def test_faults_hit_a_link_whose_close_frame_is_under_way(
    fault: AnyFault, at: float, network: dict[str, Any]
) -> None:
    """If it were answered, the answer would draw a delay of the path."""
    script = (
        ScriptEntry(at=0.1, person="ada", action="connect"),
        ScriptEntry(at=3.0, person="ada", action="disconnect"),
        ScriptEntry(at=3.9, person="ada", action="connect"),
    )
    assert_same(
        *both(
            Scenario(
                duration=9.0,
                people=PeopleConfig(script=(*script, *says(6.1))),
                network=NetworkConfig(jitter=0.1, **network),
                faults=(fault.replace(at=at),),
            )
        )
    )


IMPATIENT: dict[str, AnyTransport] = {
    "websocket": WebSocketSettings(heartbeat=HeartbeatConfig(interval=3.0, timeout=2.0)),
    "sse": SSESettings(idle_timeout=4.0, reconnect=ReconnectConfig(base_delay=0.5)),
    "long_polling": LongPollingSettings(timeout=6.0, hold=5.0),
    "short_polling": ShortPollingSettings(interval=1.0, request_timeout=2.0),
}


@pytest.mark.parametrize("direction", ["both", "down", "up"])
@pytest.mark.parametrize("transport", IMPATIENT)
def test_a_recovery_counts_from_the_fault_that_has_broken_the_connection(
    transport: str, direction: Literal["both", "down", "up"]
) -> None:
    """Not from a harmless one that began before anybody noticed."""
    silent = HalfOpen(at=5.0003, direction=direction)
    harmless = HighLatency(at=5.2003, duration=12.0, latency=0.001)
    scenario = Scenario(
        duration=20.0,
        people=PeopleConfig(count=2, arrive_over=1.0),
        transport=IMPATIENT[transport],
        server=ServerConfig(keep_alive=1.5),
        faults=(silent, harmless),
    )
    model, wire = both(scenario)
    assert_same(model, wire)
    alone = run(scenario.replace(faults=(silent,))).metrics["recovery_p50"]
    assert model.metrics["recovery_p50"] == (alone and pytest.approx(alone, abs=0.05))
    assert alone or transport in ("sse", "long_polling")  # which may not notice, or take it for an idle end


@pytest.mark.parametrize("bandwidth", [300.0, 5000.0])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_one_write_arrives_piece_by_piece_at_low_bandwidth(transport: str, bandwidth: float) -> None:
    """As what somebody has missed, and what they say at once."""
    script = (
        ScriptEntry(at=0.3003, person="bob", action="connect"),
        ScriptEntry(at=1.1003, person="bob", action="disconnect"),
        ScriptEntry(at=3.1003, person="bob", action="connect"),
        *(ScriptEntry(at=9.0003, person="bob", text=text) for text in ("one", "two", "three")),
    )
    scenario = Scenario(
        duration=16.0,
        people=PeopleConfig(count=2, arrive_over=0.5, script=(*says(1.7003, 2.0003, 2.2003), *script)),
        transport=TRANSPORTS[transport],
        faults=(LowBandwidth(at=1.0, duration=15.0, bandwidth=bandwidth, people=("bob",)),),
    )
    assert compare(*both(scenario))


@pytest.mark.parametrize("at", [2.2003, 2.6003, 3.0003])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_server_answers_nothing_on_a_connection_whose_reset_comes_with_the_request(
    transport: str, at: float
) -> None:
    """Both arrive together, behind other data at low bandwidth."""
    scenario = Scenario(
        duration=12.0,
        people=PeopleConfig(count=2, arrive_over=1.0, script=says(2.1003, 6.1003)),
        transport=TRANSPORTS[transport],
        network=NetworkConfig(latency=LogNormal(median=0.05, p99=0.2), bandwidth=300.0),
        faults=(ConnectionReset(at=at),),
    )
    assert compare(*both(scenario))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20336, 20340))
def test_data_for_a_closed_client_resets_the_connection(seed: int) -> None:
    """The close frame comes behind a slow packet, after the server has stopped reading."""
    scenario = Scenario(
        duration=12.0,
        seed=seed,
        people=PeopleConfig(count=3, send_rate=1.0),
        transport=WebSocketSettings(
            reconnect=ReconnectConfig(max_delay=0.5), heartbeat=HeartbeatConfig(interval=0.31)
        ),
        network=NetworkConfig(latency=LogNormal(median=0.05, p99=0.5)),
    )
    assert compare(*both(scenario))


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_proxy_does_not_cut_a_connection_whose_SYN_was_lost(transport: str) -> None:
    """If it were cut, its reset would draw a delay of the path."""
    scenario = Scenario(
        duration=20.0,
        people=PeopleConfig(script=says(13.1003)),
        transport=with_settings(TRANSPORTS[transport], reconnect=ReconnectConfig(base_delay=1.0)),
        network=NetworkConfig(jitter=0.1),
        faults=(HalfOpen(at=0.01), IdleTimeout(at=1.0, duration=1.0, timeout=0.5)),
    )
    assert_same(*both(scenario))
