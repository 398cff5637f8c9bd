"""Services that a server needs: their laws in closed form, and what refusals do to clients."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, inf, log, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from chatlab.errors import SettingsError
from chatlab.experiment.compare import compare
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.live_world import run_live_together
from chatlab.experiment.worlds.runner import run
from chatlab.random_streams import RandomStreams
from chatlab.settings import HeartbeatConfig, ReconnectConfig
from chatlab.sim.capacity import Need, ServerConfig
from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.faults import AnyFault, ConnectionReset, ServerDown
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.needs import NeedQueue, Needs, cause_of
from chatlab.sim.people import PeopleConfig, ScriptEntry
from chatlab.sim.transport_settings import (
    AnyTransport,
    LongPollingSettings,
    ShortPollingSettings,
    SSESettings,
    WebSocketSettings,
)
from chatlab.transports.machine import Answered, Closed, Fetch, Opened

D = 0.1
CALLS, BATCHES = 100_000, 40
NAMES = ("needs_queue_max", "needs_refused", "needs_timed_out")
Sample = NDArray[np.float64]
Choice = NDArray[np.bool_]


# Laws


def served(need: Need, arrivals: float, calls: int = CALLS) -> tuple[Sample, Choice, NeedQueue]:
    """Pass Poisson calls to a queue; return the seconds until each answer, and which ones were granted."""
    queue = NeedQueue(need, RandomStreams(3).uniform(0, "need"))
    times = np.cumsum(np.random.Generator(np.random.Philox(5)).exponential(1 / arrivals, calls))
    answers = [(at - now, granted) for now in times.tolist() for at, granted in [queue.enter(now)]]
    taken, granted = np.array(answers).T
    return taken, granted.astype(bool), queue


def assert_near(sample: Sample, expected: float, errors: float = 3.0) -> None:
    """Check a mean within standard errors, which come from the means of batches: waits are correlated."""
    means = sample[: len(sample) // BATCHES * BATCHES].reshape(BATCHES, -1).mean(axis=1)
    error = means.std(ddof=1) / sqrt(BATCHES)
    assert abs(means.mean() - expected) < errors * error, (means.mean(), expected, error)
    assert error < 0.25 * expected, "the sample says something"


@pytest.mark.slow
@pytest.mark.parametrize("load", [0.5, 0.8])
def test_a_need_is_an_m_m_1_queue(load: float) -> None:
    """The time in the system is exponential, with the mean 1 / (service rate - arrival rate)."""
    rate = 20.0
    taken, granted, _ = served(Need(name="token", rate=rate), load * rate)
    assert granted.all()
    free = (1 - load) * rate
    assert_near(taken, 1 / free)
    for quantile in (0.5, 0.9, 0.99):
        at = -log(1 - quantile) / free
        assert_near((taken > at).astype(float), 1 - quantile, 4.0)


@pytest.mark.slow
@pytest.mark.parametrize("load", [0.5, 0.8])
def test_a_constant_need_is_an_m_d_1_queue(load: float) -> None:
    """Pollaczek and Khinchine: half the waiting time of M/M/1."""
    rate = 20.0
    taken, _, _ = served(Need(name="token", rate=rate, service="constant"), load * rate)
    assert_near(taken - 1 / rate, load / (2 * rate * (1 - load)))


@pytest.mark.slow
@pytest.mark.parametrize(("load", "places"), [(0.8, 3), (1.5, 5)])
def test_a_bounded_need_refuses_as_m_m_1_k_does(load: float, places: int) -> None:
    """K is one more than the places, as one call is being served."""
    rate, most = 20.0, places + 1
    taken, granted, queue = served(Need(name="token", rate=rate, queue=places), load * rate)
    blocked = (1 - load) * load**most / (1 - load ** (most + 1))
    assert_near((~granted).astype(float), blocked)
    assert queue.refused == np.count_nonzero(~granted)
    assert queue.longest == most
    assert (taken[~granted] == 0).all(), "a refusal comes at once"


@pytest.mark.slow
def test_callers_time_out_as_often_as_waits_are_longer() -> None:
    rate, load, timeout = 20.0, 0.8, 0.5
    taken, granted, queue = served(Need(name="token", rate=rate, timeout=timeout), load * rate)
    assert_near((~granted).astype(float), exp(-(1 - load) * rate * timeout), 4.0)
    assert taken.max() <= timeout + 1e-9
    assert queue.timed_out == np.count_nonzero(~granted)
    assert queue.refused == 0


@pytest.mark.slow
def test_the_model_waits_as_an_m_m_1_queue_does() -> None:
    """Messages of many people are Poisson together. Each is shown after a round trip and the wait."""
    rate, load, people = 50.0, 0.5, 100
    need = Need(name="database", rate=rate, per="message")
    scenario = Scenario(
        duration=400.0,
        people=PeopleConfig(count=people, rooms=people, send_rate=load * rate / people),
        transport=WebSocketSettings(heartbeat=HeartbeatConfig(enabled=False)),
        network=NetworkConfig(latency=0.05),
        server=ServerConfig(needs=(need,), rate=1e6),
    )
    metrics = run(scenario, sample=0).metrics
    assert metrics["sent"] == pytest.approx(load * rate * 400, rel=0.03)
    for name, quantile in (("latency_p50", 0.5), ("latency_p95", 0.95)):
        wait = -log(1 - quantile) / ((1 - load) * rate)
        assert (metrics[name] or 0) - 0.1 == pytest.approx(wait, rel=0.1), name
    assert [metrics[name] for name in NAMES[1:]] == [0, 0]
    assert (metrics["needs_queue_max"] or 0) > 5


# Collapse


def herd(reconnect: ReconnectConfig) -> Run:
    """150 clients lose their connections to a server whose token service is busy for 30 s with them."""
    token = Need(name="token", rate=5.0, timeout=2.0, service="constant")
    return run(
        Scenario(
            duration=250.0,
            people=PeopleConfig(count=150, arrive_over=60.0),
            transport=WebSocketSettings(reconnect=reconnect, heartbeat=HeartbeatConfig(enabled=False)),
            network=NetworkConfig(latency=0.05),
            server=ServerConfig(needs=(token,)),
            faults=(ConnectionReset(at=70.0),),
        ),
        sample=0,
    )


@pytest.mark.slow
def test_clients_that_come_back_too_early_make_a_dependency_collapse() -> None:
    """Each client waits 2 s for an answer and comes back 1 s later: 50 calls a second for a service of 5.

    Its work is wasted, as in Brooker's and Bronson's metastable failures, long after the cause has gone.
    """
    eager = herd(ReconnectConfig(max_attempts=None, jitter="none", base_delay=1.0, max_delay=1.0))
    patient = herd(ReconnectConfig(max_attempts=None, jitter="full", base_delay=10.0, max_delay=120.0))
    assert max(eager.series["connected"][80:]) < 25
    assert (eager.metrics["needs_timed_out"] or 0) > 0.9 * 50 * 150
    assert patient.series["connected"][-1] > 100


@pytest.mark.slow
def test_brookers_collapse_goodput_stays_low_until_the_retries_stop() -> None:
    """Calls at 80 % of the rate, a spike of 5 s, and a queue whose wait is longer than the time-out.

    Then the service is busy only with calls that nobody awaits any more. See `chatlab.studies.retry_storm`.
    """
    environment, streams, good = LadderEnvironment(), RandomStreams(2), np.zeros(200)
    service = Need(name="service", rate=10.0, timeout=2.0, queue=30, service="constant")
    needs, uniform = Needs((service,), streams, environment), streams.uniform(0, "arrivals")
    retries_end, spike = 120.0, (30.0, 35.0)

    def call() -> None:
        needs.wait("connect", lambda: True, answered, failed)

    def answered() -> None:
        good[int(environment.now)] += 1

    def failed(need: Need) -> None:
        if environment.now < retries_end:
            environment.call_later(1.0, call)

    def arrive() -> None:
        call()
        rate = 16.0 if spike[0] <= environment.now < spike[1] else 8.0
        environment.call_later(-log(1 - uniform()) / rate, arrive)

    arrive()
    environment.run(until=200.0)
    assert good[5:30].mean() == pytest.approx(8, abs=1)
    assert good[45:120].mean() < 0.5
    assert good[140:].mean() == pytest.approx(8, abs=1)


def storm(reconnect: ReconnectConfig, until: float = inf) -> Run:
    """200 people post at 80 % of a database's rate. An outage of 10 s makes a burst of what they keep."""
    rng = np.random.Generator(np.random.Philox(1))
    times = np.cumsum(rng.exponential(1 / 16, 16 * 110))
    script = tuple(
        ScriptEntry(at=at, person=f"person-{rng.integers(200) + 1}", text="x")
        for at in times.tolist() if at < min(until, 98.0)
    )  # fmt: skip
    database = Need(name="database", rate=20.0, timeout=3.0, per="message", service="constant")
    return run(
        Scenario(
            duration=100.0,
            people=PeopleConfig(count=200, rooms=200, script=script),
            transport=SSESettings(reconnect=reconnect, request_timeout=10.0),
            network=NetworkConfig(latency=0.05),
            server=ServerConfig(needs=(database,)),
            faults=(ServerDown(at=20.0, duration=10.0),),
        ),
        sample=0,
    )


