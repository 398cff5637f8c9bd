"""A model of how Linux's TCP finds out that packets were lost, and sends them again.

    SYN, SYN-ACK      after 1, 2, 3, 4, 5, 7, 11 s …
    a lone segment    by the tail loss probe, after two round trips and 200 ms, or earlier by the timer
    then              by the retransmission timer, which doubles each time

Acks are lost, too; a lost one makes the next round trips look long. They take the latency that the latest
packet in their direction had, and are sent at once. Selective acks aren't modelled.

Source: RFC 6298 (the timer); RFC 8985 §7 (the probe); Linux's `tcp_input.c`, `tcp_output.c`, and its defaults
of `tcp_syn_linear_timeouts` and TCP_RTO_MIN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf

from chatlab.sim.round_trips import ROUNDING, RTO_MAX, UNKNOWN, Estimator

SEGMENT = 1448
"""Bytes of data in a segment: 1,500 less the headers of IP and TCP, with time stamps."""
SYN_TIMES = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 11.0, 19.0, 35.0, 67.0)
"""Seconds after the first at which a SYN is sent (again). Source: Linux 6.5 and later."""
SYN_GIVES_UP = 131.0
"""Seconds after the first SYN after which `connect` fails. Source: Linux, `tcp_syn_retries` 6."""

GIVE_UP = 924.6
"""Seconds after a packet's first RTO at which TCP aborts the connection.
Source: Linux, `tcp_retries2` 15, `retransmits_timed_out`."""
NEVER = inf, 0.0


class RetransmissionTimer:
    """The timer of one direction of a connection.

    `lose` draws a number for each segment, which decides about all of its transmissions, and one for its ack.
    `number` is the latest packet's. `loss_at` returns the probability that a packet sent at a time is lost.
    `gives_up_at`: time at which TCP aborts the connection; inf: all packets get through.
    """

    __slots__ = (
        "_ack_number",
        "_acks",
        "_estimator",
        "_got_through_at",
        "_latest_ack",
        "_leaves_at",
        "_lose",
        "_loss_at",
        "_recoveries",
        "_sent_at",
        "gives_up_at",
        "number",
    )

    def __init__(self, lose: Callable[[], float], loss_at: Callable[[float], float]) -> None:
        self._lose = lose
        self._loss_at = loss_at
        self._estimator = UNKNOWN
        self._acks: list[tuple[float, float]] = []  # When each comes back, and its round trip.
        self._latest_ack = NEVER  # Of the last segment of the latest packet: only that one is a sample.
        self._sent_at = -inf
        self.gives_up_at = inf
        self._got_through_at = 0.0  # The latest segment was sent then, and arrived.
        self._leaves_at = -inf
        self.number = self._ack_number = 1.0
        self._recoveries: list[tuple[float, float]] = []  # When each was sent again, and acknowledged.

    def begin(self, round_trip: float) -> None:
        """Take the handshake's round trip."""
        self._estimator = Estimator(round_trip)

    def opening_wait(self, now: float) -> float:
        """Return how long a SYN-ACK waits that is sent `now`, until one gets through; inf: none does."""
        self.number, chance = self._lose(), 1.0
        for wait in SYN_TIMES:
            loss = self._loss_at(now + wait)
            chance *= loss
            if self.number >= chance and loss < 1:
                return wait
        return inf

    def send(
        self, now: float, pieces: Iterable[tuple[float, bool]], delay: float, back: float
    ) -> tuple[float, float]:
        """Send bytes; return when the last of them arrive, and when their acks have come back; inf: never.

        Each of the `pieces` leaves at a time, and begins a segment or goes on with the latest one, whose fate
        it shares. The latency is `delay`, that of acks `back`.
        """
        if now != self._sent_at:
            self._take_acks(now + ROUNDING)
            self._sent_at = now
        at = acked_at = -inf
        for leaves_at, begins in pieces:
            if begins:
                self.number, self._ack_number = self._lose(), self._lose()
            if begins or leaves_at != self._leaves_at:
                self._leaves_at = leaves_at
                self._latest_ack = self._segment(leaves_at, delay, back, self._ack_number)
            at = max(at, self._got_through_at + delay)
            acked_at = max(acked_at, self._latest_ack[0])
        return at, acked_at

    def end(self, now: float, leaves_at: float, delay: float, back: float) -> tuple[float, float]:
        """Send FIN or RST alone; return as `send` does. It has the number of the latest packet."""
        self._take_acks(now + ROUNDING)
        self._sent_at = now
        acked_at, _ = self._segment(leaves_at, delay, back, 1.0)
        return self._got_through_at + delay, acked_at

    def _segment(self, leaves_at: float, delay: float, back: float, ack_number: float) -> tuple[float, float]:
        """Send a segment until it gets through; return when its ack comes back, and its round trip."""
        self._got_through_at, again_at = self._transmissions(leaves_at)
        round_trip = delay + back
        if ack_number < self._loss_at(self._got_through_at + delay):
            round_trip += self._estimator.probe
        acked_at = self._got_through_at + round_trip
        if again_at < inf:
            self._recoveries.append((again_at, acked_at))
        return acked_at, round_trip

    def _transmissions(self, leaves_at: float) -> tuple[float, float]:
        """Return when a segment is sent that gets through, and when it is sent for the second time; inf:
        never."""
        number, chance = self.number, self._loss_at(leaves_at)
        if number >= chance and chance < 1:
            return leaves_at, inf
        sent_at = again_at = self._sent_again(leaves_at)
        wait = self._estimator.timeout
        timed_out_at = sent_at + wait
        while sent_at - timed_out_at < GIVE_UP:
            loss = self._loss_at(sent_at)
            chance *= loss
            if number >= chance and loss < 1:
                return sent_at, again_at
            sent_at += wait
            wait = min(2 * wait, RTO_MAX)
        self.gives_up_at = min(self.gives_up_at, sent_at)
        return inf, again_at

    def _sent_again(self, leaves_at: float) -> float:
        """Return when a lost segment is sent for the second time: when an earlier one that is being sent
        again is acknowledged, or by the probe."""
        now = self._sent_at + ROUNDING
        self._recoveries = [recovery for recovery in self._recoveries if recovery[1] > now]
        for again_at, acked_at in self._recoveries:
            if again_at <= now:
                return acked_at if acked_at > leaves_at + ROUNDING else leaves_at + self._estimator.probe
        return leaves_at + self._estimator.probe

    def _take_acks(self, now: float) -> None:
        """Take the acks that have come back."""
        self._acks.append(self._latest_ack)
        self._latest_ack = NEVER
        if min(self._acks)[0] <= now:
            acks = sorted(self._acks, key=_time)
            self._acks = [ack for ack in acks if now < ack[0] < inf]
            for acked_at, round_trip in acks:
                if acked_at <= now:
                    self._estimator.take(round_trip)


def _time(ack: tuple[float, float]) -> float:
    return ack[0]
