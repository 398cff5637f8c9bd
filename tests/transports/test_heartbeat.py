"""The heartbeat of one connection: both of the seed's endings, activity, and round-trip time (SPEC §2; A27,
A28, A30)."""

from __future__ import annotations

from math import inf, nextafter
from statistics import fmean

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chatlab.settings import HeartbeatConfig
from chatlab.transports.heartbeat import Heartbeat


def heartbeat(interval: float = 30.0, timeout: float = 10.0, opened_at: float = 0.0) -> Heartbeat:
    return Heartbeat(HeartbeatConfig(interval=interval, timeout=timeout), opened_at)


def test_pings_are_numbered_and_an_interval_apart() -> None:
    beat = heartbeat(opened_at=100.0)
    due = []
    for _ in range(3):
        due.append((beat.deadline, beat.tick(beat.deadline)))
        beat.activity()
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
    beat.activity()
    assert not beat.open
    assert beat.deadline == 60.0
    assert beat.tick(40.0) is None
    assert beat.tick(60.0) == 2


def test_a_frame_before_a_ping_delays_no_heartbeat() -> None:
    beat = heartbeat()
    beat.activity()
    assert beat.deadline == 30.0


def test_A30_only_the_first_pong_for_the_latest_ping_measures() -> None:
    beat = heartbeat()
    assert beat.pong(0, 1.0) is None, "before any ping"
    assert beat.pong(1, 1.0) is None, "before its ping"
    beat.tick(30.0)
    beat.activity()
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
                beat.activity()
    assert timeout <= min(delays) < timeout + 0.1
    assert interval + timeout - 0.1 < max(delays) <= interval + timeout
    assert fmean(delays) == pytest.approx(interval / 2 + timeout)


@pytest.mark.parametrize("opened_at", [0.0, 0.1, 1234.56789])
@pytest.mark.parametrize("beats", [0, 1, 2, 1000])
def test_skipped_beats_are_as_answered_ones(beats: int, opened_at: float) -> None:
    skipped, lived = (heartbeat(interval=0.7, timeout=0.3, opened_at=opened_at) for _ in range(2))
    for beat in (skipped, lived):
        assert beat.tick(beat.deadline) == 1
        beat.activity()
        assert beat.pong(1, opened_at + 0.8) is not None
    until = lived.deadline + (beats - 0.5) * 0.7
    assert skipped.due(until) == beats
    for id in range(2, beats + 2):
        assert lived.tick(lived.deadline) == id
        lived.activity()
        lived.pong(id, lived.deadline - 0.5)
    skipped.skip(beats)
    assert (skipped.deadline, skipped.latest, skipped.open) == (lived.deadline, lived.latest, lived.open)
    assert skipped.pong(skipped.latest, until) == lived.pong(lived.latest, until) is None
    assert skipped.tick(skipped.deadline) == lived.tick(lived.deadline) == beats + 2


def test_a_beat_that_is_due_just_now_is_still_to_come() -> None:
    beat = heartbeat()
    assert [beat.due(at) for at in (29.0, 30.0, 30.1, 60.0, 60.1)] == [0, 0, 1, 1, 2]


def one_by_one(beat: Heartbeat, interval: float, now: float) -> int:
    at, beats = beat.deadline, 0
    while at < now:
        at += interval
        beats += 1
    return beats


@given(interval=st.floats(0.01, 100.0), opened_at=st.floats(0.0, 1e5), beats=st.floats(0.0, 3000.0))
@example(interval=0.1, opened_at=0.0, beats=1000.0)
@example(interval=30.0, opened_at=1.7, beats=2880.0)
def test_due_beats_are_counted_without_a_loop(interval: float, opened_at: float, beats: float) -> None:
    beat = heartbeat(interval, 1.0, opened_at)
    now = opened_at + beats * interval
    for at in (now, nextafter(now, inf), nextafter(now, 0.0)):
        assert beat.due(at) == one_by_one(beat, interval, at)


def test_due_beats_are_summed_not_multiplied() -> None:
    """Check at 0.1 added 1000 times, which is 99.9999999999986, not 100."""
    beat, at = heartbeat(0.1, 0.1), 0.1
    for count in range(1, 2000):
        assert beat.due(at) == count - 1
        assert beat.due(nextafter(at, inf)) == count
        at += 0.1