def goodput(result: Run, begin: int, end: int) -> float:
    return float(np.mean(result.series["delivered"][begin:end]))


@pytest.mark.proof  # a notebook and its study show the same
def test_posts_that_are_sent_again_at_once_make_a_short_overload_last() -> None:
    """As in `chatlab.studies.retry_storm`; with backoff it ends."""
    at_once = ReconnectConfig(max_attempts=None, jitter="none", base_delay=0.1, max_delay=0.1)
    backoff = ReconnectConfig(max_attempts=None, jitter="full", base_delay=20.0, max_delay=60.0)
    stuck, fine = storm(at_once), storm(backoff)
    before, stays, recovers = goodput(stuck, 5, 20), goodput(stuck, 50, 98), goodput(fine, 50, 98)
    assert before == pytest.approx(16, abs=2)
    assert stays < 1
    assert recovers > 12


# What clients see, in all worlds


RECONNECT = ReconnectConfig(jitter="none", max_attempts=None, base_delay=1.0, max_delay=4.0)
TRANSPORTS: dict[str, AnyTransport] = {
    "websocket": WebSocketSettings(reconnect=RECONNECT),
    "sse": SSESettings(reconnect=RECONNECT),
    "long_polling": LongPollingSettings(reconnect=RECONNECT, hold=4.0, timeout=6.0),
    "short_polling": ShortPollingSettings(reconnect=RECONNECT, interval=2.0),
}
SAID = tuple(
    ScriptEntry(at=at, person=person, text=f"at {at:g}")
    for at, person in ((5.03, "ada"), (5.11, "bob"), (5.23, "ada"), (9.07, "zoë"), (9.13, "ada"))
)


