"""Laws of every run in the model world, and closed forms that its figures must agree with."""

from __future__ import annotations

from collections import Counter
from math import exp, factorial
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.messages import ConnectionStatus, DeliveryState
from chatlab.settings import HeartbeatConfig, Jitter, OutboxConfig, ReconnectConfig
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.faults import AnyFault, ConnectionReset, HalfOpen, Partition, ServerDown, ServerRestart
from chatlab.sim.latency import LogNormal, NetworkConfig
from chatlab.sim.people import PeopleConfig, ScriptEntry
from chatlab.sim.transport_settings import WebSocketSettings
from chatlab.studies.closed_forms import detection_span
from chatlab.trace import Step
from chatlab.transports.machine import Connect, Deliver, Notify, OpenWebSocket, Settle
from tests.sizes import examples

BUSY, SETTLED = 40.0, 120.0  # faults begin before the first, and all is quiet well before the second
at = st.floats(0, BUSY)
lasts = st.floats(0.1, 15)
DIRECTIONS = st.sampled_from(["up", "down", "both"])
some = {"share": st.sampled_from([1.0, 0.5])}
faults = st.lists(
    st.one_of(
        st.builds(ServerDown, at=at, duration=lasts, **some),
        st.builds(ServerRestart, at=at, duration=lasts, **some),
        st.builds(ConnectionReset, at=at, **some),
        st.builds(HalfOpen, at=at, duration=st.just(0.0) | lasts, direction=DIRECTIONS, **some),
        st.builds(Partition, at=at, duration=lasts, **some),
    ),
    max_size=5,
).map(tuple)
latency = st.sampled_from([0.0, 0.04, 0.7, LogNormal(median=0.05, p99=0.8)])


def scenario(seed: int, faults: tuple[AnyFault, ...], **more: Any) -> Scenario:
    network = NetworkConfig(latency=more.pop("latency", 0.04), jitter=more.pop("jitter", 0.0))
    texts = tuple(ScriptEntry(at=float(at), person="ada", text=f"script {at}") for at in range(2, 60, 7))
    return Scenario(
        seed=seed,
        duration=SETTLED,
        people=PeopleConfig(count=5, rooms=2, arrive_over=3.0, script=texts),
        transport=WebSocketSettings(
            reconnect=ReconnectConfig(jitter="full", max_attempts=None, max_delay=4.0),
            heartbeat=HeartbeatConfig(interval=5.0, timeout=3.0),
            outbox=more.pop("outbox", OutboxConfig()),
        ),
        network=network,
        server=ServerConfig(**more),
        faults=faults,
    )


def shown(run: Run) -> dict[str, list[str]]:
    """Read from the traces which messages were shown to whom, in order."""
    return {
        person: [
            effect.event.message.client_id
            for step in run.steps(person)
            for effect in step.effects
            if isinstance(effect, Deliver) and effect.event.message is not None
        ]
        for person in run.people
    }


def final_states(run: Run) -> Counter[DeliveryState]:
    """Read from the traces how each message ended."""
    last = {
        effect.client_id: effect.state
        for step in run.steps()
        for effect in step.effects
        if isinstance(effect, Settle)
    }
    return Counter(last.values())


@pytest.mark.slow
@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 10**6), faults=faults, latency=latency, jitter=st.sampled_from([0.0, 0.3]))
def test_every_message_appears_once_and_in_order_under_any_faults(
    seed: int, faults: tuple[AnyFault, ...], latency: float | LogNormal, jitter: float
) -> None:
    result = run(scenario(seed, faults, latency=latency, jitter=jitter))
    metrics = result.metrics
    assert metrics["sent"] == metrics["acked"] == 9
    assert [metrics[name] for name in ("lost", "duplicated", "out_of_order", "pending", "failed")] == [0] * 5
    texts = [f"ada-{number}" for number in range(1, 10)]
    for person, messages in shown(result).items():
        assert messages == (texts if person in ("ada", "person-3", "person-5") else [])
    assert metrics["delivered"] == 27
    assert all(result.statuses(person)[-1].status is ConnectionStatus.CONNECTED for person in result.people)


