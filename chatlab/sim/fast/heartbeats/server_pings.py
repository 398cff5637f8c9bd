"""The account of pings that the server sends.

The server adds the rest of the interval to the time at which the pong arrives. If the ping was sent at P, the
pong arrives at Q, and the interval is I, the next one is due at Q + (I - (Q - P)). From P = I on both
differences are exact, so this is P + I, rounded once: it doesn't depend on the latencies, whose draws can be
skipped. Q - P is exact as Q <= 2P (Sterbenz), and a multiple of the last place of P, so of that of I; then so
is I - (Q - P), which is no larger than I. Earlier pings, of a warm-up before time 0, are drawn one by one.
"""

from __future__ import annotations

from math import ceil
from sys import float_info

from chatlab.settings import HeartbeatConfig
from chatlab.sim.fast.heartbeats.account import Account
from chatlab.sim.fast.heartbeats.link import ForwardingLink
from chatlab.sim.fast.sampling import Directions
from chatlab.sim.keepalive import PAYLOAD
from chatlab.sim.sizes import frame_size
from chatlab.transports.heartbeat import Heartbeat
from chatlab.transports.machine import Machine, Pinged

PING_SIZE = frame_size(PAYLOAD, masked=False)
PONG_SIZE = frame_size(PAYLOAD, masked=True)
MARGIN = 1e-6
"""Seconds by which a beat is answered before now, so that the sums of its exact time don't matter."""
REPLAYED = 2
"""Number of beats that take place: the last one, which may be under way, and the one before it."""


class ServerBeats:
    """The server's pings on one link: the next one is due at `deadline`, and the client has heard from the
    server at `heard_at`."""

    __slots__ = ("_interval", "deadline", "heard_at")

    def __init__(self, config: HeartbeatConfig, deadline: float, heard_at: float) -> None:
        self._interval = config.interval
        self.deadline = deadline
        self.heard_at = heard_at

    def pending(self, now: float) -> int:
        """Return the number of beats due before `now`, or one more: if that is due just now."""
        if self.deadline >= now:
            return 0
        beats = (now - self.deadline) / self._interval
        # Bound of the rounding errors of the sums in `skip`.
        error = (beats + 2) * float_info.epsilon * (max(abs(now), abs(self.deadline)) / self._interval + 2)
        return ceil(beats + error)

    def skip(self, path: Directions, count: int) -> float:
        """Advance by `count` beats, at least one, each answered before the next one; return when the last one
        is answered."""
        if self.deadline >= self._interval:
            path.up.skip(count - 1)
            path.down.skip(count - 1)
            for _ in range(count - 1):
                self.deadline += self._interval
        else:
            for _ in range(count - 1):
                self._pass(path)
        return self._pass(path)

    def _pass(self, path: Directions) -> float:
        """Advance by a beat; return when it is answered."""
        heard_at = self.deadline + path.down.draw()
        answered_at = heard_at + path.up.draw()
        self.advance(heard_at, answered_at)
        return answered_at

    def advance(self, heard_at: float, answered_at: float) -> None:
        """Advance by a beat that the client hears at `heard_at`, and that is answered at `answered_at`."""
        self.heard_at = heard_at
        # In the same sums as `Keepalive`.
        self.deadline = answered_at + max(0.0, self._interval - (answered_at - self.deadline))


class KeepaliveAccount(Account[ServerBeats]):
    """The account of the server's pings."""

    __slots__ = ()

    def begin(self, served_at: float, open_at: float) -> ServerBeats:
        return ServerBeats(self._config, served_at + self._config.interval, open_at)

    def find(self, heartbeat: Heartbeat | None, link: ForwardingLink) -> ServerBeats | None:
        keepalive = link.keepalive
        if keepalive is None or keepalive.unanswered or not link.server_open:
            return None
        return ServerBeats(self._config, keepalive.due_at, link.down.arrives_at)

    def leave(self, link: ForwardingLink) -> None:
        assert link.keepalive is not None
        link.keepalive.pause()

    def answered(self, beats: ServerBeats, path: Directions, beat: int, now: float) -> bool:
        elapsed = now - self._beat_at(beats, beat) - MARGIN
        if elapsed >= self._config.timeout:
            return True
        return elapsed > 0 and path.up.peek(beat - 1) + path.down.peek(beat - 1) < elapsed

    def sizes(self, beats: ServerBeats, count: int) -> tuple[int, int]:
        return count * PONG_SIZE, count * PING_SIZE

    def skip(self, beats: ServerBeats, path: Directions, count: int) -> float:
        return beats.skip(path, count)

    def settle(
        self, machine: Machine, beats: ServerBeats, link: ForwardingLink, path: Directions, now: float
    ) -> None:
        keepalive, skipped = link.keepalive, beats.pending(now) - REPLAYED
        assert keepalive is not None
        if skipped > 0:
            link.count(*self.sizes(beats, skipped))
            beats.skip(path, skipped)
        while beats.deadline < now:
            if not self._replay(machine, beats, link, now):
                keepalive.await_pong(beats.deadline)
                return
        keepalive.resume(beats.deadline)

    def _replay(self, machine: Machine, beats: ServerBeats, link: ForwardingLink, now: float) -> bool:
        """Replay the next beat up to `now`, and schedule the rest of it; return whether it is over."""
        heard_at = link.reply_at(beats.deadline, PING_SIZE)
        if heard_at >= now:
            link.deliver_server_ping(heard_at)
            return False
        answered_at = link.send_at(heard_at, PONG_SIZE)
        machine.handle(Pinged(link.link), heard_at)
        if answered_at >= now:
            link.deliver_client_pong(answered_at)
            return False
        self._server.hub.charge(link.number, 1, answered_at)
        beats.advance(heard_at, answered_at)
        return True

    def comes_before(self, beats: ServerBeats, lost_at: float, gone_at: float) -> bool:
        silence = self._config.interval + self._config.timeout
        return beats.deadline <= gone_at or beats.heard_at + silence <= lost_at

    def resume(
        self,
        beats: ServerBeats,
        at: float,
        machine: Machine,
        heartbeat: Heartbeat | None,
        link: ForwardingLink,
    ) -> None:
        machine.handle(Pinged(link.link), beats.heard_at)
        if link.server_open:
            link.keep_alive(beats.deadline)
