"""One direction of a simulated TCP connection: its bytes leave in segments, and arrive in order.

Nothing is delivered before what was sent before it. `tcp_segments` says when segments leave, which are lost,
and when those are sent again.

Not simulated: a congestion window that shrinks after loss, delayed acks, losses found by the acks of packets
that were sent at later instants, and the bandwidth that retransmissions take.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import count
from math import inf
from operator import attrgetter

from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.latency import Delay
from chatlab.sim.path import Path
from chatlab.sim.round_trips import ROUNDING, RoundTrips
from chatlab.sim.tcp_segments import Admit, Burst, Packet, Segment, Take, Write


class WireLine:
    """One direction of a person's line: the bytes of all connections leave it one after the other."""

    def __init__(self) -> None:
        self._free_at = -inf

    def leave(self, now: float, size: int, bandwidth: float) -> float:
        """Return when the last of `size` bytes has left."""
        if bandwidth < inf:
            self._free_at = now = max(now, self._free_at) + size / bandwidth
        return now


class TcpDirection:
    """One direction of a connection. `size` counts its bytes; its acks come back over `opposite`.

    `lose` draws which segments are lost, and `loss_number` is what it drew for the latest packet. The first
    segment is sent again until the other end lets it in, if it has to `admit` it. Packets that would arrive
    from `silent_at` on are dropped, unreported. `give_up` ends the connection at the sender's end.
    """

    opposite: TcpDirection
    give_up: Callable[[], None]

    def __init__(
        self, environment: LadderEnvironment, path: Path, line: WireLine, delay: Delay, lose: Delay
    ) -> None:
        self.environment = environment
        self.path = path
        self.lose = lose
        self.size = 0
        self.silent_at = inf
        self.admit: Admit | None = None
        self.latency = 0.0
        self.loss_number = 1.0
        self.round_trips = RoundTrips()
        self.orders: Iterator[int] = count()
        self.recovering: list[Segment] = []
        self._line = line
        self._delay = delay
        self._drawn_at = -inf
        self._packet: Packet | None = None
        self._burst: Burst | None = None
        self._unacked = 0
        self._acked_at = -inf
        self._arrives_at = -inf
        self._writes: deque[Write] = deque()
        self._arriving: list[Take] = []

    @property
    def latencies(self) -> tuple[float, float]:
        """The latest latencies, of this direction and the other one."""
        return self.latency, self.opposite.latency

    @property
    def arrives_at(self) -> float:
        """Time at which the last bytes have arrived or will arrive; inf: some have been lost so far."""
        return inf if self._writes else self._arrives_at

    @property
    def is_waiting(self) -> bool:
        """Whether bytes wait for a segment that hasn't arrived."""
        return bool(self._writes)

    def draw(self, delay: Delay) -> float:
        """Draw the latency of a packet that is sent now; return when it leaves."""
        now, impairment = self.environment.now, self.path.impairment
        self._drawn_at = now
        self.latency = delay() + sum(more() for more in impairment.delays)
        return self._line.leave(now, 0, impairment.bandwidth)

    def send(self, take: Take, size: int = 0, delay: Delay | None = None) -> None:
        """Send `size` bytes behind all others, and call `take` when they arrive.

        All bytes sent at one instant have the same latency. FIN or RST alone has that of the last bytes. A
        handshake's packet has a `delay` of its own.
        """
        self.size += size
        packet = self._packet_of(size, delay)
        write = Write(take, alone=delay is not None)
        if not (self.path.lossy or self.admit or self._writes):
            write.arrives_at = self._leave(packet, size) + packet.latency
            self._acked_at = max(self._acked_at, write.arrives_at + packet.back)
            self._schedule(write)
            return
        write.missing = 1  # Until all its segments are known.
        self._writes.append(write)
        for piece, is_new in packet.cut(size):
            left_at = self._line.leave(packet.opens_at, piece, self.path.impairment.bandwidth)
            segment = packet.last
            if segment is None or is_new:
                ack_loss_number = 1.0
                if packet.burst is not None and self.path.lossy:
                    self.loss_number, ack_loss_number = self.lose(), self.lose()
                # FIN or RST alone has the loss_number of the latest packet.
                segment = Segment(self, packet, left_at, self.loss_number, ack_loss_number, self.admit)
                self.admit = None
            elif segment.first_at != left_at:
                segment = segment.split_rest(left_at)
            else:
                segment.add(write)
                continue
            packet.last = segment
            self._unacked += 1
            segment.add(write)
            segment.leave()
        write.missing -= 1
        self.deliver()

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Cut bytes that are sent now where a round trip of slow start ends."""
        while data:
            room = self._packet_of(len(data), None).room
            yield data[:room]
            data = data[room:]

    def _packet_of(self, size: int, delay: Delay | None) -> Packet:
        """Return the packet to which bytes belong that are sent now."""
        now, has_bytes = self.environment.now, bool(size or delay)
        if now != self._drawn_at and (has_bytes or self._drawn_at == -inf):
            self.draw(delay or self._delay)
        elif self._packet is not None and now == self._packet.sent_at:
            return self._packet
        if has_bytes and (self._burst is None or not (self._unacked or self._acked_at > now + ROUNDING)):
            self._burst = Burst(now, sum(self.latencies))
        self.round_trips.take_samples(now)
        self.recovering = [segment for segment in self.recovering if segment.acked_at > now + ROUNDING]
        behind = min(self.recovering, key=attrgetter("order"), default=None)
        self._packet = packet = Packet(self, self._burst if has_bytes else None, behind)
        return packet

    def _leave(self, packet: Packet, size: int) -> float:
        """Return when the last of `size` bytes leaves. The bytes of one round trip leave together."""
        together, opens_at, bandwidth = 0, packet.opens_at, self.path.impairment.bandwidth
        for piece, _ in packet.cut(size):
            if (later := packet.opens_at) > opens_at:
                if together:
                    self._line.leave(opens_at, together, bandwidth)
                together, opens_at = 0, later
            together += piece
        return self._line.leave(opens_at, together, bandwidth)

    # Arrivals

    def acknowledge(self, segment: Segment) -> None:
        """Note when a segment's ack comes back."""
        self._unacked -= 1
        self._acked_at = max(self._acked_at, segment.acked_at)

    def deliver(self) -> None:
        """Schedule the writes that wait for no segment, up to the first that does."""
        writes = self._writes
        while writes and not writes[0].missing:
            self._schedule(writes.popleft())

    def _schedule(self, write: Write) -> None:
        before, self._arrives_at = self._arrives_at, max(self._arrives_at, write.arrives_at)
        if write.alone:
            self._arriving = []
            self.arrive(self._arrives_at, write.take)
        elif before == self._arrives_at and self._arriving:
            self._arriving.append(write.take)
        else:
            self._arriving = [write.take]
            self.environment.call_at(self._arrives_at, self._deliver, self._arriving)

    def arrive(self, time: float, take: Take) -> None:
        """Call `take` at `time`, unless the direction drops packets by then."""
        self._arrives_at = max(self._arrives_at, time)
        self.pass_by(self._arrives_at, take)

    def pass_by(self, time: float, take: Take) -> None:
        """Call `take` at `time`, unless packets are dropped by then. No bytes queue behind this one."""
        self.environment.call_at(time, self._deliver, [take])

    def _deliver(self, arrived: list[Take]) -> None:
        if arrived is self._arriving:
            self._arriving = []
        if self.environment.now < self.silent_at:
            for take in arrived:
                take()
