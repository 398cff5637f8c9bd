"""A heartbeat that skips beats is where one is that has had them answered."""

from __future__ import annotations

from math import inf, nextafter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chatlab.settings import HeartbeatConfig
from chatlab.sim.fast.heartbeats.heartbeat import SkippableHeartbeat


def heartbeat(interval: float = 30.0, timeout: float = 10.0, opened_at: float = 0.0) -> SkippableHeartbeat:
    return SkippableHeartbeat(HeartbeatConfig(interval=interval, timeout=timeout), opened_at)


@pytest.mark.parametrize("opened_at", [0.0, 0.1, 1234.56789])
@pytest.mark.parametrize("beats", [0, 1, 2, 1000])
def test_skipped_beats_are_as_answered_ones(beats: int, opened_at: float) -> None:
    skipped, lived = (heartbeat(interval=0.7, timeout=0.3, opened_at=opened_at) for _ in range(2))
    for beat in (skipped, lived):
        assert beat.tick(beat.deadline) == 1
        beat.activity(opened_at + 0.8)
        assert beat.pong(1, opened_at + 0.8) is not None
    until = lived.deadline + (beats - 0.5) * 0.7
    assert skipped.pending(until) == beats
    for id in range(2, beats + 2):
        assert lived.tick(lived.deadline) == id
        lived.activity(lived.deadline)
        lived.pong(id, lived.deadline - 0.5)
    skipped.skip(beats)
    assert (skipped.deadline, skipped.latest, skipped.open) == (lived.deadline, lived.latest, lived.open)
    assert skipped.pong(skipped.latest, until) == lived.pong(lived.latest, until) is None
    assert skipped.tick(skipped.deadline) == lived.tick(lived.deadline) == beats + 2


def test_a_beat_that_is_due_just_now_is_still_to_come() -> None:
    beat = heartbeat()
    assert [beat.pending(at) for at in (29.0, 30.0, 30.1, 60.0, 60.1)] == [0, 0, 1, 1, 2]


def one_by_one(beat: SkippableHeartbeat, interval: float, now: float) -> int:
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
        assert beat.pending(at) == one_by_one(beat, interval, at)


@pytest.mark.slow
def test_due_beats_are_summed_not_multiplied() -> None:
    """Check at 0.1 added 1000 times, which is 99.9999999999986, not 100."""
    beat, at = heartbeat(0.1, 0.1), 0.1
    for count in range(1, 2000):
        assert beat.pending(at) == count - 1
        assert beat.pending(nextafter(at, inf)) == count
        at += 0.1


def test_a_heartbeat_can_resume_where_another_is() -> None:
    old, new = heartbeat(opened_at=3.0), heartbeat(opened_at=3.0)
    old.skip(4)
    new.resume(old)
    assert (new.latest, new.deadline) == (4, 153.0)
    assert new.tick(153.0) == old.tick(153.0) == 5
