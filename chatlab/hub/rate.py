"""How often somebody may: token buckets, of connections and of the addresses that they come from."""

from __future__ import annotations

from math import inf

from msgspec import Struct

FEWEST = 64
"""Buckets that are kept before any is forgotten."""


class Bucket(Struct):
    """A token bucket, full at first: `tokens` were in it at `filled_at`."""

    tokens: float = inf
    filled_at: float = 0.0

    def wait(self, rate: float, burst: float, now: float, count: int = 1) -> float:
        """Return the seconds until there are `count` tokens, 0 for at once. `rate` come in a second, while
        there are less than `burst`."""
        earned = max(0.0, now - self.filled_at) * rate
        self.tokens = tokens = min(burst, self.tokens + earned)
        self.filled_at = now
        return max(0.0, count - tokens) / rate

    def take(self, count: int = 1) -> None:
        """Take tokens that are there."""
        self.tokens -= count


class Buckets:
    """A bucket for each address; what is full again is forgotten in time."""

    def __init__(self, rate: float, burst: float) -> None:
        self.rate = rate
        self._burst = burst
        self._buckets: dict[str, Bucket] = {}
        self._most = FEWEST

    def __len__(self) -> int:
        return len(self._buckets)

    def wait(self, address: str, now: float, count: int = 1) -> tuple[float, Bucket]:
        """Return the seconds until there are `count` tokens, and the bucket to take them from."""
        bucket = self._buckets.get(address)
        if bucket is None:
            if len(self._buckets) >= self._most:
                self._forget_full(now)
            bucket = self._buckets[address] = Bucket()
        return bucket.wait(self.rate, self._burst, now, count), bucket

    def _forget_full(self, now: float) -> None:
        """Drop the buckets that are full by now, as new ones are; next when twice as many are left again."""
        self._buckets = {
            address: bucket
            for address, bucket in self._buckets.items()
            if bucket.tokens + (now - bucket.filled_at) * self.rate < self._burst
        }
        self._most = max(FEWEST, 2 * len(self._buckets))
