"""The estimate of a sender's round trips, and the time-outs of its retransmissions.

Source: RFC 6298 as Linux keeps it (`tcp_rtt_estimator`): the deviation has a floor and falls slowly, and a
short round trip raises it less than a long one. RFC 8985 §7.2 (tail loss probe).
"""

from __future__ import annotations

from heapq import heappop, heappush

RTO_MIN, RTO_MAX = 0.2, 120.0
"""Least seconds by which the timer exceeds a round trip, and the longest wait. Source: Linux,
`TCP_RTO_MIN`, `TCP_RTO_MAX`."""
ROUNDING = 1e-9
"""Seconds by which sums of times may differ from each other: an ack and the answer that it comes with."""


class Estimator:
    """Estimates the round trip, as Linux does, from the handshake's on; times are in seconds."""

    __slots__ = ("_deviation", "_mean", "_spread")

    def __init__(self, round_trip: float, deviation: float | None = None) -> None:
        self._mean = round_trip
        self._deviation = round_trip / 2 if deviation is None else deviation
        self._spread = max(self._deviation, RTO_MIN / 4)

    def take(self, round_trip: float) -> None:
        """Take a sample."""
        error = round_trip - self._mean
        more = abs(error) - self._deviation
        if error < 0 < more:
            more /= 8  # A round trip that suddenly is short hardly makes the timer longer.
        self._mean += error / 8
        self._deviation += more / 4
        least = max(self._deviation, RTO_MIN / 4)
        self._spread = max(least, self._spread - (self._spread - least) / 4)

    @property
    def timeout(self) -> float:
        """The retransmission time-out (RTO)."""
        return self._mean + 4 * self._spread

    @property
    def probe(self) -> float:
        """The time after which a lone segment is sent again as a probe (PTO)."""
        return min(2 * self._mean + RTO_MIN, self.timeout)


UNKNOWN = Estimator(0.4, 0.15)
"""Before the handshake is over, both times are 1 s. Source: RFC 6298 §2.1."""


class RoundTrips:
    """The estimate of one sender, with samples that haven't come back yet."""

    __slots__ = ("_estimator", "_samples")

    def __init__(self) -> None:
        self._estimator = UNKNOWN
        self._samples: list[tuple[float, float]] = []

    @property
    def timeout(self) -> float:
        """Seconds until a segment is sent again: the RTO."""
        return min(self._estimator.timeout, RTO_MAX)

    @property
    def probe(self) -> float:
        """Seconds until the last segment is sent again for the first time: the PTO."""
        return min(self._estimator.probe, RTO_MAX)

    def note(self, at: float, sample: float) -> None:
        """Note a sample that counts from `at` on."""
        heappush(self._samples, (at, sample))

    def take_samples(self, now: float) -> None:
        """Take the samples that have come back by now."""
        while self._samples and self._samples[0][0] <= now + ROUNDING:
            self.take(heappop(self._samples)[1])

    def take(self, sample: float) -> None:
        """Take a sample of a round trip, in seconds."""
        if self._estimator is UNKNOWN:
            self._estimator = Estimator(sample)
        else:
            self._estimator.take(sample)
