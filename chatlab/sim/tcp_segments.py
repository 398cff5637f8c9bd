"""The segments of one direction of a simulated TCP connection: when they leave, and which are lost.

All bytes sent at one instant are a packet. It is cut into segments, which a window of slow start lets leave.
A segment that is lost leaves again when the tail loss probe or the retransmission time-out fires, or when an
earlier segment under recovery is acknowledged.

Source: RFC 6298, RFC 6928 (window), RFC 8985 (probe); Linux 6.5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf
from typing import Protocol

from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.path import Path
from chatlab.sim.retransmission import GIVE_UP, SEGMENT
from chatlab.sim.round_trips import ROUNDING, RTO_MAX, RoundTrips
from chatlab.sim.sender import WINDOW

RETRIES = 16
"""Maximum number of times that a segment is sent again, in the live world."""

Admit = Callable[[], bool]
"""Returns whether the other end takes the first segment."""
Take = Callable[[], None]
"""The effect of bytes, or of their end, where they arrive."""


class SegmentSender(Protocol):
    """The sender of segments, which `orders` numbers. `recovering` were sent again and wait for an ack."""

    environment: LadderEnvironment
    path: Path
    silent_at: float
    round_trips: RoundTrips
    orders: Iterator[int]
    recovering: list[Segment]

    @property
    def latencies(self) -> tuple[float, float]:
        """The latest latencies, of this direction and the other one."""

    def deliver(self) -> None:
        """Deliver the writes that have become complete."""

    def acknowledge(self, segment: Segment) -> None:
        """Note when a segment's ack comes back."""

    def give_up(self) -> None:
        """End the connection, as a segment wasn't acknowledged for too long."""


class Burst:
    """The segments sent from a time on at which all earlier ones were acknowledged."""

    __slots__ = ("_began_at", "round_trip", "size")

    def __init__(self, began_at: float, round_trip: float) -> None:
        self._began_at = began_at
        self.round_trip = round_trip
        self.size = 0

    def opens_at(self, number: int) -> float:
        """Return when the window lets the segment of that number leave: each round trip doubles it."""
        return self._began_at + _round(number) * self.round_trip


