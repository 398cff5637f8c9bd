"""Laws of every transport in the model world under every fault, and closed forms."""

from __future__ import annotations

from math import exp
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.messages import ConnectionStatus
from chatlab.settings import HeartbeatConfig, ReconnectConfig
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.faults import (
    AnyFault,
    Blocked,
    Buffering,
    ConnectionReset,
    Flapping,
    HalfOpen,
    HighLatency,
    HttpError,
    IdleTimeout,
    Loss,
    LowBandwidth,
    NetworkChange,
    NodeDown,
    NoPong,
    Partition,
    RollingRestart,
    ServerDown,
    ServerRestart,
    SlowServer,
    Suspended,
    Throttled,
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
from chatlab.studies.closed_forms import long_poll_cost
from chatlab.studies.read_cost import read
from chatlab.transports.machine import Deliver, Fetch
from tests.sizes import examples

SURE = ReconnectConfig(jitter="full", max_attempts=None, max_delay=4.0)
ONE: list[Any] = [
    WebSocketSettings(reconnect=SURE, heartbeat=HeartbeatConfig(interval=5.0, timeout=3.0)),
    SSESettings(reconnect=SURE, idle_timeout=20.0, request_timeout=5.0),
    LongPollingSettings(reconnect=SURE, hold=8.0, timeout=10.0, request_timeout=5.0),
    ShortPollingSettings(reconnect=SURE, interval=2.0, request_timeout=5.0),
]
TRANSPORTS: list[AnyTransport] = [*ONE, FallbackSettings(transports=tuple(ONE), upgrade_after=15.0)]
NAMES = ["websocket", "sse", "long_polling", "short_polling", "fallback"]
every_transport = pytest.mark.parametrize("transport", TRANSPORTS, ids=NAMES)

BUSY, SETTLED = 40.0, 150.0  # faults begin before the first, and all is quiet well before the second
at = st.floats(0, BUSY)
DIRECTIONS = st.sampled_from(["up", "down", "both"])
lasts = st.floats(0.1, 15)
some = {"at": at, "share": st.sampled_from([1.0, 0.5])}
long: dict[str, Any] = {**some, "duration": lasts}
faults = st.lists(
    st.one_of(
        st.builds(ServerDown, **long),
        st.builds(ServerRestart, **long),
        st.builds(Flapping, **long, period=st.just(4.0), down=st.sampled_from([0.5, 3.0])),
        st.builds(ConnectionReset, **some),
        st.builds(HalfOpen, **{**long, "duration": st.just(0.0) | lasts, "direction": DIRECTIONS}),
        st.builds(Partition, **long),
        st.builds(HighLatency, **long, latency=st.sampled_from([0.5, 2.0]), jitter=st.just(0.5)),
        st.builds(LowBandwidth, **long, bandwidth=st.sampled_from([300.0, 5_000.0])),
        st.builds(IdleTimeout, **long, timeout=st.sampled_from([0.5, 3.0])),
        st.builds(Buffering, **long, size=st.sampled_from([None, 1, 1000])),
        st.builds(
            HttpError, **long, status=st.sampled_from([429, 503]), retry_after=st.sampled_from([None, 2.0])
        ),
        st.builds(NoPong, **long),
        st.builds(SlowServer, **long, service_time=st.sampled_from([0.05, 1.0])),
    ),
    max_size=5,
).map(tuple)
latency = st.sampled_from([0.0, 0.04, 0.7, LogNormal(median=0.05, p99=0.8)])


def scenario(seed: int, transport: AnyTransport, faults: tuple[AnyFault, ...], **network: Any) -> Scenario:
    texts = tuple(ScriptEntry(at=float(at), person="ada", text=f"script {at}") for at in range(2, 60, 7))
    return Scenario(
        seed=seed,
        duration=SETTLED,
        people=PeopleConfig(count=5, rooms=2, script=texts),
        transport=transport,
        network=NetworkConfig(**network),
        faults=faults,
    )


def shown(run: Run, person: str) -> list[str]:
    return [
        effect.event.message.client_id
        for step in run.steps(person)
        for effect in step.effects
        if isinstance(effect, Deliver) and effect.event.message is not None
    ]


@pytest.mark.slow
@settings(max_examples=examples(120), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 10**6),
    transport=st.sampled_from(TRANSPORTS),
    faults=faults,
    latency=latency,
    tls=st.booleans(),
    keep_alive=st.sampled_from([0.0, 4.0]),
)
def test_every_message_appears_once_and_in_order_under_any_faults(
    seed: int,
    transport: AnyTransport,
    faults: tuple[AnyFault, ...],
    latency: float | LogNormal,
    tls: bool,
    keep_alive: float,
) -> None:
    result = run(scenario(seed, transport, faults, latency=latency, tls=tls, keep_alive=keep_alive))
    metrics = result.metrics
    assert metrics["sent"] == metrics["acked"] == 9
    assert [metrics[name] for name in ("lost", "duplicated", "out_of_order", "pending", "failed")] == [0] * 5
    texts = [f"ada-{number}" for number in range(1, 10)]
    for person in result.people:
        assert shown(result, person) == (texts if person in ("ada", "person-3", "person-5") else [])
    for person in result.people:
        last = result.statuses(person)[-1]
        # A request may meet a kept connection that the server has just closed, and is repeated.
        assert last.status is ConnectionStatus.CONNECTED or last.start > SETTLED - 10


