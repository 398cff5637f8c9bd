"""The estimate of a sender's round trips, and the time-outs of its retransmissions.

Source: RFC 6298 as Linux keeps it (`tcp_rtt_estimator`): the deviation has a floor and falls slowly, and a
short round trip raises it less than a long one. RFC 8985 §7.2 (tail loss probe).
"""

from __future__ import annotations

from heapq import heappop, heappush

FLOOR = 0.05
"""Minimum of the deviation, in seconds: a quarter of Linux's minimum time-out of 200 ms."""
PROBE = 0.2
"""Seconds that the tail loss probe allows for a delayed ack, in addition to two round trips."""
UNKNOWN = 1.0
"""Time-out before the first sample. Source: RFC 6298 §2.1."""
MAX_TIMEOUT = 120.0
"""Maximum time-out, in seconds. Source: Linux, `TCP_RTO_MAX`."""

ROUNDING = 1e-9
"""Seconds by which two sums of times that should be equal may differ."""


class RoundTrips:
    """The smoothed round trip of one sender, its deviation, and samples that haven't come back yet."""

    __slots__ = ("_deviation", "_largest_deviation", "_samples", "_smoothed")

    def __init__(self) -> None:
        self._smoothed = self._deviation = self._largest_deviation = 0.0
        self._samples: list[tuple[float, float]] = []

    @property
    def timeout(self) -> float:
        """Seconds until a segment is sent again: the RTO."""
        if not self._largest_deviation:
            return UNKNOWN
        return min(self._smoothed + 4 * self._largest_deviation, MAX_TIMEOUT)

    @property
    def probe(self) -> float:
        """Seconds until the last segment is sent again for the first time: the PTO."""
        return min(2 * self._smoothed + PROBE, self.timeout) if self._largest_deviation else UNKNOWN

    def note(self, at: float, sample: float) -> None:
        """Note a sample that counts from `at` on."""
        heappush(self._samples, (at, sample))

    def take_samples(self, now: float) -> None:
        """Take the samples that have come back by now."""
        while self._samples and self._samples[0][0] <= now + ROUNDING:
            self.take(heappop(self._samples)[1])

    def take(self, sample: float) -> None:
        """Take a sample of a round trip, in seconds."""
        if not self._largest_deviation:
            self._smoothed, self._deviation = sample, sample / 2
            self._largest_deviation = max(self._deviation, FLOOR)
            return
        error = abs(sample - self._smoothed)
        gain = 1 / 32 if sample < self._smoothed and error > self._deviation else 1 / 4
        self._smoothed += (sample - self._smoothed) / 8
        self._deviation += (error - self._deviation) * gain
        latest = max(self._deviation, FLOOR)
        if latest > self._largest_deviation:
            self._largest_deviation = latest
        else:
            self._largest_deviation += (latest - self._largest_deviation) / 4