@pytest.mark.slow
@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 10**6),
    faults=faults,
    latency=latency,
    keep=st.booleans(),
    duration=st.floats(1, SETTLED),
    overflow=st.sampled_from(["drop-oldest", "drop-newest", "reject"]),
    accept_rate=st.sampled_from([None, 0.5]),
)
def test_the_recorder_agrees_with_the_traces(
    seed: int,
    faults: tuple[AnyFault, ...],
    latency: float | LogNormal,
    keep: bool,
    duration: float,
    overflow: Any,
    accept_rate: float | None,
) -> None:
    outbox = OutboxConfig(max_size=2, max_age=9.0, overflow=overflow)
    made = scenario(
        seed, faults, latency=latency, keep_history=keep, outbox=outbox, accept_rate=accept_rate, backlog=2
    )
    people = made.people.replace(script=(), send_rate=0.3)
    result = run(made.replace(duration=duration, people=people))
    metrics = result.metrics
    ends = ("acked", "dropped", "expired", "failed")
    assert metrics["sent"] == sum(metrics[name] or 0 for name in (*ends, "pending"))
    states = final_states(result)
    assert [metrics[name] for name in ends] == [states[DeliveryState(name)] for name in ends]
    seen = shown(result)
    assert metrics["delivered"] == sum(len(set(messages)) for messages in seen.values())
    assert metrics["duplicated"] == sum(len(messages) - len(set(messages)) for messages in seen.values())
    assert metrics["out_of_order"] == 0
    if keep:
        assert (metrics["lost"], metrics["duplicated"], metrics["resyncs"]) == (0, 0, 0)
    assert metrics["attempts"] == len(attempts(result.steps()))
    times = [value for name, value in metrics.items() if name.startswith("time_")]
    assert sum(value or 0 for value in times) == pytest.approx(people.count * duration)


def test_a_loss_is_counted() -> None:
    """While bob can't hear, ada's message is acked; the server loses it before he is back."""
    script = (
        ScriptEntry(at=2.0, person="bob", text="first"),
        ScriptEntry(at=5.0, person="ada", text="lost"),
        ScriptEntry(at=70.0, person="ada", text="last"),
    )
    faults = (HalfOpen(at=4.0, people=("bob",)), ServerRestart(at=5.5, duration=1.0))
    made = scenario(1, (), keep_history=False).replace(
        people=PeopleConfig(count=2, script=script), faults=faults
    )
    for duration in (60.0, SETTLED):
        result = run(made.replace(duration=duration))
        assert (result.metrics["lost"], result.metrics["resyncs"]) == (1, 2)
    assert shown(result) == {"bob": ["bob-1", "ada-2"], "ada": ["bob-1", "ada-1", "ada-2"]}


def test_a_message_in_flight_at_the_end_is_not_lost() -> None:
    script = (ScriptEntry(at=5.0, person="ada", text="hi"),)
    made = Scenario(
        duration=6.5, people=PeopleConfig(count=2, script=script), network=NetworkConfig(latency=1.0)
    )
    metrics = run(made).metrics
    assert [metrics[name] for name in ("sent", "acked", "pending", "delivered", "lost")] == [1, 0, 1, 0, 0]
    metrics = run(
        made.replace(faults=(Partition(at=5.9, duration=50.0, people=("person-2",)),), duration=9.0)
    ).metrics
    assert [metrics[name] for name in ("sent", "acked", "pending", "delivered", "lost")] == [1, 1, 0, 1, 0]


# Closed forms


def attempts(steps: list[Step]) -> list[float]:
    return [step.at for step in steps for effect in step.effects if isinstance(effect, OpenWebSocket)]


def lost_at(result: Run) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Times at which each person's transport first noticed the end of its connection."""
    first: dict[str, float] = {}
    for step in result.steps():
        for effect in step.effects:
            if isinstance(effect, Notify) and effect.change.status is ConnectionStatus.RECONNECTING:
                first.setdefault(step.person, step.at)
    return np.array(list(first.values()))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("interval", "timeout"),
    [
        (30.0, 10.0),
        pytest.param(10.0, 10.0, marks=pytest.mark.proof),
        pytest.param(10.0, 25.0, marks=pytest.mark.proof),
    ],
)
def test_a_half_open_connection_is_found_uniformly_between_timeout_and_interval_plus_timeout(
    interval: float, timeout: float
) -> None:
    count, silent_at = 2_000, 100.0
    low, high = detection_span(interval, timeout)
    result = run(
        Scenario(
            duration=150.0,
            people=PeopleConfig(count=count, arrive_over=interval),
            transport=WebSocketSettings(heartbeat=HeartbeatConfig(interval=interval, timeout=timeout)),
            network=NetworkConfig(latency=1e-4),
            faults=(HalfOpen(at=silent_at),),
        ),
        sample=count,
    )
    noticed = np.sort(lost_at(result)) - silent_at
    assert len(noticed) == count
    assert noticed.min() >= low - 4e-4
    assert noticed.max() <= high
    # Kolmogorov–Smirnov and the mean's standard error, each at 99.9 %.
    expected = (noticed - low) / interval
    assert np.abs(expected - np.linspace(0, 1, count)).max() < 1.95 / np.sqrt(count)
    assert abs(noticed.mean() - (low + high) / 2) < 3.3 * interval / np.sqrt(12 * count)


