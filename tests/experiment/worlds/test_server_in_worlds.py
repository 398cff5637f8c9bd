"""The server in the model and on the wire: refusals, the beginning of work, and its end."""

from __future__ import annotations

import asyncio
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest

from chatlab import compare, run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.wire_world import talk_on_wire
from chatlab.settings import HeartbeatConfig, HeartbeatMode, ReconnectConfig
from chatlab.sim.capacity import Need, ServerConfig
from chatlab.sim.faults import (
    AnyFault,
    Buffering,
    ConnectionReset,
    Flapping,
    HalfOpen,
    HttpError,
    IdleTimeout,
    NoPong,
    Partition,
    ServerDown,
    ServerRestart,
)
from chatlab.sim.http_connection import SERVER_KEEP_ALIVE
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

pytestmark = pytest.mark.slow

SURE = ReconnectConfig(jitter="none", base_delay=0.31, max_delay=1.9, max_attempts=None)
TRANSPORTS: dict[str, AnyTransport] = {
    "websocket": WebSocketSettings(reconnect=SURE),
    "sse": SSESettings(reconnect=SURE),
    "long_polling": LongPollingSettings(reconnect=SURE, hold=4.7),
    "short_polling": ShortPollingSettings(reconnect=SURE, interval=0.83),
}
REQUESTS = [kind for kind in TRANSPORTS if kind != "websocket"]
EACH_TRANSPORT = pytest.mark.parametrize("transport", TRANSPORTS)


def played(transport: str | AnyTransport, *faults: AnyFault, **settings: Any) -> Scenario:
    kind = TRANSPORTS[transport] if isinstance(transport, str) else transport
    return Scenario(**{"duration": 9.0, "transport": kind, "faults": faults, **settings})


def says(*said: tuple[float, str]) -> PeopleConfig:
    """Return the people: ada, who says this, and two others."""
    return PeopleConfig(
        count=3, script=tuple(ScriptEntry(at=at, person="ada", text=text) for at, text in said)
    )


def assert_agree(scenario: Scenario, *, steps: int = 3) -> None:
    model, wire = run(scenario), run(scenario, "wire")
    compared = compare(model, wire)
    assert compared, str(compared)
    assert compared.steps >= steps
    assert model.metrics["requests"] == wire.metrics["requests"]


# Refusals


@pytest.mark.parametrize("mode", ["ping", "both"])
@pytest.mark.parametrize("faults", [(), (NoPong(at=2.1, duration=3.3),)], ids=["answered", "mute"])
def test_a_client_s_Ping_frames_count_for_the_rate_limit(
    faults: tuple[AnyFault, ...], mode: HeartbeatMode
) -> None:
    heartbeat = HeartbeatConfig(interval=0.53, timeout=0.41, mode=mode)
    server = ServerConfig(rate=1.0, burst=2, max_connections=2)
    transport = WebSocketSettings(reconnect=SURE, heartbeat=heartbeat)
    assert_agree(played(transport, *faults, server=server))


@pytest.mark.parametrize("mode", ["json", "none", "server"])
def test_the_servers_own_pings_find_a_dead_connection(mode: HeartbeatMode) -> None:
    heartbeat = HeartbeatConfig(interval=2.3, timeout=1.1, mode=mode)
    transport = WebSocketSettings(reconnect=SURE, heartbeat=heartbeat)
    server = ServerConfig(ping_interval=0.9, ping_timeout=1.4)
    assert_agree(played(transport, HalfOpen(at=3.05, direction="up"), server=server))


def test_the_servers_own_pings_keep_a_connection_alive_that_a_proxy_would_cut() -> None:
    scenario = played("websocket", IdleTimeout(at=0.0, duration=99.0, timeout=25.0), duration=99.0)
    pinged = scenario.replace(server=ServerConfig(ping_interval=20.0))
    assert run(scenario).metrics["attempts"] == 4
    assert run(pinged).metrics["attempts"] == 1
    assert_agree(pinged, steps=2)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("status", [400, 419, 429, 503, 599])
@EACH_TRANSPORT
def test_any_error_status_is_answered_with_or_without_a_phrase(transport: str, status: int) -> None:
    scenario = played(transport, HttpError(at=0.0, duration=1.9, status=status), duration=4.0)
    assert_agree(scenario, steps=2)
    assert run(scenario).metrics["bytes_down"] == run(scenario, "wire").metrics["bytes_down"]


@pytest.mark.parametrize("retry_after", [0.3, 1.5, 2.0])
@EACH_TRANSPORT
def test_retry_after_is_rounded_up(transport: str, retry_after: float) -> None:
    assert_agree(played(transport, HttpError(at=0.0, duration=1.9, status=503, retry_after=retry_after)))


