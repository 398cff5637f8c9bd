"""Random streams, latencies and paths that can look ahead, skip draws, and be stored as a snapshot."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from functools import lru_cache
from math import inf, log
from statistics import NormalDist
from typing import NamedTuple

from chatlab.random_streams import BLOCK, DRAWS, NO_BLOCK, PEOPLE, RandomStreams, Stream
from chatlab.sim.latency import Latency, NetworkConfig
from chatlab.sim.path import Path, Paths

CACHED_RESULTS = 1 << 16
"""Number of (chunk, limit) results that `SeekableStreams` caches."""
FAR = 8
"""Number of chunks that `below` looks ahead."""

Place = tuple[int, "array[float]", int]
"""A stream's position: number of the block, the block, and index in it."""


class SeekableStreams(RandomStreams):
    """The random streams of one seed, as `RandomStreams`'s; each can seek."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._below: dict[tuple[str, int, int, float], bytes] = {}

    def uniform(self, person: int, purpose: str) -> SeekableStream:
        """Return the person's stream of numbers for that purpose, uniform in [0, 1)."""
        return SeekableStream(self, person, purpose)

    def below(self, purpose: str, people: int, draws: int, limit: float) -> bytes:
        """Return one byte per person of a chunk: 1 if all their draws in it are below the limit, else 0."""
        key = (purpose, people, draws, limit)
        below = self._below.get(key)
        if below is None:
            below = self._below[key] = (self.chunk(purpose, people, draws) < limit).all(axis=1).tobytes()
            if len(self._below) > CACHED_RESULTS:
                del self._below[next(iter(self._below))]
        return below


class SeekableStream(Stream):
    """A `Stream` whose position can be read and changed."""

    __slots__ = ()
    _streams: SeekableStreams

    @property
    def drawn(self) -> int:
        """Number of draws so far."""
        return (self._number + 1) * BLOCK - (self._end - self._next)

    @property
    def block(self) -> array[float]:
        """The current block. While a stream refers to it, it isn't generated again."""
        return self._block

    @property
    def place(self) -> Place:
        """The current position, which can be set to return to it."""
        return self._number, self._block, self._next

    @place.setter
    def place(self, place: Place) -> None:
        self._number, self._block, self._next = place

    def resume(self, drawn: int, block: array[float]) -> None:
        """Continue a new stream after `drawn` draws; `block` was the current block then."""
        number, place = divmod(drawn, BLOCK)
        if place:
            self._number, self._block, self._next = number, block, self._end - BLOCK + place
        else:
            self._number = number - 1  # The next draw loads the next block.

    def below(self, limit: float, wanted: float) -> int:
        """Return how many of the next draws are certain to be below `limit`. It is a lower bound, found by
        whole chunks, and at most one chunk above `wanted`."""
        draw = self.drawn
        group, person = self._person // PEOPLE, self._person % PEOPLE
        chunk = draw // DRAWS
        end = min(chunk + FAR, (draw + wanted) / DRAWS)
        while chunk < end and self._streams.below(self._purpose, group, chunk, limit)[person]:
            chunk += 1
        return max(0, chunk * DRAWS - draw)

    def skip(self, draws: int) -> None:
        """Advance the stream by `draws` draws; a negative count rewinds it."""
        number, place = divmod(self.drawn + draws, BLOCK)
        if not place:
            self._number = number - 1  # The next draw loads the next block.
        elif number != self._number or draws < 0:
            self._turn_to(number)
        self._next = self._end - BLOCK + (place or BLOCK)


@lru_cache
def _share(ratio: float, sigma: float) -> float:
    """Return the share of latencies below `ratio` times the median, or slightly less, to be safe."""
    return NormalDist().cdf(log(ratio) / sigma) * (1 - 1e-9)


class SkippableLatency(Latency):
    """A `Latency` that can look at later packets, and skip them. Its stream is seekable, or constant."""

    __slots__ = ()

    @property
    def stream(self) -> SeekableStream:
        """The stream, if the latency is random."""
        assert isinstance(self._uniform, SeekableStream)
        return self._uniform

    def repeat(self) -> float:
        """Return the latency of the latest packet."""
        if not self._sigma and not self._jitter:
            return self._median
        self.skip(-1)
        return self()

    def certain(self, seconds: float, wanted: float) -> float:
        """Return how many of the next packets are certain to take less than `seconds`; inf: all of them.

        It is a lower bound, and hardly more than `wanted`.
        """
        most = seconds - self._jitter
        if not self._sigma:
            return inf if self._median < most else 0
        if most <= 0:
            return 0
        draws = 2 if self._jitter else 1  # per packet
        return self.stream.below(_share(most / self._median, self._sigma), draws * wanted) // draws

    def skip(self, packets: int) -> None:
        """Advance the stream by `packets` packets; a negative count rewinds it."""
        draws = packets * (bool(self._sigma) + bool(self._jitter))
        if draws:
            self.stream.skip(draws)

    def peek(self, packets: int) -> float:
        """Return the delay of the packet that comes after `packets` others, and draw none."""
        if not self._sigma and not self._jitter:
            return self._median
        place = self.stream.place
        self.skip(packets)
        delay = self()
        self.stream.place = place
        return delay


class SampledPath(Path):
    """A path whose latencies can look ahead and skip."""

    __slots__ = ()
    up: SkippableLatency
    down: SkippableLatency
    connect: SkippableLatency


class PathSnapshot(NamedTuple):
    """The state of an unimpaired path with random latency: draws per purpose, and the current blocks.

    A block that nothing refers to would be generated again.
    """

    up: int = 0
    down: int = 0
    connect: int = 0
    up_block: array[float] = NO_BLOCK
    down_block: array[float] = NO_BLOCK
    connect_block: array[float] = NO_BLOCK


UNUSED = PathSnapshot()
"""The snapshot of a path that has carried nothing yet."""


class SampledPaths(Paths):
    """Makes people's paths, also from snapshots.

    If the latency is constant, `common` is one path for all people whose own is unimpaired.
    """

    _constant: SkippableLatency | None
    _streams: SeekableStreams

    def __init__(self, config: NetworkConfig, streams: SeekableStreams) -> None:
        super().__init__(config, streams)
        always = self._constant
        self.common = None if always is None else SampledPath(always, always, always)

    def make(self, person: int, snapshot: PathSnapshot = UNUSED) -> SampledPath:
        """Return a path for a person, in the state of `snapshot`."""
        if (always := self._constant) is not None:
            return SampledPath(always, always, always, self._own, person)
        streams, latency = self._streams, self._latency
        up, down, connect = (streams.uniform(person, purpose) for purpose in ("up", "down", "connect"))
        if snapshot is not UNUSED:
            if snapshot.up:
                up.resume(snapshot.up, snapshot.up_block)
            if snapshot.down:
                down.resume(snapshot.down, snapshot.down_block)
            if snapshot.connect:
                connect.resume(snapshot.connect, snapshot.connect_block)
        return SampledPath(latency(up), latency(down), latency(connect), self._own, person)

    def snapshot(self, path: SampledPath) -> PathSnapshot:
        """Return the snapshot of an unimpaired path with random latency."""
        up, down, connect = path.up.stream, path.down.stream, path.connect.stream
        return PathSnapshot(up.drawn, down.drawn, connect.drawn, up.block, down.block, connect.block)

    def _latency(self, uniform: Callable[[], float]) -> SkippableLatency:
        return SkippableLatency(self._config, uniform)
