"""People at rest: connected, and all that is to come by themselves is one heartbeat after the other.

Most of a quiet day consists of pings and pongs that change nothing. They needn't happen one by one, as long
as nobody looks: a person at rest *owes* them, and makes good for them as soon as anything else comes up.

    at rest     a timer has fired with nothing to do; no fault, no packet under way, no message unsettled, and
                the next round trips are sure to be shorter than the heartbeat's timeout
    woken       by the end of those, by anything that reaches the person or their link, by what they do
                themselves, and by a fault
    settling    all beats before now but the last are only counted: pings, bytes, and draws of luck; that one
                really takes place, at its own time, and the one before it too where it may be under way
    looked at   when the run is over: what the beats came to is reckoned, and the person rests on; is the
                last of them under way, they are woken

What the machine is like after many beats it says itself (`CrowdWebSocketMachine.skip_heartbeats`). So all
figures are the same as without rest, to the last bit. Who is recorded never rests.
"""

from __future__ import annotations

from collections.abc import Callable

from chatlab.dialects.base import ServerPong
from chatlab.dialects.chatlab import encode_frame
from chatlab.hub import Reply
from chatlab.settings import HeartbeatConfig
from chatlab.sim.barriers import Barriers
from chatlab.sim.latency import Latency
from chatlab.sim.network import Link
from chatlab.sim.path import Path
from chatlab.sim.server import Server
from chatlab.sim.sizes import frame_size
from chatlab.transports.crowd import CrowdWebSocketMachine
from chatlab.transports.heartbeat import Heartbeat
from chatlab.transports.machine import Ping, Pong, Received, Send, Tick

TICK = Tick()