@pytest.mark.parametrize(("rate", "backlog", "limit"), [(2.3, 50, 2), (0.7, 2, 1), (None, 1, 3)])
@EACH_TRANSPORT
def test_an_unaccepted_connection_is_not_counted(
    transport: str, rate: float | None, backlog: int, limit: int
) -> None:
    server = ServerConfig(accept_rate=rate, backlog=backlog, max_connections=limit)
    people = PeopleConfig(count=5, arrive_over=1.37)
    assert_agree(played(transport, people=people, server=server))


@EACH_TRANSPORT
def test_a_full_server_refuses_at_once_whatever_its_load(transport: str) -> None:
    server = ServerConfig(max_connections=1, service_time=0.57, service="exponential")
    people = PeopleConfig(count=4, arrive_over=0.61)
    assert_agree(played(transport, people=people, server=server))


@pytest.mark.parametrize("transport", ["websocket", "short_polling"])
def test_an_ACK_does_not_hold_up_the_first_bytes_sent_before_it(transport: str) -> None:
    """The server repeats its SYN-ACK after a second, while the ClientHello is under way."""
    scenario = played(
        transport,
        people=PeopleConfig(count=5),
        network=NetworkConfig(latency=LogNormal(median=0.3, p99=2.0), tls=True),
        server=ServerConfig(accept_rate=2.0),
        seed=2,
    )
    assert_agree(scenario)


def test_a_frame_of_a_connection_that_was_reset_before_it_was_served_needs_nothing() -> None:
    """Else it would take a time of the service that later messages wait for."""
    said = [(1.1, "ada")] * 4 + [(1.17, "bob")] * 3
    script = tuple(ScriptEntry(at=at, person=name, text=f"{n}") for n, (at, name) in enumerate(said))
    scenario = played(
        "websocket",
        ConnectionReset(at=1.31, people=("ada",)),
        people=PeopleConfig(count=3, script=script),
        server=ServerConfig(service_time=0.2, needs=(Need(name="database", rate=3.0, per="message"),)),
    )
    assert_agree(scenario)


@pytest.mark.parametrize("transport", ["short_polling", "long_polling"])
def test_those_for_whom_the_accept_queue_had_no_room_do_not_make_its_others_count(transport: str) -> None:
    """Connections in the queue don't count towards the limit yet. Those answered by a proxy come later."""
    people = PeopleConfig(count=7, send_rate=0.3, arrive_over=1.0)
    server = ServerConfig(accept_rate=0.5, backlog=2, max_connections=3, overflow="503")
    assert_agree(played(transport, people=people, server=server, duration=20.0))


@EACH_TRANSPORT
def test_a_restarted_server_has_new_rate_limits(transport: str) -> None:
    server = ServerConfig(rate=0.1, burst=2)
    people = says((1.03, "one"), (1.31, "two"), (2.93, "three"))
    scenario = played(transport, ServerDown(at=1.97, duration=0.53), people=people, server=server)
    assert_agree(scenario)
    assert run(scenario).metrics["acked"] == 3


@pytest.mark.sampled(5)
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("direction", ["both", "up", "down"])
@EACH_TRANSPORT
def test_data_from_before_the_silence_is_read_after_acceptance(
    transport: str, direction: Literal["both", "up", "down"], tls: bool
) -> None:
    """And the answer counts, whether or not it arrives."""
    scenario = played(
        transport,
        HalfOpen(at=0.31, direction=direction),
        people=PeopleConfig(count=2),
        network=NetworkConfig(tls=tls),
        server=ServerConfig(accept_rate=0.6),
    )
    assert_agree(scenario, steps=2)
    assert run(scenario).metrics["bytes_down"] == run(scenario, "wire").metrics["bytes_down"]


# Beginning and waiting

LONG = "x" * 900


@pytest.mark.parametrize("effort", [0.13, 1.9])
@pytest.mark.parametrize("transport", REQUESTS)
def test_work_on_a_request_begins_at_its_head(transport: str, effort: float) -> None:
    scenario = played(
        transport,
        people=says((1.03, "one"), (3.11, LONG), (3.47, LONG)),
        network=NetworkConfig(bandwidth=1000.0),
        server=ServerConfig(service_time=effort),
        duration=20.0,
    )
    assert_agree(scenario)