EACH: list[AnyFault] = [
    ServerDown(at=20.0, duration=10.0),
    ServerRestart(at=20.0, duration=2.0),
    Flapping(at=20.0, duration=20.0),
    ConnectionReset(at=20.01),
    HalfOpen(at=20.0),
    HalfOpen(at=20.0, direction="up"),
    HalfOpen(at=20.0, direction="down"),
    Partition(at=20.0, duration=8.0),
    HighLatency(at=20.0, duration=20.0),
    Loss(at=20.0, duration=10.0, loss=0.5),
    LowBandwidth(at=20.0, duration=20.0, bandwidth=100.0),
    IdleTimeout(at=20.0, duration=30.0, timeout=1.5),
    Buffering(at=20.0, duration=15.0),
    HttpError(at=20.0, duration=10.0, retry_after=1.0),
    NoPong(at=15.0, duration=30.0),
    SlowServer(at=20.0, duration=20.0),
    NetworkChange(at=20.0),
    Suspended(at=20.0, duration=8.0),
    Throttled(at=20.0, duration=20.0, period=7.0),
    Blocked(
        at=0.0,
        duration=15.0,
        transports=("websocket", "sse", "long_polling", "short_polling"),
        how="reset",
    ),
    NodeDown(at=20.0, duration=10.0),
    RollingRestart(at=20.0, drain=2.0, down=2.0),
]
WITHOUT_EFFECT = {
    ("websocket", "buffering"),  # the proxy lets a tunnel be
    ("long_polling", "buffering"),  # an answer has an end, with which all of it comes
    ("short_polling", "buffering"),
    ("long_polling", "no_pong"),  # there are no pings
    ("short_polling", "no_pong"),
    ("websocket", "http_error"),  # there are no requests while it is open
    ("sse", "throttled"),  # what is due comes from the server
    ("sse", "half_open up"),  # nothing was being posted, and the stream needs nothing that goes up
    ("fallback", "buffering"),
    ("fallback", "http_error"),
}


def _name(fault: AnyFault) -> str:
    direction = getattr(fault, "direction", "both")
    return fault.kind if direction == "both" else f"{fault.kind} {direction}"


@pytest.mark.sampled(3)
@pytest.mark.slow
@every_transport
@pytest.mark.parametrize("fault", EACH, ids=[_name(fault) for fault in EACH])
def test_every_fault_is_felt_and_survived(transport: AnyTransport, fault: AnyFault) -> None:
    name = NAMES[TRANSPORTS.index(transport)]
    calm, troubled = (run(scenario(1, transport, faults)) for faults in ((), (fault,)))
    metrics = troubled.metrics
    assert (metrics["acked"], metrics["delivered"], metrics["lost"], metrics["duplicated"]) == (9, 27, 0, 0)
    assert [step for step in calm.trace if step.at < fault.at] == [
        step for step in troubled.trace if step.at < fault.at
    ]
    assert (calm.trace != troubled.trace) == ((name, _name(fault)) not in WITHOUT_EFFECT)


def test_there_is_a_test_for_every_kind_of_fault() -> None:
    assert {type(fault) for fault in EACH} == set(get_args(AnyFault))


def felt(transport: AnyTransport, *faults: AnyFault) -> dict[str, Any]:
    return dict(run(scenario(1, transport, faults)).metrics)


