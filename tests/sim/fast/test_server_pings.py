"""Pings of the server that are skipped leave the same times as those that take place."""

from __future__ import annotations

from math import nextafter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatlab.settings import HeartbeatConfig
from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.fast.heartbeats.server_pings import ServerBeats
from chatlab.sim.fast.sampling import SampledPath, SampledPaths, SeekableStreams
from chatlab.sim.keepalive import Keepalive
from chatlab.sim.latency import LogNormal, NetworkConfig

CONFIG = HeartbeatConfig(interval=0.7, timeout=0.5, mode="server")


def path(latency: float | LogNormal) -> SampledPath:
    return SampledPaths(NetworkConfig(latency=latency), SeekableStreams(1)).make(0)


class Line:
    """A link whose client answers each ping, and the times of them all."""

    served, mute = True, False

    def __init__(self, environment: LadderEnvironment, path: SampledPath) -> None:
        self._environment = environment
        self._path = path
        self.sent: list[float] = []
        self.heard: list[float] = []
        self.answered: list[float] = []
        self.keepalive = Keepalive(environment, CONFIG, self)

    def ping_client(self) -> None:
        self.sent.append(self._environment.now)
        self._environment.call_at(self._environment.now + self._path.down(), self._answer)

    def _answer(self) -> None:
        self.heard.append(self._environment.now)
        self._environment.call_at(self._environment.now + self._path.up(), self._take)

    def _take(self) -> None:
        self.answered.append(self._environment.now)
        self.keepalive.take_pong()

    def fail_unanswered(self) -> None:
        raise AssertionError


def lived(latency: float | LogNormal, until: float) -> Line:
    environment = LadderEnvironment()
    line = Line(environment, path(latency))
    environment.run(until=until)
    return line


@pytest.mark.parametrize("latency", [0.03, LogNormal(median=0.03, p99=0.1)], ids=["constant", "log-normal"])
def test_skipped_pings_are_as_answered_ones(latency: float | LogNormal) -> None:
    line = lived(latency, 1000.0)
    beats, own = ServerBeats(CONFIG, CONFIG.interval, 0.0), path(latency)
    for beat, (sent_at, heard_at, answered_at) in enumerate(
        zip(line.sent, line.heard, line.answered, strict=False)
    ):
        assert beats.deadline == sent_at
        if beat % 3 == 2:
            assert beats.skip(own, 1) == answered_at
            assert beats.heard_at == heard_at
        else:
            beats.advance(sent_at + own.down(), heard_at + own.up())
    together, again = ServerBeats(CONFIG, CONFIG.interval, 0.0), path(latency)
    assert together.skip(again, len(line.answered)) == line.answered[-1]
    assert (together.deadline, together.heard_at) == (beats.deadline, beats.heard_at)


@given(beat=st.integers(0, 1300), shift=st.floats(-0.34, 0.34))
def test_due_pings_are_counted_and_one_that_is_due_just_now_may_be(beat: int, shift: float) -> None:
    line, beats = lived(0.03, 1000.0), ServerBeats(CONFIG, CONFIG.interval, 0.0)
    now = line.sent[beat] + shift
    due = sum(sent_at < now for sent_at in line.sent)
    assert due <= beats.pending(now) <= due + (abs(shift) < 1e-6)


def test_a_ping_that_is_due_just_now_is_counted_for_certain() -> None:
    line, beats = lived(0.03, 1000.0), ServerBeats(CONFIG, CONFIG.interval, 0.0)
    assert beats.pending(line.sent[0]) == 0
    for beat, sent_at in enumerate(line.sent[1:], 1):
        assert beats.pending(nextafter(sent_at, 2000.0)) >= beat + 1