@pytest.mark.parametrize("interval", [0.83, 3.7])
@pytest.mark.parametrize("latency", [0.07, 1.3])
def test_a_refusal_does_not_wait_for_the_body(interval: float, latency: float) -> None:
    scenario = played(
        ShortPollingSettings(reconnect=SURE, interval=interval, request_timeout=4.9),
        HttpError(at=7.93, duration=1.3),
        people=says((0.53, "one"), (0.67, LONG), (0.71, LONG), (7.31, LONG), (7.43, "x")),
        network=NetworkConfig(latency=latency, bandwidth=700.0),
        server=ServerConfig(rate=0.2, burst=1),
        duration=20.0,
    )
    assert_agree(scenario)


@pytest.mark.parametrize(("latency", "interval"), [(0.31, 5.3), (1.5, 6.8), (1.45, 6.6), (2.6, 9.3)])
def test_a_kept_connection_is_closed_before_a_request_comes_too_late(latency: float, interval: float) -> None:
    scenario = played(
        ShortPollingSettings(reconnect=SURE, interval=interval, request_timeout=20.0),
        people=says((9.03, "one"), (17.3, "two")),
        network=NetworkConfig(latency=latency),
        duration=40.0,
    )
    assert_agree(scenario)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("at", [2.31, 3.07, 4.43])
@pytest.mark.parametrize("transport", REQUESTS)
def test_a_connection_that_was_closed_in_a_partition_is_not_used_after_it(transport: str, at: float) -> None:
    scenario = played(
        transport,
        Partition(at=at, duration=6.3),
        people=says((at - 0.03, "one"), (at + 0.41, "two"), (at + 7.9, "three")),
        duration=24.0,
    )
    assert_agree(scenario)


def test_an_unused_connection_counts_until_the_server_closes_it() -> None:
    """The client's pool looks after it only when the client asks for something."""
    scenario = played(
        LongPollingSettings(reconnect=SURE, hold=20.0),
        people=PeopleConfig(
            count=2,
            script=(
                ScriptEntry(at=0.11, person="ada", action="connect"),
                ScriptEntry(at=1.03, person="ada", text="one"),
                ScriptEntry(at=5.57, person="bob", action="connect"),
            ),
        ),
        server=ServerConfig(max_connections=2),
        duration=12.0,
    )
    assert_agree(scenario)
    assert "503" in str(run(scenario).steps("bob"))


@pytest.mark.parametrize("latency", [0.04, 0.21, 0.33])
def test_a_link_counts_until_its_close_frame_is_answered(latency: float) -> None:
    """A connection that comes meanwhile is refused; after half a second the server waits no longer."""
    sending = PeopleConfig(count=4, send_rate=3.0)
    server = ServerConfig(max_connections=1, rate=1.0, burst=1)
    network = NetworkConfig(latency=latency)
    assert_agree(Scenario(duration=20.0, people=sending, server=server, network=network))


@pytest.mark.parametrize("lost", [True, False])
def test_a_link_whose_close_frame_is_not_answered_counts_for_half_a_second(lost: bool) -> None:
    """Person-1 is refused at first, and comes back 0.28 s after person-2's link was closed."""
    some = ("person-2",)
    faults = (
        HalfOpen(at=1.5, duration=0.7, direction="up", people=some if lost else ("person-1",)),
        ServerRestart(at=2.0, duration=0.05, people=some),
    )
    scenario = played(
        "websocket", *faults, people=PeopleConfig(count=2), server=ServerConfig(max_connections=1)
    )
    assert_agree(scenario, steps=2)
    refused = [
        step.event.failure.code for step in run(scenario).steps("person-1") if isinstance(step.event, Closed)
    ]
    assert refused[:2] == [503, 503] if lost else [503]


@pytest.mark.parametrize("down", [0.31, 0.83])
@pytest.mark.parametrize("transport", REQUESTS)
def test_an_answer_with_the_connection_s_end_behind_it_leaves_none_to_be_used(
    transport: str, down: float
) -> None:
    scenario = played(
        transport,
        Flapping(at=0.61, duration=9.0, period=1.3, down=down),
        people=says((0.23, "one"), (2.87, "two")),
        network=NetworkConfig(bandwidth=700.0),
        duration=14.0,
    )
    assert_agree(scenario)


# End

SOME = ("ada", "person-2")


@pytest.mark.sampled(3)
@pytest.mark.parametrize("people", [(), SOME], ids=["all", "some"])
@pytest.mark.parametrize("effort", [0.17, 0.71])
@pytest.mark.parametrize("at", [0.31, 2.13])
@EACH_TRANSPORT
def test_a_graceful_stop_finishes_requests_under_way(
    transport: str, at: float, effort: float, people: tuple[str, ...]
) -> None:
    scenario = played(
        transport,
        ServerRestart(at=at, duration=1.0, people=people),
        people=says((2.03, "one"), (2.07, "two")),
        server=ServerConfig(service_time=effort, service="exponential"),
    )
    assert_agree(scenario)


