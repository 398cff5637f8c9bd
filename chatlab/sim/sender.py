"""A model of TCP's sender: one direction of a connection, and when its bytes arrive.

All bytes sent at one instant travel as one packet, with one latency, in segments of `SEGMENT` bytes:

    in order          nothing is delivered before what was sent before it
    slow start        ten segments at first, then twice as many in each round trip, until all is acknowledged
    lost segments     are sent again by the probe and the retransmission timer (`chatlab.sim.retransmission`)

The window doesn't shrink after a loss, and what is sent later doesn't help to find an earlier loss.

Source: RFC 9293; RFC 6928 (the initial window); RFC 5681 §3.1 (slow start).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf, nan

from chatlab.sim.environment import LONG_AGO
from chatlab.sim.latency import Delay
from chatlab.sim.path import UNIMPAIRED, Direction, Path
from chatlab.sim.retransmission import SEGMENT, RetransmissionTimer
from chatlab.sim.round_trips import ROUNDING

WINDOW = 10
"""Segments that may be sent before the first one is acknowledged. Source: RFC 6928."""


class Sender:
    """One direction of a connection.

    `delay` is the latency of its latest packet (NaN: there was none yet). The latest bytes were sent at
    `sent_at`, and arrive at `arrives_at`. Packets that would arrive from `silent_at` on are dropped,
    unreported. TCP `gives_up_at` a time if it waits for an ack for too long.
    """

    __slots__ = (
        "_acked_at",
        "_burst_at",
        "_direction",
        "_packet_at",
        "_path",
        "_room",
        "_round_trip",
        "_segments",
        "arrives_at",
        "delay",
        "gives_up_at",
        "sent_at",
        "silent_at",
        "timer",
    )

    def __init__(self, path: Path, direction: Direction) -> None:
        self._path = path
        self._direction: Direction = direction
        self._packet_at = LONG_AGO
        self._room = 0  # bytes that the latest segment has room for
        # The burst: what was sent since all was acknowledged.
        self._acked_at = self._burst_at = LONG_AGO
        self._segments, self._round_trip = 0, 0.0
        self.arrives_at = self.sent_at = LONG_AGO
        self.delay = nan
        self.gives_up_at = inf
        self.silent_at = inf
        self.timer: RetransmissionTimer | None = None
        if path.lossy:
            lose = path.lose_up if direction == "up" else path.lose_down
            self.timer = RetransmissionTimer(lose, path.loss_at)

    def send(self, now: float, size: int, draw: Delay, back: float) -> float:
        """Send `size` bytes `now`; return when they arrive.

        Unless bytes were sent at this instant already, `draw` draws the latency. `back` is the latest latency
        of the other direction.
        """
        if now != self.sent_at:
            self.sent_at = now
            self.delay = draw() if self._path.impairment is UNIMPAIRED else self._path.delay(draw)
        return self.follow(now, size, back)

    def follow(self, now: float, size: int, back: float) -> float:
        """Send `size` bytes with the latency of the latest packet; return when they arrive."""
        before, room = self._segments, self._room
        if now == self._packet_at:
            self._segments += -(-(size - room) // SEGMENT) if size > room else 0
        else:
            self._packet_at, room = now, 0
            if now >= self._acked_at - ROUNDING:
                self._burst_at, self._round_trip, before = now, self.delay + back, 0
            self._segments = before + (-(-size // SEGMENT) or 1)
        self._room = room + (self._segments - before) * SEGMENT - size
        if self.timer is not None:
            pieces = self._pieces(now, size, before, room)
            return self._arrive(*self.timer.send(now, pieces, self.delay, back))
        leaves_at = now if self._segments <= WINDOW else self._window_opens(now, self._segments)
        if self._path.impairment is not UNIMPAIRED:
            *_, (leaves_at, _) = self._pieces(now, size, before, room)
        return self._arrive(leaves_at + self.delay, leaves_at + self.delay + back)

    def end(self, now: float, back: float) -> float:
        """Send FIN or RST, alone or with the bytes sent at this instant; return when it arrives."""
        if now == self._packet_at:
            return self.follow(now, 0, back)
        leaves_at = now if self._path.impairment is UNIMPAIRED else self._path.leave(self._direction, now, 0)
        if self.timer is None:
            return self._arrive(leaves_at + self.delay, leaves_at + self.delay + back)
        return self._arrive(*self.timer.end(now, leaves_at, self.delay, back))

    def _arrive(self, at: float, acked_at: float) -> float:
        self._acked_at = max(self._acked_at, acked_at)
        self.arrives_at = at = max(at, self.arrives_at)
        return at

    def syn(self, now: float, draw: Delay | None) -> float:
        """Send a SYN `now`; return when it arrives unless it is lost. `draw` draws the latency; None: it is
        sent again."""
        if draw is None:
            return max(now + self.delay, self.arrives_at)
        self.delay = self._path.delay(draw)
        self.sent_at = now
        if self._path.impairment is not UNIMPAIRED:
            self.sent_at = self._path.leave(self._direction, now, 0)
        return max(self.sent_at + self.delay, self.arrives_at)

    def syn_ack(self, now: float, draw: Delay) -> float:
        """Send a SYN-ACK, or the RST that refuses a SYN; return when it arrives; inf: never."""
        at = self.syn(now, draw)
        wait = 0.0 if self.timer is None else self.timer.opening_wait(self.sent_at)
        if not wait:  # One that is sent again delays no other packet.
            self.arrives_at = at
        return at + wait

    def _window_opens(self, now: float, segments: int) -> float:
        """Return when the last of the first `segments` segments of the burst may leave."""
        round_trips = ((segments - 1) // WINDOW + 1).bit_length() - 1
        return max(now, self._burst_at + round_trips * self._round_trip)

    def _pieces(self, now: float, size: int, segments: int, room: int) -> Iterator[tuple[float, bool]]:
        """Yield when each segment's part of `size` bytes has left the line, and whether it begins a segment.

        `segments` of the burst came before, and the last one has `room` for further bytes.
        """
        if room or not size:
            part = min(size, room)
            new = self._segments > segments and not size
            opens_at = self._window_opens(now, segments + new)
            yield self._path.leave(self._direction, opens_at, part), new
            size -= part
        while size:
            segments += 1
            part = min(size, SEGMENT)
            yield self._path.leave(self._direction, self._window_opens(now, segments), part), True
            size -= part