def test_attempts_without_jitter_come_when_the_formula_says() -> None:
    delay, base, multiplier, limit = 0.125, 0.5, 2.0, 8.0
    reconnect = ReconnectConfig(
        jitter="none", base_delay=base, backoff_multiplier=multiplier, max_delay=limit
    )
    made = Scenario(
        duration=200.0,
        network=NetworkConfig(latency=delay),
        transport=WebSocketSettings(reconnect=reconnect),
        faults=(ServerDown(at=20.0, duration=100.0),),
    )
    _, *times = attempts(run(made).steps())
    reach = 4  # the first n whose delay is the limit
    expected = []
    for n in range(1, 11):
        below, at_limit = min(n, reach), max(0, n - reach)
        waited = base * (multiplier**below - 1) / (multiplier - 1) + limit * at_limit
        expected.append(20.0 + delay + waited + (n - 1) * 2 * delay)
    assert times == pytest.approx(expected)


@pytest.mark.slow
def test_full_jitter_waits_half_the_formula_on_average() -> None:
    count, retries = 1_000, 5
    made = Scenario(
        duration=90.0,
        people=PeopleConfig(count=count),
        network=NetworkConfig(latency=0.0),
        transport=WebSocketSettings(reconnect=ReconnectConfig(jitter="full", max_attempts=retries)),
        faults=(ServerDown(at=5.0, duration=85.0),),
    )
    result = run(made, sample=count)
    times = np.array([[5.0, *attempts(result.steps(person))[1:]] for person in result.people])
    waited = np.diff(times, axis=1)
    assert waited.shape == (count, retries)
    for n in range(retries):
        c = 2.0**n
        assert waited[:, n].max() <= c
        assert abs(waited[:, n].mean() - c / 2) < 4 * c / np.sqrt(12 * count)
        # The variance of a uniform's squared deviation is c⁴/180.
        assert abs(waited[:, n].var() - c**2 / 12) < 4 * c**2 / np.sqrt(180 * count)


def herd(jitter: Jitter, max_attempts: int | None = None) -> Run:
    """A thousand people meet a server that accepts 40 a second, lets 10 wait, and refuses the others."""
    return run(
        Scenario(
            seed=1,
            duration=500.0,
            people=PeopleConfig(count=1_000),
            network=NetworkConfig(latency=0.001),
            transport=WebSocketSettings(
                reconnect=ReconnectConfig(jitter=jitter, max_attempts=max_attempts),
                heartbeat=HeartbeatConfig(enabled=False),
            ),
            server=ServerConfig(accept_rate=40.0, backlog=10, overflow="refuse"),
        ),
        sample=0,
    )


@pytest.mark.parametrize(
    ("jitter", "max_attempts", "attempts_each", "gave_up", "last_back"),
    [
        ("seed", 10, 7.66, 0.35, 184),
        ("full", None, 4.34, 0, 45),
        ("equal", None, 4.32, 0, 57),
        ("decorrelated", None, 3.37, 0, 49),
    ],
)
def test_a_herd_behaves_as_published(
    jitter: Jitter, max_attempts: int | None, attempts_each: float, gave_up: float, last_back: float
) -> None:
    """An independent simulation of 50,000 people gave these; here the first attempt counts as well."""
    result = herd(jitter, max_attempts)
    assert (result.metrics["attempts"] or 0) / 1_000 - 1 == pytest.approx(attempts_each, rel=0.03)
    connected = np.array(result.series["connected"])
    assert 1 - connected[-1] / 1_000 == pytest.approx(gave_up, abs=0.03)
    back = int(np.argmax(connected == connected.max()))
    assert back == pytest.approx(last_back, rel=0.12)
    assert back >= connected[-1] / 40 - 1
    assert result.metrics["queue_max"] == 10


def test_a_herd_needs_as_long_as_the_server_takes() -> None:
    count, rate = 500, 50.0
    made = Scenario(
        duration=60.0,
        people=PeopleConfig(count=count),
        server=ServerConfig(accept_rate=rate, backlog=count),
        transport=WebSocketSettings(reconnect=ReconnectConfig(jitter="none"), connect_timeout=30.0),
        faults=(ServerDown(at=20.0, duration=0.5),),
    )
    metrics = run(made).metrics
    needed = count / rate + 0.5
    assert needed <= (metrics["recovery_p99"] or 0) / 0.99 + 0.5 < needed + 1
    assert metrics["queue_max"] == count
    assert metrics["attempts"] == 2 * count