@pytest.mark.slow
def test_faults_leave_their_mark_in_the_figures() -> None:
    websocket, sse, long_polling, short_polling = ONE
    for transport in ONE:
        calm = felt(transport)
        slow = felt(transport, HighLatency(at=1.0, duration=100.0, latency=0.3))
        assert slow["latency_p50"] >= calm["latency_p50"] + 0.3
        narrow = felt(transport, LowBandwidth(at=1.0, duration=100.0, bandwidth=1_000.0))
        assert narrow["latency_p50"] > calm["latency_p50"]
        assert felt(transport, SlowServer(at=1.0, duration=100.0, service_time=0.2))["work_max"] > 0
        assert felt(transport, Flapping(at=20.0, duration=40.0))["time_connected"] < calm["time_connected"]
        assert calm["work_max"] == 0
    # A proxy that cuts after 60 s what the heartbeat keeps alive, and what it doesn't.
    proxy = IdleTimeout(at=0.0, duration=SETTLED, timeout=4.0)
    assert felt(websocket.replace(heartbeat=HeartbeatConfig(interval=3.0)), proxy)["attempts"] == 5
    assert felt(websocket.replace(heartbeat=HeartbeatConfig(interval=5.0)), proxy)["attempts"] > 50
    assert felt(long_polling.replace(hold=3.0), proxy)["attempts"] == 5
    assert felt(long_polling, proxy)["attempts"] > 50
    # Without a sign of life a stream or a WebSocket is given up.
    mute = NoPong(at=10.0, duration=100.0)
    assert felt(websocket, mute)["attempts"] > felt(websocket)["attempts"]
    assert felt(sse.replace(idle_timeout=20.0), mute)["attempts"] > felt(sse)["attempts"]
    # Retry-After is a floor under the delay.
    error = HttpError(at=20.0, duration=60.0, retry_after=10.0)
    assert felt(short_polling, error)["attempts"] <= 5 * (1 + 7)


def test_behind_a_buffering_proxy_a_fallback_finds_what_works() -> None:
    _, sse, long_polling, _ = ONE
    transport = FallbackSettings(transports=(sse.replace(connect_timeout=2.0), long_polling))
    made = scenario(1, transport, (Buffering(at=0.0, duration=SETTLED),))
    result = run(made)
    assert result.metrics["lost"] == 0
    assert result.metrics["delivered"] == 27
    alone = run(made.replace(transport=transport.transports[0]))
    assert (alone.metrics["delivered"] or 0) < 27


@pytest.mark.slow
@every_transport
def test_the_same_seed_gives_the_same_bytes(transport: AnyTransport) -> None:
    faults = (SlowServer(at=5.0, duration=20.0, share=0.5), HighLatency(at=30.0, duration=9.0, jitter=1.0))
    made = scenario(7, transport, faults, latency=LogNormal(median=0.05, p99=0.8), jitter=0.1).replace(
        people=PeopleConfig(count=6, rooms=2, send_rate=0.2),
        server=ServerConfig(service_time=0.01, service="exponential"),
    )
    first, second, other = (run(made.replace(seed=seed)) for seed in (7, 7, 8))
    assert first.to_json_lines() == second.to_json_lines()
    assert first.trace != other.trace


# Closed forms. One way takes d; T is the interval of short polling, L the rate of messages a second.

D = 0.04


def standard_error(values: Any) -> float:
    return float(np.std(values) / np.sqrt(len(values)))


@pytest.mark.proof
def test_short_polling_waits_half_an_interval_and_half_a_round_trip() -> None:
    interval, rate = 3.0, 0.2
    reader = read(ShortPollingSettings(interval=interval), rate, 40_000.0, delay=D, seed=1)
    latency = np.array(reader.latencies)
    assert latency.min() >= D
    assert latency.max() <= interval + D
    assert abs(latency.mean() - (interval / 2 + D)) < 4 * standard_error(latency)
    assert np.percentile(latency, 95) == pytest.approx(0.95 * interval + D, rel=0.02)
    assert reader.requests / reader.messages == pytest.approx(1 / (rate * interval), rel=0.05)
    empty = reader.requests - len(set(reader.shown_at))
    assert empty / reader.requests == pytest.approx(exp(-rate * interval), rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate", "published_ms", "requests"),
    [(0.2, 40.6, 1.0023), pytest.param(5.0, 54.9, 0.934, marks=pytest.mark.proof)],
)
def test_long_polling_waits_half_a_round_trip_or_for_the_next_poll(
    rate: float, published_ms: float, requests: float
) -> None:
    """Source: a renewal argument over the gap g between two polls; E[C] is a cycle's mean duration."""
    hold, g = 30.0, 2 * D
    cycle = g + exp(-rate * g) * (1 - exp(-rate * hold)) / rate
    mean = D + g * g / (2 * cycle)
    assert mean * 1000 == pytest.approx(published_ms, abs=0.05)
    assert 1 / (rate * cycle) == pytest.approx(requests, abs=0.0005)
    transport = LongPollingSettings(hold=hold, timeout=35.0, min_gap=0.0)
    reader = read(transport, rate, 10_000 / rate / (4 if rate < 1 else 1), delay=D, seed=1)
    latency = np.array(reader.latencies)
    assert latency.min() >= D - 1e-9
    assert latency.max() <= 3 * D + 1e-9
    assert abs(latency.mean() - mean) < 4 * standard_error(latency)
    assert reader.requests / reader.messages == pytest.approx(requests, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("senders", "rate", "more"),
    [
        (1, 1.0, 0.02),
        (1, 10.0, 0.25),
        pytest.param(10, 10.0, 0.02, marks=pytest.mark.proof),
        pytest.param(2, 10.0, 0.09, marks=pytest.mark.proof),
    ],
)
def test_long_polling_costs_more_requests_the_fewer_people_send(
    senders: int, rate: float, more: float
) -> None:
    """At most `more` above the law, which is for many people; never more than one for a message."""
    polls = messages = 0
    scenario = Scenario(
        duration=800.0 / rate,
        people=PeopleConfig(count=senders, send_rate=rate / senders),
        transport=LongPollingSettings(min_gap=0.0),
    )
    for step in run(scenario, sample=1).trace:
        for effect in step.effects:
            polls += isinstance(effect, Fetch) and effect.purpose == "poll"
            messages += isinstance(effect, Deliver) and effect.event.message is not None
    law = long_poll_cost(rate, 25.0, 0.04).requests
    assert law * 0.98 < polls / messages < law * (1 + more) + 0.01
    assert polls / messages < 1.01


