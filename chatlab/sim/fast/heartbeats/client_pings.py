"""The account of pings that the client sends."""

from __future__ import annotations

from collections.abc import Callable

from chatlab.dialects.base import Dialect, ServerPong
from chatlab.dialects.chatlab import encode_frame
from chatlab.hub import Reply
from chatlab.settings import WebSocketConfig
from chatlab.sim.fast.barriers import Barriers
from chatlab.sim.fast.heartbeats.account import Account
from chatlab.sim.fast.heartbeats.heartbeat import SkippableHeartbeat
from chatlab.sim.fast.heartbeats.link import ForwardingLink
from chatlab.sim.fast.sampling import Directions
from chatlab.sim.server import Server
from chatlab.sim.sizes import frame_size
from chatlab.transports.heartbeat import Heartbeat
from chatlab.transports.machine import Machine, Ping, Pong, Received, Send, Tick

TICK = Tick()


class HeartbeatAccount(Account[SkippableHeartbeat]):
    """The account of the client's pings."""

    __slots__ = ("_bytes", "_dialect", "_mode")

    def __init__(self, server: Server, config: WebSocketConfig, dialect: Dialect, barriers: Barriers) -> None:
        super().__init__(server, config, barriers)
        self._dialect = dialect
        self._mode = config.heartbeat.mode or dialect.heartbeat
        self._bytes: dict[int, tuple[int, int]] = {}

    def begin(self, served_at: float, open_at: float) -> SkippableHeartbeat:
        return SkippableHeartbeat(self._config, open_at)

    def find(self, heartbeat: Heartbeat | None, link: ForwardingLink) -> SkippableHeartbeat | None:
        return heartbeat if isinstance(heartbeat, SkippableHeartbeat) and not heartbeat.open else None

    def leave(self, link: ForwardingLink) -> None:
        """Do nothing: the machine sends pings only if it gets a `Tick`."""

    def answered(self, beats: SkippableHeartbeat, path: Directions, beat: int, now: float) -> bool:
        sent_at = self._beat_at(beats, beat)
        if now - sent_at >= self._config.timeout:
            return True
        return sent_at + path.up.peek(beat - 1) + path.down.peek(beat - 1) < now

    def settle(
        self,
        machine: Machine,
        beats: SkippableHeartbeat,
        link: ForwardingLink,
        path: Directions,
        now: float,
    ) -> None:
        pending = beats.pending(now)
        # The last packet each way is replayed: the end of a connection may follow right behind it.
        replayed = 1 if now - self._beat_at(beats, pending) >= self._config.timeout else 2
        if pending > replayed:
            skipped = pending - replayed
            path.up.skip(skipped)
            path.down.skip(skipped)
            link.count(*self.sizes(beats, skipped))
            beats.skip(skipped)
        for _ in range(min(pending, replayed)):
            self._replay(machine, beats.deadline, link, now)

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

    def skip(self, beats: SkippableHeartbeat, path: Directions, count: int) -> float:
        for delay in path.up, path.down:
            delay.skip(count - 1)
        beats.skip(count - 1)
        answered_at = beats.deadline + path.up.draw() + path.down.draw()
        beats.skip(1)
        return answered_at

    def comes_before(self, beats: SkippableHeartbeat, lost_at: float, gone_at: float) -> bool:
        return beats.deadline <= lost_at

    def resume(
        self,
        beats: SkippableHeartbeat,
        at: float,
        machine: Machine,
        heartbeat: Heartbeat | None,
        link: ForwardingLink,
    ) -> None:
        assert isinstance(heartbeat, SkippableHeartbeat)
        heartbeat.resume(beats)
        machine.handle(TICK, at)  # Too early for a ping: it only sets the deadline.

    # Bytes

    def sizes(self, beats: SkippableHeartbeat, count: int) -> tuple[int, int]:
        latest = beats.latest
        (up, down), (up_before, down_before) = self._until(latest + count), self._until(latest)
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