@pytest.mark.sampled(5)
@pytest.mark.parametrize("keep_history", [True, False])
@pytest.mark.parametrize("duration", [0.07, 0.43, 0.9])
@EACH_TRANSPORT
def test_a_restart_is_in_time_whatever_is_unfinished(
    transport: str, duration: float, keep_history: bool
) -> None:
    scenario = played(
        transport,
        ServerRestart(at=2.13, duration=duration),
        people=says((2.03, LONG), (2.07, "two")),
        network=NetworkConfig(latency=0.11) if transport == "websocket" else NetworkConfig(bandwidth=2000.0),
        server=ServerConfig(service_time=0.23, keep_history=keep_history, presence=True),
    )
    assert_agree(scenario)


@pytest.mark.parametrize("then", [0.1, 0.3])
@pytest.mark.parametrize("transport", REQUESTS)
def test_a_crash_during_a_graceful_stop_finishes_nothing(transport: str, then: float) -> None:
    scenario = played(
        transport,
        ServerRestart(at=0.31, duration=2.0),
        ServerDown(at=0.31 + then, duration=1.1),
        server=ServerConfig(service_time=0.43),
    )
    assert_agree(scenario)


@pytest.mark.parametrize("duration", [0.07, 0.7])
@EACH_TRANSPORT
def test_a_crashed_server_restarts_in_time(transport: str, duration: float) -> None:
    scenario = played(
        transport,
        ServerDown(at=0.97, duration=duration),
        server=ServerConfig(service_time=1.9),
        people=PeopleConfig(count=2, arrive_over=0.31),
    )
    assert_agree(scenario)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("people", [(), SOME], ids=["all", "some"])
@pytest.mark.parametrize("fault", [ServerDown, ServerRestart])
@EACH_TRANSPORT
def test_a_stopping_server_resets_unaccepted_connections(
    transport: str, fault: type[ServerDown | ServerRestart], people: tuple[str, ...]
) -> None:
    scenario = played(
        transport,
        fault(at=0.57, duration=0.53, people=people),
        people=says((2.03, "one")),
        server=ServerConfig(accept_rate=0.9),
    )
    assert_agree(scenario)


@pytest.mark.parametrize("people", [(), ("ada",)], ids=["all", "some"])
@pytest.mark.parametrize("seed", range(3))
def test_a_crashing_server_resets_unaccepted_connections_first(seed: int, people: tuple[str, ...]) -> None:
    """The stream's next attempt draws its delay after the message."""
    scenario = played(
        SSESettings(),
        ServerDown(at=1.57, duration=0.53, people=people),
        seed=seed,
        people=PeopleConfig(script=(ScriptEntry(at=1.31, person="ada", text="one"),)),
        server=ServerConfig(accept_rate=0.9),
    )
    assert_agree(scenario)


FALLS_BACK = FallbackSettings(
    transports=(WebSocketSettings(connect_timeout=0.5), LongPollingSettings()), attempts_per_transport=1
)


@pytest.mark.parametrize("transport", [LongPollingSettings(), FALLS_BACK], ids=["polls", "links and polls"])
def test_a_held_poll_is_answered_at_once_despite_other_writes(transport: AnyTransport) -> None:
    scenario = played(
        transport,
        HalfOpen(at=0.0, duration=0.4, people=("bob",)),  # who then polls, as the WebSocket fails
        people=PeopleConfig(
            count=4, script=tuple(ScriptEntry(at=3.03, person=name, text="hello") for name in ("ada", "bob"))
        ),
    )
    assert_agree(scenario)
    assert run(scenario).metrics["acked"] == 2


# Data in flight


@pytest.mark.parametrize("end", [ConnectionReset(at=6.23), ServerDown(at=6.23, duration=1.1)])
@pytest.mark.parametrize("transport", ["websocket", "sse", "long_polling"])
def test_a_FIN_does_not_overtake_data_at_low_bandwidth(transport: str, end: AnyFault) -> None:
    scenario = played(
        transport,
        end,
        people=PeopleConfig(count=2, script=(ScriptEntry(at=3.03, person="ada", text="x" * 700),)),
        network=NetworkConfig(bandwidth=500.0),
        duration=14.0,
    )
    assert_agree(scenario)


