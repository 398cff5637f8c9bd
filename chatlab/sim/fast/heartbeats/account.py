"""The account of pending heartbeats.

Most events of a run without faults are pings and pongs that change nothing. They needn't be simulated one by
one: a client with no other timer leaves them *pending*, and accounts for them at its next other event.

    pending     from a timer that fires with nothing to do: no fault, no packet under way, no unsettled
                message, and the next round trips are certain to be shorter than the heartbeat's timeout
    until       the last certain round trip; an action of the client; anything that reaches it or its link; a
                fault
    settled     all beats before now but the last are only counted: pings, bytes, random draws; the last takes
                place, at its own time, and so does the one before it if it may be under way
    at the end  of the run the bytes of pending beats are added up; a client whose last beat is under way
                settles them first

All figures are the same as without, to the last bit. The heartbeats of a recorded person always take place.
"""

from __future__ import annotations

from collections.abc import Callable

from chatlab.dialects.base import Dialect, ServerPong
from chatlab.dialects.chatlab import encode_frame
from chatlab.hub import Reply
from chatlab.settings import WebSocketConfig
from chatlab.sim.fast.barriers import Barriers
from chatlab.sim.fast.heartbeats.heartbeat import SkippableHeartbeat
from chatlab.sim.fast.heartbeats.link import ForwardingLink
from chatlab.sim.fast.sampling import SampledPath
from chatlab.sim.server import Server
from chatlab.sim.sizes import frame_size
from chatlab.transports.machine import Machine, Ping, Pong, Received, Send, Tick

TICK = Tick()


class HeartbeatAccount:
    """The account that all clients of one server share. `config` is the same for all of them."""

    __slots__ = ("_barriers", "_bytes", "_config", "_dialect", "_mode", "_possible", "_server")

    def __init__(self, server: Server, config: WebSocketConfig, dialect: Dialect, barriers: Barriers) -> None:
        self._server = server
        self._config = config.heartbeat
        self._dialect = dialect
        self._mode = config.heartbeat.mode or dialect.heartbeat
        self._barriers = barriers
        # Each pong comes before the next ping, and each ping but the first finds the token bucket full.
        spacing = self._config.interval - self._config.timeout
        self._possible = spacing >= 0 and spacing * server.config.rate >= server.config.burst
        self._bytes: dict[int, tuple[int, int]] = {}

    def allows(self, link: ForwardingLink, beat_at: float) -> bool:
        """Return whether the next beat finds the token bucket full: messages may have emptied it."""
        return self._server.hub.may_burst(link.number, beat_at)

    def certain(self, path: SampledPath) -> float:
        """Return how many of the next round trips are certain to be shorter than the time-out; inf: all."""
        if not self._possible or self._server.loaded:
            return 0
        barriers, half = self._barriers, self._config.timeout / 2
        wanted = max(0.0, barriers.look() - barriers.now) / self._config.interval + 1
        return min(path.up.certain(half, wanted), path.down.certain(half, wanted))

    def due_again_at(self, heartbeat: SkippableHeartbeat, beats: float) -> float:
        """Return a time between the last of the next `beats` beats and the one after it."""
        return heartbeat.deadline + (beats - 0.5) * self._config.interval

    def pending_bytes(
        self, heartbeat: SkippableHeartbeat, path: SampledPath, now: float
    ) -> tuple[int, int] | None:
        """Return the bytes each way of all beats before `now`; None: one is under way."""
        beats = heartbeat.pending(now)
        if beats and not self.answered(heartbeat, path, beats, now):
            return None
        return self.sizes(heartbeat.latest, beats)

    def answered(self, heartbeat: SkippableHeartbeat, path: SampledPath, beat: int, now: float) -> bool:
        """Return whether the next beat (1), or the one after it (2) …, has been answered before `now`."""
        sent_at = self._beat_at(heartbeat, beat)
        if now - sent_at >= self._config.timeout:
            return True
        return sent_at + path.up.peek(beat - 1) + path.down.peek(beat - 1) < now

    def settle(
        self,
        machine: Machine,
        heartbeat: SkippableHeartbeat,
        link: ForwardingLink,
        path: SampledPath,
        now: float,
    ) -> None:
        """Account for all beats before `now`."""
        pending = heartbeat.pending(now)
        # The last packet each way is replayed: the end of a connection may follow right behind it.
        replayed = 1 if now - self._beat_at(heartbeat, pending) >= self._config.timeout else 2
        if pending > replayed:
            skipped = pending - replayed
            path.up.skip(skipped)
            path.down.skip(skipped)
            link.count(*self.sizes(heartbeat.latest, skipped))
            heartbeat.skip(skipped)
        for _ in range(min(pending, replayed)):
            self._replay(machine, heartbeat.deadline, link, now)

    def _beat_at(self, heartbeat: SkippableHeartbeat, beat: int) -> float:
        """Return the time of the next beat (1), or of the one after it (2) …"""
        return heartbeat.deadline + (beat - 1) * self._config.interval

    def _replay(self, machine: Machine, at: float, link: ForwardingLink, now: float) -> None:
        """Replay the next beat up to `now`, and schedule the rest of it."""
        (ping,) = machine.handle(TICK, at)
        assert isinstance(ping, Ping | Send)
        payload = str(ping.id) if isinstance(ping, Ping) else ping.data
        arrives_at = link.send_at(at, frame_size(payload, masked=True))
        if arrives_at >= now:
            link.deliver_ping(arrives_at, ping)
            return
        pong: Pong | Received
        if isinstance(ping, Ping):
            self._server.hub.charge(link.number, 1, arrives_at)
            pong = Pong(link.link, ping.id)
        else:
            (reply,) = self._server.hub.receive(link.number, ping.data, arrives_at)
            assert isinstance(reply, Reply)
            assert isinstance(reply.frame, str)
            payload = reply.frame
            pong = Received(link.link, payload)
        answered_at = link.reply_at(arrives_at, frame_size(payload, masked=False))
        if answered_at >= now:
            link.deliver_pong(answered_at, pong)
        else:
            machine.handle(pong, answered_at)

    # Bytes

    def sizes(self, latest: int, beats: int) -> tuple[int, int]:
        """Return the bytes each way of `beats` beats after number `latest`."""
        (up, down), (up_before, down_before) = self._until(latest + beats), self._until(latest)
        return up - up_before, down - down_before

    def _until(self, number: int) -> tuple[int, int]:
        """Return the bytes each way of a link's first `number` beats, which are the same for all."""
        sizes = self._bytes.get(number)
        if sizes is None:
            sizes = self._bytes[number] = _sum(self._ping_size, number), _sum(self._pong_size, number)
        return sizes

    def _ping_size(self, id: int) -> int:
        return frame_size(str(id) if self._mode == "ping" else self._dialect.ping(id), masked=True)

    def _pong_size(self, id: int) -> int:
        return frame_size(str(id) if self._mode == "ping" else encode_frame(ServerPong(id)), masked=False)


def _sum(size: Callable[[int], int], count: int) -> int:
    """Return the total size of frames 1 to `count`: frames with equally long numbers are of one size."""
    total, first = 0, 1
    while first <= count:
        after = min(count + 1, 10 * first)
        total += (after - first) * size(first)
        first *= 10
    return total
