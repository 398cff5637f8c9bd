"""The heartbeat of one connection: both of the seed's endings, activity, and round-trip time (SPEC §2; A27,
A28, A30)."""

from __future__ import annotations

from math import inf
from statistics import fmean
from typing import Any

import pytest

from chatlab.settings import FallbackConfig, HeartbeatConfig, SSEConfig, WebSocketConfig
from chatlab.transports.heartbeat import Heartbeat, Silence, server_heartbeat


def heartbeat(interval: float = 30.0, timeout: float = 10.0, opened_at: float = 0.0) -> Heartbeat:
    return Heartbeat(HeartbeatConfig(interval=interval, timeout=timeout), opened_at)


def test_pings_are_numbered_and_an_interval_apart() -> None:
    beat = heartbeat(opened_at=100.0)
    due = []
    for _ in range(3):
        due.append((beat.deadline, beat.tick(beat.deadline)))
        beat.activity(due[-1][0])
    assert due == [(130.0, 1), (160.0, 2), (190.0, 3)]


def test_early_ticks_do_nothing() -> None:
    beat = heartbeat()
    assert [beat.tick(at) for at in (0.0, 29.9, 5.0)] == [None, None, None]
    assert beat.tick(30.0) == 1
    assert [beat.tick(at) for at in (30.0, 39.9)] == [None, None]


@pytest.mark.parametrize(
    ("interval", "timeout", "dead_at", "reason"),
    [
        (30.0, 10.0, 40.0, "Pong timeout"),
        (10.0, 30.0, 20.0, "Heartbeat timeout"),
        (10.0, 10.0, 20.0, "Heartbeat timeout"),  # "when timeout >= interval"
    ],
)
def test_SPEC_2_two_reasons(interval: float, timeout: float, dead_at: float, reason: str) -> None:
    beat = heartbeat(interval, timeout)
    assert beat.tick(beat.deadline) == 1
    assert beat.open
    assert beat.deadline == dead_at
    assert beat.tick(dead_at) == reason


def test_A32_after_a_laptops_sleep_one_ping_goes_out_not_a_burst() -> None:
    beat = heartbeat()
    assert beat.tick(86_400.0) == 1
    assert beat.tick(86_400.0) is None
    assert beat.deadline == 86_410.0


def test_A32_a_late_tick_still_reports_the_first_timeout() -> None:
    beat = heartbeat()
    beat.tick(30.0)
    assert beat.tick(1_000.0) == "Pong timeout"


def test_A28_any_incoming_data_answers_a_ping() -> None:
    beat = heartbeat()
    beat.tick(30.0)
    beat.activity(31.0)
    assert not beat.open
    assert beat.deadline == 60.0
    assert beat.tick(40.0) is None
    assert beat.tick(60.0) == 2


def test_a_frame_before_a_ping_delays_no_heartbeat() -> None:
    beat = heartbeat()
    beat.activity(1.0)
    assert beat.deadline == 30.0


def test_A30_only_the_first_pong_for_the_latest_ping_measures() -> None:
    beat = heartbeat()
    assert beat.pong(0, 1.0) is None, "before any ping"
    assert beat.pong(1, 1.0) is None, "before its ping"
    beat.tick(30.0)
    beat.activity(31.0)
    assert beat.pong(1, 30.25) == 0.25
    assert beat.pong(1, 31.0) is None, "twice"
    beat.tick(60.0)
    assert beat.pong(1, 60.5) is None, "an old one"
    assert beat.pong(2, 62.0) == 2.0


def test_FACTS_6_a_silent_drop_is_noticed_between_timeout_and_interval_plus_timeout_uniformly() -> None:
    """Compare, for silence that starts on an even grid over one interval, with the mean I/2 + timeout, 25 s
    (A27)."""
    interval, timeout, grid = 30.0, 10.0, 1000
    delays = []
    for step in range(grid):
        silent_at = 90.0 + (step + 0.5) * interval / grid
        beat = heartbeat(interval, timeout)
        while True:
            at = beat.deadline
            assert at < inf
            due = beat.tick(at)
            if isinstance(due, str):
                delays.append(at - silent_at)
                break
            if at < silent_at:
                beat.activity(at)
    assert timeout <= min(delays) < timeout + 0.1
    assert interval + timeout - 0.1 < max(delays) <= interval + timeout
    assert fmean(delays) == pytest.approx(interval / 2 + timeout)


# Pings of the server


def test_a_client_that_sends_no_pings_counts_silence_for_interval_and_timeout() -> None:
    beat = Silence(HeartbeatConfig(interval=25.0, timeout=20.0), 100.0)
    assert beat.deadline == 145.0
    assert beat.tick(144.9) is None
    beat.activity(130.0)
    beat.beat_now(140.0)
    assert beat.pong(1, 140.0) is None
    assert not beat.open
    assert beat.deadline == 175.0
    assert beat.tick(174.9) is None
    assert beat.tick(175.0) == "Heartbeat timeout"


def test_the_server_pings_as_the_first_websocket_says_whose_server_does() -> None:
    def websocket(**settings: Any) -> WebSocketConfig:
        return WebSocketConfig("ws://x", heartbeat=HeartbeatConfig(**settings))

    sse, ours, theirs = SSEConfig("http://x"), websocket(), websocket(mode="server")
    off, both = websocket(mode="server", enabled=False), websocket(mode="both")
    assert server_heartbeat(ours) is server_heartbeat(off) is server_heartbeat(sse) is None
    assert server_heartbeat(theirs) == theirs.heartbeat
    assert server_heartbeat(FallbackConfig(transports=(sse, off, both, theirs))) == both.heartbeat