@pytest.mark.parametrize("transport", [WebSocketSettings(), SSESettings()], ids=["websocket", "sse"])
def test_a_pushed_message_takes_half_a_round_trip(transport: AnyTransport) -> None:
    reader = read(transport, 1.0, 1_000.0, delay=D, seed=1)
    assert reader.latencies == pytest.approx([D] * len(reader.latencies))
    assert len(reader.latencies) >= reader.messages - 1
    assert reader.requests == 0


@pytest.mark.sampled(3)
@pytest.mark.slow
@pytest.mark.parametrize(
    ("transport", "rate", "bytes_of_others"),
    [
        (WebSocketSettings(), 1.0, 167),
        (WebSocketSettings(), 0.1, 199),
        (SSESettings(), 1.0, 150),
        (SSESettings(), 0.1, 168),
        (LongPollingSettings(), 1.0, 454),
        (LongPollingSettings(), 0.1, 460),
        (ShortPollingSettings(), 1.0, 232),
        (ShortPollingSettings(), 0.1, 1027),
    ],
)
def test_a_delivered_message_costs_about_what_was_measured(
    transport: AnyTransport, rate: float, bytes_of_others: int
) -> None:
    """Others measured leaner servers; ours adds an id, a time and headers, at most twice as much."""
    reader = read(transport, rate, 2_000.0, delay=D, seed=1)
    assert bytes_of_others * 0.9 < reader.bytes / reader.messages < 2 * bytes_of_others + 100


def test_a_kept_connection_saves_its_round_trips() -> None:
    transport = ShortPollingSettings(interval=1.0)

    def latency(keep_alive: float, *, tls: bool = False) -> float:
        script = tuple(ScriptEntry(at=5.0 + n, person="ada", text="hi") for n in range(20))
        made = Scenario(
            duration=40.0,
            people=PeopleConfig(count=1, script=script),
            transport=transport,
            network=NetworkConfig(latency=D, keep_alive=keep_alive, tls=tls),
        )
        metrics = run(made).metrics
        assert metrics["acked"] == 20
        return float(metrics["latency_p50"] or 0)

    kept = latency(4.0)
    assert latency(0.0) == pytest.approx(kept + 2 * D)
    assert latency(0.0, tls=True) == pytest.approx(kept + 4 * D)
    assert latency(4.0, tls=True) == pytest.approx(kept)


def test_a_poller_has_lost_what_its_last_poll_missed_and_nothing_later() -> None:
    def metrics(*faults: AnyFault, sent_at: float, keep_history: bool = True) -> dict[str, Any]:
        script = (ScriptEntry(at=sent_at, person="ada", text="hi"),)
        made = Scenario(
            duration=10.0,
            people=PeopleConfig(count=2, script=script),
            transport=ShortPollingSettings(),
            server=ServerConfig(keep_history=keep_history),
            faults=faults,
        )
        return dict(run(made).metrics)

    # The last polls are at 9 s. What is posted a moment later was not to be told any more.
    late = metrics(sent_at=9.05)
    assert [late[name] for name in ("acked", "delivered", "lost")] == [1, 0, 0]
    gone = metrics(ServerDown(at=8.0, duration=0.1), sent_at=7.0, keep_history=False)
    assert [gone[name] for name in ("acked", "delivered", "lost")] == [1, 0, 2]
    kept = metrics(ServerDown(at=8.0, duration=0.1), sent_at=7.0)
    assert [kept[name] for name in ("acked", "delivered", "lost")] == [1, 2, 0]
