"""Rate limits: token buckets of connections, and of the addresses that they come from."""

from __future__ import annotations

from math import inf

from msgspec import Struct

MIN_BUCKETS = 64
"""Buckets that are kept before any is dropped."""


class Bucket(Struct):
    """A token bucket, initially full: it had `tokens` at `filled_at`."""

    tokens: float = inf
    filled_at: float = 0.0

    def wait(self, rate: float, burst: float, now: float, count: int = 1) -> float:
        """Return the seconds until there are `count` tokens, 0 if there are. `rate` tokens are added each
        second, up to `burst`."""
        earned = max(0.0, now - self.filled_at) * rate
        self.tokens = tokens = min(burst, self.tokens + earned)
        self.filled_at = now
        return max(0.0, count - tokens) / rate

    def take(self, count: int = 1) -> None:
        """Remove `count` tokens."""
        self.tokens -= count

    def full(self, rate: float, burst: float, at: float) -> bool:
        """Return whether it will be full at a time, if no token is removed before."""
        return self.tokens + (at - self.filled_at) * rate >= burst


class Buckets:
    """A bucket for each address; full ones are dropped from time to time."""

    def __init__(self, rate: float, burst: float) -> None:
        self.rate = rate
        self._burst = burst
        self._buckets: dict[str, Bucket] = {}
        self._cleanup_size = MIN_BUCKETS

    def __len__(self) -> int:
        return len(self._buckets)

    def wait(self, address: str, now: float, count: int = 1) -> tuple[float, Bucket]:
        """Return the seconds until there are `count` tokens, and the bucket to take them from."""
        bucket = self._buckets.get(address)
        if bucket is None:
            if len(self._buckets) >= self._cleanup_size:
                self._forget_full(now)
            bucket = self._buckets[address] = Bucket()
        return bucket.wait(self.rate, self._burst, now, count), bucket

    def _forget_full(self, now: float) -> None:
        """Drop the buckets that are full by now: a new bucket would be full, too. The next call is when their
        number has doubled."""
        self._buckets = {
            address: bucket
            for address, bucket in self._buckets.items()
            if not bucket.full(self.rate, self._burst, now)
        }
        self._cleanup_size = max(MIN_BUCKETS, 2 * len(self._buckets))
