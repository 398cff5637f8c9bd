from __future__ import annotations

from typing import Any

import pytest

from chatlab.dialects.base import Dialect
from chatlab.experiment.run import Run
from chatlab.messages import ConnectionStatus
from chatlab.settings import FallbackConfig, HeartbeatConfig, ReconnectConfig, WebSocketConfig
from chatlab.sim.faults import Blocked, Fault, HalfOpen, ServerDown
from chatlab.studies.live_record import WINDOW, RoundTrips
from chatlab.studies.prediction import agreement, predict
from chatlab.transports.machine import Ping

CONFIG = WebSocketConfig(
    url="wss://chat.example/ws",
    room="den",
    sender="ada",
    headers={"Authorization": "Bearer secret"},
    reconnect=ReconnectConfig(jitter="none"),
)
D = 0.25


def down(*outages: tuple[float, float]) -> list[Fault]:
    return [ServerDown(at=start, duration=end - start) for start, end in outages]


def connected(run: Run) -> list[tuple[float, float]]:
    return [
        (span.start, span.end) for span in run.statuses("ada") if span.status is ConnectionStatus.CONNECTED
    ]


def test_an_outage_and_one_that_is_not_over() -> None:
    result = predict(CONFIG, down((10.0, 12.0), (40.0, 1e6)), 60.0, latency=D)
    # Lost at 10.25; tried at 11.25, in vain until 11.75, and at 13.75.
    assert connected(result) == [(1.0, 10.25), (14.75, 40.25)]
    assert result.statuses("ada")[-1].status is ConnectionStatus.RECONNECTING


def test_no_outage_is_one_long_connection() -> None:
    assert connected(predict(CONFIG, [], 60.0, latency=D)) == [(1.0, 60.0)]


def test_an_outage_from_the_beginning() -> None:
    assert connected(predict(CONFIG, down((0.0, 2.0)), 60.0, latency=D)) == [(2 + 2 + 1.0, 60.0)]


def test_events_beyond_the_horizon_are_left_out() -> None:
    result = predict(CONFIG, down((70.0, 80.0)), 60.0, latency=D, sends=[(5.0, "hi"), (65.0, "ho")])
    assert connected(result) == [(1.0, 60.0)]
    assert result.metrics["sent"] == result.metrics["acked"] == 1


def test_the_seed_decides_the_jitter() -> None:
    config = CONFIG.replace(reconnect=ReconnectConfig(jitter="full"))
    outages = down((10.0, 20.0))
    first, second, other = (predict(config, outages, 60.0, seed=seed).steps() for seed in (1, 1, 2))
    assert first == second != other


def test_another_dialect_keeps_its_heartbeat() -> None:
    config = CONFIG.replace(dialect="text", heartbeat=HeartbeatConfig(interval=5.0))
    pings = [
        effect
        for step in predict(config, [], 12.0).steps("ada")
        for effect in step.effects
        if isinstance(effect, Ping)
    ]
    assert [ping.id for ping in pings] == [1, 2]


def test_secrets_stay_out() -> None:
    assert b"secret" not in predict(CONFIG, [], 10.0).to_json_lines()


def test_a_person_connects_and_disconnects_when_they_did() -> None:
    result = predict(
        CONFIG, [], 60.0, latency=D, actions=[(5.0, "connect"), (20.0, "disconnect"), (70.0, "connect")]
    )
    ((start, end),) = connected(result)
    assert start == 6.0
    assert 20.0 <= end <= 21.0


def test_a_transport_that_is_not_in_use_may_be_blocked() -> None:
    blocked = Blocked(at=5.0, duration=20.0, transports=("sse",))
    assert connected(predict(CONFIG, [blocked], 60.0, latency=D)) == [(1.0, 60.0)]


def test_a_half_open_connection_is_found_by_its_heartbeat() -> None:
    ((_, end), (start, _)) = connected(predict(CONFIG, [HalfOpen(at=10.0, duration=1.0)], 90.0, latency=D))
    assert end == 1.0 + 30.0 + 10.0, "connected, heartbeat, pong timeout"
    assert start == end + 1.0 + 4 * D


@pytest.mark.parametrize(
    ("live", "predicted", "now", "text"),
    [
        ([], [], 9.0, "0 of 0 attempts within 0.1 s"),
        ([1.0, 2.0], [1.05, 2.1], 9.0, "2 of 2 attempts within 0.1 s"),
        ([1.0, 2.0], [1.05, 2.2], 9.0, "1 of 3 attempts within 0.1 s"),
        ([1.0], [0.5, 0.95, 4.0], 9.0, "1 of 3 attempts within 0.1 s"),
        ([1.0, 1.02], [1.01], 9.0, "1 of 2 attempts within 0.1 s"),
        ([1.0], [1.0, 12.0], 9.0, "1 of 1 attempts within 0.1 s"),
        ([8.95], [9.02], 9.0, "1 of 1 attempts within 0.1 s"),
        ([8.95], [8.94, 8.97], 9.0, "1 of 1 attempts within 0.1 s"),
        ([8.95], [], 9.0, "0 of 0 attempts within 0.1 s"),
    ],
)
def test_agreement_is_counted_in_attempts_of_either(
    live: list[float], predicted: list[float], now: float, text: str
) -> None:
    assert str(agreement(live, predicted, now)) == text


def test_a_dialect_of_the_users_own_counts_by_its_heartbeat() -> None:
    class Own(Dialect):
        name = "own"
        heartbeat = "none"

    config = WebSocketConfig(
        url="ws://h", sender="ada", dialect=Own(), heartbeat=HeartbeatConfig(interval=2.0)
    )
    for given in (config, FallbackConfig(transports=(config,))):
        kept: Any = predict(given, [], 30.0).scenario.transport
        own = kept.transports[0] if isinstance(given, FallbackConfig) else kept
        assert (own.dialect, own.heartbeat.mode, own.heartbeat.interval) == ("chatlab", "none", 2.0)


def test_the_network_is_half_of_the_median_round_trip() -> None:
    trips = RoundTrips(0.0005)
    assert not trips.add(None)
    assert trips.latency == 0.0005
    assert trips.add(0.08)
    assert trips.latency == 0.04
    assert not trips.add(0.08), "the same one"
    assert not trips.add(0.09), "not worth another prediction"
    assert trips.latency == 0.04
    for rtt in (2.0, 0.081, 0.082):  # one outlier
        trips.add(rtt)
    assert trips.latency == 0.04


def test_a_network_that_has_changed_is_noticed() -> None:
    trips = RoundTrips(0.02)
    moved = [trips.add(0.04 + number / 1e6) for number in range(WINDOW)]
    assert not any(moved)
    moved = [trips.add(0.4 + number / 1e6) for number in range(WINDOW)]
    assert moved.count(True) == 1
    assert trips.latency == pytest.approx(0.2, rel=1e-3)
