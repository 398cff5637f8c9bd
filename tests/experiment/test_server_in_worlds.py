"""What the server does, in the model and on the wire: whom it turns away, when it begins, and how it ends."""

from __future__ import annotations

import pytest

from chatlab import compare, run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.transports import (
    AnyTransport,
    LongPollingSettings,
    ShortPollingSettings,
    SSESettings,
    WebSocketSettings,
)
from chatlab.settings import ReconnectConfig
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.faults import AnyFault, HttpError, Partition, ServerDown
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.people import PeopleConfig, ScriptEntry

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


def played(transport: str | AnyTransport, *faults: AnyFault, **changes: object) -> Scenario:
    settings = TRANSPORTS[transport] if isinstance(transport, str) else transport
    return Scenario(duration=9.0, transport=settings, faults=faults).replace(**changes)


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


# Whom it turns away


@pytest.mark.parametrize("status", [400, 419, 429, 503, 599])
@EACH_TRANSPORT
def test_any_status_of_an_error_is_answered_with_or_without_a_phrase(transport: str, status: int) -> None:
    scenario = played(transport, HttpError(at=0.0, duration=1.9, status=status), duration=4.0)
    assert_agree(scenario, steps=2)
    assert run(scenario).metrics["bytes_down"] == run(scenario, "wire").metrics["bytes_down"]


@pytest.mark.parametrize(("rate", "backlog", "limit"), [(2.3, 50, 2), (0.7, 2, 1), (None, 1, 3)])
@EACH_TRANSPORT
def test_who_waits_to_be_accepted_does_not_count_as_a_connection(
    transport: str, rate: float | None, backlog: int, limit: int
) -> None:
    server = ServerConfig(accept_rate=rate, backlog=backlog, max_connections=limit)
    people = PeopleConfig(count=5, arrive_over=1.37)
    assert_agree(played(transport, people=people, server=server))


@EACH_TRANSPORT
def test_a_full_server_says_so_at_once_however_much_it_has_to_do(transport: str) -> None:
    server = ServerConfig(max_connections=1, service_time=0.57, service="exponential")
    people = PeopleConfig(count=4, arrive_over=0.61)
    assert_agree(played(transport, people=people, server=server))


@EACH_TRANSPORT
def test_a_server_that_was_started_anew_has_forgotten_who_sent_too_much(transport: str) -> None:
    server = ServerConfig(rate=0.1, burst=2)
    people = says((1.03, "one"), (1.31, "two"), (2.93, "three"))
    scenario = played(transport, ServerDown(at=1.97, duration=0.53), people=people, server=server)
    assert_agree(scenario)
    assert run(scenario).metrics["acked"] == 3


# When it begins, and how long it waits

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
def test_who_is_refused_need_not_have_sent_the_body(interval: float, latency: float) -> None:
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