def talk(transport: str, *needs: Need, faults: tuple[AnyFault, ...] = (), **more: Any) -> Scenario:
    return Scenario(
        duration=25.0,
        people=PeopleConfig(count=3, script=SAID, arrive_over=0.5),
        transport=TRANSPORTS[transport],
        network=NetworkConfig(latency=D),
        server=ServerConfig(needs=needs, **more),
        faults=faults,
    )


@pytest.mark.slow
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    "need",
    [
        Need(name="token", rate=1.3, timeout=1.1),
        Need(name="token", rate=0.9, queue=1, status=429, retry_after=1.2),
        Need(name="database", rate=2.1, timeout=0.4, per="message"),
        Need(name="database", rate=0.7, queue=1, per="message", status=429),
    ],
    ids=["timeout", "full", "message timeout", "message full"],
)
def test_model_and_wire_make_the_same_calls(need: Need, transport: str) -> None:
    scenario = talk(transport, need, faults=(ConnectionReset(at=12.0),))
    model, wire = run(scenario, sample=3), run(scenario, "wire", sample=3)
    assert compare(model, wire), str(compare(model, wire))
    assert [model.metrics[name] for name in NAMES] == [wire.metrics[name] for name in NAMES]
    assert sum(model.metrics[name] or 0 for name in NAMES[1:]) > 0
    assert (model.metrics["lost"], model.metrics["duplicated"]) == (0, 0)