class Rest:
    """The parts that all people at rest on one server share."""

    __slots__ = ("_barriers", "_bytes", "_possible", "_server", "_settings")

    def __init__(self, server: Server, settings: HeartbeatConfig, barriers: Barriers) -> None:
        self._barriers = barriers
        self._server = server
        self._settings = settings
        # Each answer comes before the next ping, and each ping finds the server's rate limit untouched.
        spacing = settings.interval - settings.timeout
        self._possible = spacing >= 0 and spacing * server.config.rate >= server.config.burst
        self._bytes: dict[int, tuple[int, int]] = {}

    def beats(self, machine: CrowdWebSocketMachine, link: Link) -> float:
        """Return how many of the next heartbeats are sure to change nothing; inf: all of them."""
        calm = link.calm and machine.idle_heartbeat and not self._server.loaded
        return self.sure(link.path) if calm else 0

    def sure(self, path: Path) -> float:
        """Return how many of the next round trips are sure to be short enough; inf: all of them."""
        up, down = path.up, path.down
        if not (self._possible and isinstance(up, Latency) and isinstance(down, Latency)):
            return 0
        barriers, half = self._barriers, self._settings.timeout / 2
        wanted = max(0.0, barriers.look() - barriers.now) / self._settings.interval + 1
        return min(up.within(half, wanted), down.within(half, wanted))

    def wake_at(self, next_at: float, beats: float) -> float:
        """Return when a rest of `beats` beats is over, of which the next comes at that time: between the last
        of them and the one after it."""
        return next_at + (beats - 0.5) * self._settings.interval

    def owed(
        self, machine: CrowdWebSocketMachine, heartbeat: Heartbeat, path: Path, now: float
    ) -> tuple[int, int] | None:
        """Return the bytes each way of all beats before `now`, by any machine; None: one is under way."""
        beats = heartbeat.due(now)
        if beats and not self.over(heartbeat, path, beats, now):
            return None
        return self.sizes(machine, heartbeat.latest, beats)

    def over(self, heartbeat: Heartbeat, path: Path, beat: int, now: float) -> bool:
        """Return whether the next beat has been answered by then, or the one after it, and so on."""
        sent_at = self._beat_at(heartbeat, beat)
        if now - sent_at >= self._settings.timeout:
            return True
        assert isinstance(path.up, Latency)
        assert isinstance(path.down, Latency)
        return sent_at + path.up.ahead(beat - 1) + path.down.ahead(beat - 1) < now

    def settle(self, machine: CrowdWebSocketMachine, link: Link, now: float) -> None:
        """Make good for all beats before `now`."""
        heartbeat = machine.idle_heartbeat
        assert heartbeat is not None
        owed = heartbeat.due(now)
        # The last packet that came each way has to be real: the end of a connection comes as late as it did.
        replayed = 1 if now - self._beat_at(heartbeat, owed) >= self._settings.timeout else 2
        if owed > replayed:
            self._skip(machine, link, owed - replayed)
        for _ in range(min(owed, replayed)):
            self._replay(machine, link, now)

    def _beat_at(self, heartbeat: Heartbeat, beat: int) -> float:
        """Return when the next beat is, or the one after it, and so on."""
        return heartbeat.deadline + (beat - 1) * self._settings.interval

    def _skip(self, machine: CrowdWebSocketMachine, link: Link, beats: int) -> None:
        """Count `beats` beats."""
        path = link.path
        assert isinstance(path.up, Latency)
        assert isinstance(path.down, Latency)
        path.up.skip(beats)
        path.down.skip(beats)
        heartbeat = machine.idle_heartbeat
        assert heartbeat is not None
        link.count(*self.sizes(machine, heartbeat.latest, beats))
        machine.skip_heartbeats(beats)

    def sizes(self, machine: CrowdWebSocketMachine, latest: int, beats: int) -> tuple[int, int]:
        """Return the bytes each way of `beats` beats after the latest."""
        (up, down), (up_before, down_before) = (
            self._until(machine, latest + beats),
            self._until(machine, latest),
        )
        return up - up_before, down - down_before

    def _until(self, machine: CrowdWebSocketMachine, number: int) -> tuple[int, int]:
        """Return the bytes each way of a link's first `number` beats, which are the same for all."""
        sizes = self._bytes.get(number)
        if sizes is None:
            up = _sum(lambda id: _ping_size(machine.beat(id)), number)
            down = _sum(lambda id: _pong_size(machine.beat(id), id), number)
            sizes = self._bytes[number] = up, down
        return sizes

    def _replay(self, machine: CrowdWebSocketMachine, link: Link, now: float) -> None:
        """Replay the next beat up to `now`, and schedule the rest of it."""
        at = machine.deadline
        (ping,) = machine.handle(TICK, at)
        assert isinstance(ping, Ping | Send)
        arrives_at = link.send_at(at, _ping_size(ping))
        if arrives_at >= now:
            link.arrive(arrives_at, ping)
            return
        pong: Pong | Received
        if isinstance(ping, Ping):
            pong = Pong(link.link, ping.id)
            size = frame_size(str(ping.id), masked=False)
        else:
            (reply,) = self._server.hub.receive(link.number, ping.data, arrives_at)
            assert isinstance(reply, Reply)
            assert isinstance(reply.frame, str)
            pong = Received(link.link, reply.frame)
            size = frame_size(reply.frame, masked=False)
        heard_at = link.reply_at(arrives_at, size)
        if heard_at >= now:
            link.come_back(heard_at, pong)
        else:
            machine.handle(pong, heard_at)


def _ping_size(ping: Ping | Send) -> int:
    return frame_size(str(ping.id) if isinstance(ping, Ping) else ping.data, masked=True)


def _pong_size(ping: Ping | Send, id: int) -> int:
    pong = str(id) if isinstance(ping, Ping) else encode_frame(ServerPong(id))
    return frame_size(pong, masked=False)


def _sum(size: Callable[[int], int], count: int) -> int:
    """Return the sizes of frames with the numbers 1 to `count`: those with as many digits are of one size."""
    total, first = 0, 1
    while first <= count:
        after = min(count + 1, 10 * first)
        total += (after - first) * size(first)
        first *= 10
    return total