def _round(number: int) -> int:
    return ((number - 1) // WINDOW + 1).bit_length() - 1


class Packet:
    """All bytes sent at one instant, or a FIN or RST alone, which belongs to no burst.

    `number` is its last segment's number in the burst, and `last` that segment. `back` is the latency of its
    acks. A lost segment leaves again after `probe`, and then after `timeout`, or when the one that it is
    `behind` is acknowledged.
    """

    __slots__ = (
        "back", "behind", "burst", "filled", "last", "latency", "number", "probe", "sent_at", "timeout",
    )  # fmt: skip

    def __init__(self, sender: SegmentSender, burst: Burst | None, behind: Segment | None) -> None:
        self.sent_at = sender.environment.now
        self.latency, self.back = sender.latencies
        self.probe, self.timeout = sender.round_trips.probe, sender.round_trips.timeout
        self.burst = burst
        self.behind = behind
        self.filled = self.number = 0
        self.last: Segment | None = None

    @property
    def opens_at(self) -> float:
        """Time at which its last segment may leave."""
        return self.sent_at if self.burst is None else max(self.sent_at, self.burst.opens_at(self.number))

    @property
    def room(self) -> int:
        """Number of bytes that leave in the same round trip as the next one."""
        assert self.burst is not None
        left = SEGMENT - self.filled if self.number else 0
        last_of_round: int = WINDOW * (2 ** (_round(self.burst.size + (not left)) + 1) - 1)
        return left + (last_of_round - self.burst.size) * SEGMENT

    def cut(self, size: int) -> Iterator[tuple[int, bool]]:
        """Add bytes; yield how many are in each segment, and whether that is a new one."""
        while True:
            full = not self.number or (size and self.filled == SEGMENT)
            if is_new := self.burst is not None and bool(full):
                assert self.burst is not None
                self.burst.size += 1
                self.number = self.burst.size
                self.filled = 0
            piece = min(size, SEGMENT - self.filled)
            self.filled += piece
            size -= piece
            yield piece, is_new
            if not size:
                return


class Write:
    """Bytes that arrive as a whole: when the last of their `missing` segments does."""

    __slots__ = ("alone", "arrives_at", "missing", "take")

    def __init__(self, take: Take, *, alone: bool) -> None:
        self.take = take
        self.alone = alone
        self.arrives_at = -inf
        self.missing = 0


class Segment:
    """A segment that may be lost. One random number decides about all its transmissions, another one about
    its ack. `acked_at`: time at which its ack comes back, inf as long as that is unknown."""

    __slots__ = (
        "_admit", "_limit", "_loss_number", "_packet", "_sender", "_timed_out_at", "_writes",
        "ack_loss_number", "acked_at", "arrives_at", "first_at", "left_at", "number", "order", "times",
        "waiting",
    )  # fmt: skip

    def __init__(
        self,
        sender: SegmentSender,
        packet: Packet,
        left_at: float,
        loss_number: float,
        ack_loss_number: float,
        admit: Admit | None = None,
    ) -> None:
        self._sender = sender
        self._admit = admit
        self._packet = packet
        self._loss_number = loss_number
        self._limit = 1.0
        self._writes: list[Write] = []
        self.ack_loss_number = ack_loss_number
        self.number = packet.number
        self.order = next(sender.orders)
        self.first_at = self.left_at = left_at
        self.times = 0
        self._timed_out_at = inf
        self.arrives_at = self.acked_at = inf
        self.waiting: list[Segment] = []

    def split_rest(self, left_at: float) -> Segment:
        """Return the rest of this segment, which leaves later."""
        return Segment(self._sender, self._packet, left_at, self._loss_number, self.ack_loss_number)

    def add(self, write: Write) -> None:
        """Carry bytes of a write."""
        if self.arrives_at < inf:
            write.arrives_at = max(write.arrives_at, self.arrives_at)
        else:
            write.missing += 1
            self._writes.append(write)

    def leave(self) -> None:
        """Leave at `left_at`."""
        environment = self._sender.environment
        if self.left_at > environment.now:
            environment.call_at(self.left_at, self._leave)
        else:
            self._leave()

    def _leave(self) -> None:
        self.times += 1
        if self.times == 2:
            self._sender.recovering.append(self)
        share = self._sender.path.loss_at(self.left_at)
        self._limit *= share
        if share == 1 or self._loss_number < self._limit:
            self._send_again()
        elif self._admit is not None:
            self._sender.environment.call_at(self.left_at + self._packet.latency, self._ask, self._admit)
        else:
            self._get_through()

    def _ask(self, admit: Admit) -> None:
        """Get through if the other end takes it, as long as it takes packets at all."""
        if self._sender.environment.now >= self._sender.silent_at:
            return
        if admit():
            self._get_through()
        else:
            self._send_again()

    def _send_again(self) -> None:
        if self.times == 1:
            self._wait_for_news()
            return
        if self.times == 2:
            self._timed_out_at = self.left_at + self._packet.timeout
        leaves_at = self.left_at + min(self._packet.timeout * 2 ** (self.times - 2), RTO_MAX)
        if leaves_at - self._timed_out_at < GIVE_UP:
            self._leave_at(leaves_at)
        else:
            self._sender.environment.call_at(leaves_at, self._sender.give_up)

    def _leave_at(self, time: float) -> None:
        self.left_at = time
        self.leave()

    def _get_through(self) -> None:
        self.arrives_at = self.left_at + self._packet.latency
        for write in self._writes:
            write.missing -= 1
            write.arrives_at = max(write.arrives_at, self.arrives_at)
        self._writes.clear()
        self._sender.environment.call_at(self.arrives_at, self._acknowledge)
        self._sender.deliver()

    def _wait_for_news(self) -> None:
        """Wait until the loss of the first transmission is noticed."""
        behind, environment = self._packet.behind, self._sender.environment
        if behind is not None and behind.acked_at > environment.now + ROUNDING:
            behind.call_when_acked(self)
        else:
            self._leave_at(self.first_at + self._packet.probe)

    def call_when_acked(self, other: Segment) -> None:
        """Send another segment again when the ack of this one comes back."""
        if self.acked_at < inf:
            other._leave_at(self.acked_at)
        else:
            self.waiting.append(other)

    def _acknowledge(self) -> None:
        packet, sender = self._packet, self._sender
        self.acked_at = self.arrives_at + packet.back
        sample = packet.latency + packet.back
        if self.ack_loss_number < sender.path.loss_at(self.arrives_at):  # The probe is acknowledged instead.
            self.acked_at += packet.probe
            sample += packet.probe
        if packet.last is self and packet.burst is not None:
            sender.round_trips.note(self.acked_at, sample)
        sender.acknowledge(self)
        for other in self.waiting:
            other._leave_at(self.acked_at)
        self.waiting.clear()