@pytest.mark.slow
def test_the_live_world_makes_the_same_calls() -> None:
    needs = (
        Need(name="token", rate=2.0, timeout=0.9, service="constant"),
        Need(name="database", rate=2.1, per="message", service="constant"),
    )
    scenarios = [talk(transport, *needs) for transport in TRANSPORTS]
    for scenario, live in zip(scenarios, run_live_together(scenarios, 3, 25.0), strict=True):
        model = run(scenario, sample=3)
        assert compare(model, live), str(compare(model, live))


def test_several_needs_are_met_one_after_the_other() -> None:
    one = Need(name="one", rate=2.0, service="constant")
    scenario = talk("websocket", one, one.replace(name="two", rate=4.0))
    result = run(scenario.replace(people=PeopleConfig(count=1)), sample=1)
    opened = [step.at for step in result.steps() if isinstance(step.event, Opened)]
    assert opened == [pytest.approx(4 * D + 1 / 2 + 1 / 4)]


def test_a_refused_stream_is_answered_with_status_and_retry_after() -> None:
    token = Need(name="token", rate=0.1, service="constant", timeout=0.5, status=429, retry_after=2.3)
    for transport, kind in ("sse", Answered), ("websocket", Closed):
        result = run(talk(transport, token), sample=3)
        [first, *_] = [step.event for step in result.steps("ada") if isinstance(step.event, kind)]
        if isinstance(first, Answered):
            assert (first.answer.status, first.answer.headers["retry-after"]) == (429, "3")
            assert b"token is too busy" in first.answer.body
        else:
            assert isinstance(first, Closed)
            assert (first.failure.kind, first.failure.code) == ("http", 429)
            assert (first.failure.reason, first.failure.retry_after) == ("token is too busy", 3.0)


def test_only_the_first_poll_of_a_connection_calls() -> None:
    token = Need(name="token", rate=2.0, service="constant")
    scenario = talk("short_polling", token).replace(
        people=PeopleConfig(count=1), network=NetworkConfig(latency=D, keep_alive=4.0)
    )
    result = run(scenario, sample=1)
    polls = [
        (step.at, effect.link)
        for step in result.steps()
        for effect in step.effects
        if isinstance(effect, Fetch)
    ]
    answered = {step.event.link: step.at for step in result.steps() if isinstance(step.event, Answered)}
    took = [answered[link] - at for at, link in polls if link in answered]
    assert took[:3] == [pytest.approx(4 * D + 0.5), pytest.approx(2 * D), pytest.approx(2 * D)]


def test_heartbeats_and_typing_call_no_service() -> None:
    database = Need(name="database", rate=0.01, per="message")
    heartbeat = HeartbeatConfig(interval=3.0, timeout=1.0)
    calm = Scenario(
        duration=30.0,
        transport=WebSocketSettings(heartbeat=heartbeat),
        server=ServerConfig(needs=(database,)),
    )
    result = run(calm, sample=1)
    assert result.metrics["needs_queue_max"] == 0
    assert result.metrics["attempts"] == calm.people.count
    assert [cause_of(*line) for line in (("POST", "/typing"), ("GET", "/csrf"), ("GET", "/ws"))] == [None] * 3


def test_no_message_overtakes_a_refused_one() -> None:
    """After a refusal a WebSocket's messages are refused for 2 s: it comes back, and sends all in order."""
    database = Need(name="database", rate=5.0, queue=1, per="message", service="constant")
    script = tuple(ScriptEntry(at=5 + 0.01 * n, person="ada", text=f"number {n}") for n in range(5))
    scenario = talk("websocket", database).replace(people=PeopleConfig(count=1, script=script))
    model, wire = run(scenario, sample=1), run(scenario, "wire", sample=1)
    assert compare(model, wire), str(compare(model, wire))
    assert (model.metrics["out_of_order"], model.metrics["lost"]) == (0, 0)
    at_first = run(scenario.replace(duration=5.5), sample=1)
    assert at_first.metrics["needs_refused"] == 1, "the third, so the others aren't passed on"


def test_work_goes_on_when_the_server_dies() -> None:
    """The service is another machine: it is still busy with the calls of before."""
    token = Need(name="token", rate=0.5, service="constant")
    scenario = talk("websocket", token, faults=(ServerDown(at=0.9, duration=0.2),))
    model, wire = run(scenario, sample=3), run(scenario, "wire", sample=3)
    assert compare(model, wire), str(compare(model, wire))
    first = min(step.at for step in model.steps() if isinstance(step.event, Opened))
    assert first > 6.0


