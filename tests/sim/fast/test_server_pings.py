"""Pings of the server that are skipped leave the same times as those that take place."""

from __future__ import annotations

from functools import cache
from math import nextafter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatlab.settings import HeartbeatConfig, WebSocketConfig
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.environment import LONG_AGO, LadderEnvironment
from chatlab.sim.fast.barriers import Barriers
from chatlab.sim.fast.heartbeats.server_pings import KeepaliveAccount, ServerBeats
from chatlab.sim.fast.sampling import SampledPath, SampledPaths, SeekableStreams
from chatlab.sim.keepalive import Keepalive
from chatlab.sim.latency import LogNormal, NetworkConfig
from chatlab.sim.server import Server

CONFIG = HeartbeatConfig(interval=0.7, timeout=0.5, mode="server")


def path(latency: float | LogNormal) -> SampledPath:
    return SampledPaths(NetworkConfig(latency=latency), SeekableStreams(1)).make(0)


class Line:
    """A link whose client answers each ping, and the times of them all."""

    server_open, mute = True, False

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


@cache
def lived(latency: float | LogNormal, until: float, begins_at: float = 0.0) -> Line:
    environment = LadderEnvironment(begins_at)
    line = Line(environment, path(latency))
    environment.run(until=until)
    return line


@pytest.mark.parametrize("begins_at", [0.0, 0.1, -33.3])
@pytest.mark.parametrize("latency", [0.03, LogNormal(median=0.03, p99=0.1)], ids=["constant", "log-normal"])
def test_skipped_pings_are_as_answered_ones(latency: float | LogNormal, begins_at: float) -> None:
    line = lived(latency, 100.0, begins_at)
    beats, own = ServerBeats(CONFIG, line.sent[0], 0.0), path(latency)
    for beat, times in enumerate(zip(line.sent, line.heard, line.answered, strict=False)):
        sent_at, heard_at, answered_at = times
        assert beats.deadline == sent_at
        together, again = ServerBeats(CONFIG, line.sent[0], 0.0), path(latency)
        assert together.skip(again, beat + 1) == answered_at
        assert together.heard_at == heard_at
        beats.advance(sent_at + own.down(), heard_at + own.up())
        assert together.deadline == beats.deadline


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


@pytest.mark.parametrize(
    ("lost_at", "gone_at", "comes"),
    [
        (700.05, LONG_AGO, False),  # The server has closed the link, and sends no more pings.
        (701.2, LONG_AGO, True),  # The client gives it up 1.2 s after the last ping, heard at 700.
        (700.05, 700.6, False),
        (700.05, 700.7, True),  # The server pings before the reset reaches it.
    ],
)
def test_a_ping_or_a_time_out_may_come_before_the_end(lost_at: float, gone_at: float, comes: bool) -> None:
    server = Server(LadderEnvironment(), ServerConfig())
    config = WebSocketConfig(url="ws://127.0.0.1:8000/ws", heartbeat=CONFIG)
    account = KeepaliveAccount(server, config, Barriers(server.environment, print))
    assert account.comes_before(ServerBeats(CONFIG, 700.7, 700.0), lost_at, gone_at) is comes