@pytest.mark.parametrize("end", [ConnectionReset(at=3.31), ServerDown(at=3.31, duration=0.31)])
@EACH_TRANSPORT
def test_a_FIN_does_not_overtake_a_retransmission(transport: str, end: AnyFault) -> None:
    """Answers that a partition holds up are sent again later than the end that follows them."""
    scenario = played(
        transport,
        Partition(at=2.47, duration=1.63),
        end,
        people=says((0.53, "one"), (2.45, "two")),
        network=NetworkConfig(latency=0.08, jitter=0.02),  # Else two answers come at one instant.
        duration=14.0,
    )
    assert_agree(scenario)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("seed", range(5))
def test_an_answer_s_head_and_body_are_sent_again_one_by_one(seed: int) -> None:
    """uvicorn writes them apart. On a narrow line the ack of the head, at which later data is sent again,
    is earlier than that of the body."""
    scenario = played(
        LongPollingSettings(reconnect=SURE, hold=1.3, request_timeout=1.7),
        people=PeopleConfig(count=3, send_rate=0.5),
        network=NetworkConfig(latency=0.41, loss=0.3, bandwidth=700.0),
        seed=seed,
        duration=40.0,
    )
    assert_agree(scenario)


@EACH_TRANSPORT
def test_data_right_before_a_reset_is_read(transport: str) -> None:
    """The partition has lost the first of three messages, which blocks the next two."""
    scenario = played(
        transport,
        Partition(at=2.47, duration=0.31),
        ConnectionReset(at=3.17),
        people=says((2.51, "one"), (2.97, "two"), (3.03, "three")),
        duration=12.0,
    )
    assert_agree(scenario)


@pytest.mark.parametrize("beyond", [-1, 0, 1])
def test_a_buffering_proxy_flushes_a_full_buffer(beyond: int) -> None:
    calm = played("sse", duration=1.0)
    size = run(calm).metrics["bytes_down"]
    assert size is not None
    assert size == run(calm, "wire").metrics["bytes_down"]
    scenario = played("sse", Buffering(at=0.0, duration=5.0, size=int(size) + beyond), duration=4.0)
    assert_agree(scenario, steps=1)


@pytest.mark.parametrize("size", [None, 700])
def test_flushed_data_arrives_piece_by_piece_at_low_bandwidth(size: int | None) -> None:
    scenario = played(
        "sse",
        Buffering(at=2.0, duration=3.0, size=size),
        people=says((2.03, "x" * 200), (2.31, "y" * 300), (2.97, "z" * 200)),
        network=NetworkConfig(bandwidth=1000.0),
    )
    assert_agree(scenario)


@pytest.mark.parametrize(
    "fault", [ServerDown(at=2.3, duration=1.0, people=SOME), ServerRestart(at=2.3, duration=1.0, people=SOME)]
)
@pytest.mark.parametrize("transport", ["websocket", "sse"])
def test_people_dropped_at_one_instant_get_no_news_of_each_other(transport: str, fault: AnyFault) -> None:
    assert_agree(played(transport, fault, people=says((1.1, "hello")), server=ServerConfig(presence=True)))


@pytest.mark.sampled(3)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("transport", ["websocket", "sse"])
def test_people_reset_at_one_instant_get_news_of_those_reset_before(transport: str, seed: int) -> None:
    """These news reach nobody, but are sent, and draw the numbers that decide which packets are lost."""
    scenario = played(
        transport,
        ConnectionReset(at=2.31),
        people=PeopleConfig(count=3, send_rate=0.3),
        network=NetworkConfig(loss=0.2),
        server=ServerConfig(presence=True),
        seed=seed,
        duration=20.0,
    )
    assert_agree(scenario)


@pytest.mark.parametrize("people", [(), ("bob",)], ids=["all", "another"])
@pytest.mark.parametrize("transport", ["websocket", "sse"])
def test_people_dropped_by_the_next_fault_of_that_instant_get_the_news(
    transport: str, people: tuple[str, ...]
) -> None:
    script = tuple(ScriptEntry(at=1.1, person=name, text="hello") for name in ("ada", "bob"))
    first = ServerDown(at=2.3, duration=1.0, people=("ada",))
    scenario = played(
        transport,
        first,
        first.replace(people=people),
        people=PeopleConfig(count=3, script=script),
        server=ServerConfig(presence=True),
    )
    assert_agree(scenario)


def test_the_server_closes_a_connection_that_was_unused_for_its_keep_alive() -> None:
    async def idle(url: str, lines: object) -> float:
        address = urlsplit(url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: " + address.netloc.encode() + b"\r\n\r\n")
        await reader.readuntil(b"}")
        loop = asyncio.get_running_loop()
        answered_at = loop.time()
        assert await reader.read() == b""
        writer.close()
        return loop.time() - answered_at

    assert talk_on_wire(idle) == pytest.approx(SERVER_KEEP_ALIVE)