def refused_share(load: float, room: int) -> float:
    """Return the share of arrivals that an M/D/1 queue refuses; `room` includes the one that is served.

    Source: O. Brun, J.-M. Garcia, Analytical solution of finite capacity M/D/1 queues, J. Appl. Prob. 37
    (2000).
    """
    n = room - 1
    terms = ((-load) ** k / factorial(k) * float(n - k) ** k * exp((n - k) * load) for k in range(room))
    b = sum(terms)
    return 1 - b / (1 + load * b)


def test_the_closed_form_is_erlangs_without_a_queue() -> None:
    assert refused_share(0.8, 1) == pytest.approx(0.8 / 1.8)


@pytest.mark.sampled(3)
@pytest.mark.slow
@pytest.mark.parametrize(("load", "room"), [(0.5, 1), (0.8, 3), (1.0, 10), (1.5, 5)])
def test_a_full_queue_refuses_the_share_of_an_md1k_queue(load: float, room: int) -> None:
    """People who arrive at random and don't come back; means of sixteen runs, four standard errors."""
    count, rate, runs = 2_000, 20.0, 16
    made = Scenario(
        duration=count / (load * rate) + 10.0,
        people=PeopleConfig(count=count, arrive_over=count / (load * rate)),
        server=ServerConfig(accept_rate=rate, backlog=room, overflow="refuse"),
        transport=WebSocketSettings(
            reconnect=ReconnectConfig(enabled=False), heartbeat=HeartbeatConfig(enabled=False)
        ),
    )
    connected = [run(made.replace(seed=seed), sample=0).series["connected"][-1] for seed in range(runs)]
    shares = 1 - np.array(connected) / count
    error = shares.std(ddof=1) / np.sqrt(runs)
    assert abs(shares.mean() - refused_share(load, room)) < 4 * error


def test_a_queue_that_refuses_drains_at_its_rate() -> None:
    """Of a herd at once `room` are accepted, one each 1/μ, and the others are refused."""
    count, rate, room = 500, 20.0, 100
    made = Scenario(
        duration=20.0,
        people=PeopleConfig(count=count),
        network=NetworkConfig(latency=0.001),
        server=ServerConfig(accept_rate=rate, backlog=room, overflow="refuse"),
        transport=WebSocketSettings(reconnect=ReconnectConfig(enabled=False)),
    )
    result = run(made)
    assert result.series["connected"][:5] == [19, 39, 59, 79, 99]  # One answer is under way.
    assert result.series["connected"][5:] == [room] * 15
    assert result.metrics["queue_max"] == room


@pytest.mark.parametrize("jitter", ["none", "decorrelated"])
def test_policies_get_the_same_random_numbers(jitter: Jitter) -> None:
    def until_the_fault(jitter: Jitter) -> list[Step]:
        made = scenario(3, (ServerDown(at=20.0, duration=5.0),), latency=LogNormal(median=0.05, p99=0.8))
        made = made.replace(transport=made.transport.replace(reconnect=ReconnectConfig(jitter=jitter)))
        return [step for step in run(made).steps() if step.at < 20]

    assert until_the_fault(jitter) == until_the_fault("full")


def test_more_people_do_not_change_a_persons_random_numbers() -> None:
    def arrivals(count: int) -> list[float]:
        result = run(Scenario(duration=11.0, people=PeopleConfig(count=count, arrive_over=10.0)))
        return [
            step.at
            for step in result.steps()
            if isinstance(step.event, Connect) and step.person == "person-2"
        ]

    assert arrivals(2) == arrivals(200)


@pytest.mark.slow
def test_a_simulated_day_of_one_person() -> None:
    hours = (1, 5, 9, 13, 17)
    made = Scenario(
        duration=86_400.0, faults=tuple(ServerDown(at=3600.0 * hour, duration=60.0) for hour in hours)
    )
    result = run(made)
    spans = [span for span in result.statuses("person-1") if span.status is ConnectionStatus.CONNECTED]
    assert len(spans) == 6
    assert spans[-1].end == 86_400.0
    # A ping and its pong every 30 s.
    assert len(result.trace) == pytest.approx(2 * 86_400 / 30, rel=0.02)
    assert result.metrics["lost"] == 0
