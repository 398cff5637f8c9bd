"""How often somebody may: token buckets, and those of people who are no members."""

from __future__ import annotations

from msgspec import Struct

FEWEST = 64
"""Buckets that are kept before any is forgotten."""


class Bucket(Struct):
    """A token bucket: `tokens` were in it at `filled_at`."""

    tokens: float
    filled_at: float

    def spend(self, rate: float, burst: int, now: float) -> float:
        """Take one token and return 0; or the seconds until there is one. `rate` tokens come in a second,
        while there are less than `burst`."""
        earned = max(0.0, now - self.filled_at) * rate
        tokens = min(float(burst), self.tokens + earned)
        self.filled_at = now
        self.tokens = tokens - 1 if tokens >= 1 else tokens
        return max(0.0, 1 - tokens) / rate


class Buckets:
    """A bucket for each sender to each room, full at first; what is full again is forgotten in time."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: dict[tuple[str, str], Bucket] = {}
        self._most = FEWEST

    def __len__(self) -> int:
        return len(self._buckets)

    def spend(self, room: str, sender: str, now: float) -> float:
        """Take one token and return 0; or the seconds until there is one."""
        bucket = self._buckets.get((room, sender))
        if bucket is None:
            if len(self._buckets) >= self._most:
                self._forget_full(now)
            bucket = self._buckets[room, sender] = Bucket(float(self._burst), now)
        return bucket.spend(self._rate, self._burst, now)

    def _forget_full(self, now: float) -> None:
        """Drop the buckets that are full by now, as new ones are; next when twice as many are left again."""
        self._buckets = {
            key: bucket
            for key, bucket in self._buckets.items()
            if bucket.tokens + (now - bucket.filled_at) * self._rate < self._burst
        }
        self._most = max(FEWEST, 2 * len(self._buckets))