@pytest.mark.slow
def test_a_run_has_a_table_of_its_needs(tmp_path: Path) -> None:
    token = Need(name="token", rate=1.3, timeout=1.1)
    database = Need(name="database", rate=0.7, queue=1, per="message")
    scenario = talk("short_polling", token, database)
    result = run(scenario)
    table = result.needs
    assert [*table] == ["calls", "refused", "timed_out", "queue_max"]
    assert [*table.index] == ["token", "database"]
    totals = table.sum()
    assert (totals["refused"], totals["timed_out"]) == (
        result.metrics["needs_refused"], result.metrics["needs_timed_out"],
    )  # fmt: skip
    assert table["refused"].tolist()[0] == table["timed_out"].tolist()[1] == 0
    assert table["queue_max"].max() == result.metrics["needs_queue_max"]
    assert (table["calls"] >= table["refused"] + table["timed_out"]).all()
    assert min(table["calls"]) > 3
    assert run(scenario, "wire").needs.equals(table)
    path = tmp_path / "run.jsonl"
    result.save(path)
    assert Run.load(path).needs.equals(table)
    path.write_bytes(path.read_bytes().replace(b'"calls":[', b'"calls":[0,', 1))
    with pytest.raises(SettingsError, match="need_totals: expected a count for each need"):
        Run.load(path)
    assert len(run(scenario.replace(server=ServerConfig())).needs) == 0


def test_nothing_waits_before_the_run_begins() -> None:
    environment = LadderEnvironment(-10.0)
    needs = Needs((Need(name="token", rate=1e-3),), RandomStreams(0), environment)
    calls: list[str] = []

    def refuse(need: Need) -> None:
        calls.append(need.name)

    needs.wait("connect", lambda: True, lambda: calls.append("met"), refuse)
    assert calls == ["met"]
    assert needs.figures() == dict.fromkeys(NAMES, 0)


def test_a_caller_that_has_gone_calls_no_further_service() -> None:
    environment = LadderEnvironment()
    both = [Need(name=name, rate=1.0, service="constant") for name in ("one", "two")]
    needs, calls = Needs(both, RandomStreams(0), environment), list[str]()
    fail: Callable[[Need], None] = lambda need: calls.append(need.name)  # noqa: E731
    needs.wait("connect", lambda: False, lambda: calls.append("met"), fail)
    environment.run(until=5.0)
    assert calls == []
    assert [queue.longest for queue in needs.queues] == [1, 0]


# Settings


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rate": 0.0}, r"Need\.rate: give a number"),
        ({"rate": 1e-300}, r"Need\.rate: give a number of at least 1e-06"),
        ({"rate": inf}, r"Need\.rate: give a number"),
        ({"rate": float("nan")}, r"Need\.rate: give a number"),
        ({"timeout": 0.0}, r"Need\.timeout: give a number above 0"),
        ({"queue": 0}, r"Need\.queue: give a whole number of at least 1"),
        ({"status": 200}, r"Need\.status: choose one of 429, 503, got 200"),
        ({"per": "poll"}, r"Need\.per: choose one of connect, message"),
        ({"name": ""}, r"Need\.name: give a text of at least one character"),
        ({"retry_after": -1.0}, r"Need\.retry_after: give a number"),
    ],
)
def test_settings_are_checked_in_one_sentence(wrong: dict[str, Any], message: str) -> None:
    settings: dict[str, Any] = {"name": "token", "rate": 1.0} | wrong
    with pytest.raises(SettingsError, match=f"^{message}") as error:
        Need(**settings)
    assert "\n" not in str(error.value)


def test_two_needs_have_two_names() -> None:
    token = Need(name="token", rate=1.0)
    with pytest.raises(
        SettingsError, match=r"^ServerConfig\.needs: 'token' is there twice; give each a name"
    ):
        ServerConfig(needs=(token, token.replace(per="message")))


def test_a_scenario_with_needs_is_the_same_in_toml() -> None:
    scenario = talk(
        "websocket", Need(name="token", rate=2.0, queue=3), Need(name="db", rate=1.0, per="message")
    )
    assert Scenario.from_toml(scenario.to_toml()) == scenario
