"""Random streams, latencies and paths that can look ahead, and skip draws."""

from __future__ import annotations

from array import array
from functools import lru_cache
from math import exp, inf, log
from statistics import NormalDist
from typing import NamedTuple, Protocol

from chatlab.random_streams import BLOCK, DRAWS, NO_BLOCK, PEOPLE, RandomStreams, Stream
from chatlab.sim.latency import Latency, NetworkConfig, quantile
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
    def place(self) -> Place:
        """The current position, which can be set to return to it."""
        return self._number, self._block, self._next

    @place.setter
    def place(self, place: Place) -> None:
        self._number, self._block, self._next = place

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


class Law(NamedTuple):
    """The distribution of latencies, as in `Latency`, and the streams of a purpose from which they are drawn.

    A packet takes `draws` numbers.
    """

    median: float
    sigma: float
    jitter: float
    draws: int
    streams: SeekableStreams
    purpose: str


class SkippableLatency:
    """A person's latencies, as `Latency` draws them, which can look at later packets, and skip them.

    It is small, as each person has three. If the latency is constant, one may serve all people.
    """

    __slots__ = ("_block", "_drawn", "_law", "_person")

    def __init__(self, law: Law, person: int) -> None:
        self._law = law
        self._person = person
        self._drawn = 0
        self._block = NO_BLOCK  # That of the latest number, unless the next one begins a block.

    def draw(self) -> float:
        """Return the latency of the next packet, in seconds."""
        law = self._law
        delay = law.median
        if law.sigma:
            drawn = self._drawn
            place = drawn % BLOCK
            if not place:
                self._load(drawn // BLOCK)
            self._drawn = drawn + 1
            delay *= exp(law.sigma * quantile(self._block[self._person % PEOPLE * BLOCK + place] or 2**-54))
        return delay + law.jitter * self._uniform() if law.jitter else delay

    __call__ = draw

    def _uniform(self) -> float:
        """Return the next number."""
        place = self._drawn % BLOCK
        if not place:
            self._load(self._drawn // BLOCK)
        self._drawn += 1
        return self._block[self._person % PEOPLE * BLOCK + place]

    def _load(self, number: int) -> None:
        law = self._law
        self._block = law.streams.block(law.purpose, self._person // PEOPLE, number)

    def repeat(self) -> float:
        """Return the latency of the latest packet."""
        self.skip(-1)
        return self.draw()

    def skip(self, packets: int) -> None:
        """Advance by `packets` packets; a negative count rewinds."""
        drawn = self._drawn
        self._drawn = now = drawn + packets * self._law.draws
        if now % BLOCK and (now // BLOCK != drawn // BLOCK or not drawn % BLOCK):
            self._load(now // BLOCK)

    def peek(self, packets: int) -> float:
        """Return the delay of the packet that comes after `packets` others, and draw none."""
        place = self._drawn, self._block
        if packets:
            self.skip(packets)
        delay = self.draw()
        self._drawn, self._block = place
        return delay

    def certain(self, seconds: float, wanted: float) -> float:
        """Return how many of the next packets are certain to take less than `seconds`; inf: all of them.

        It is a lower bound, and hardly more than `wanted`.
        """
        law = self._law
        most = seconds - law.jitter
        if not law.sigma:
            return inf if law.median < most else 0
        if most <= 0:
            return 0
        return self.below(_share(most / law.median, law.sigma), law.draws * wanted) // law.draws

    def below(self, limit: float, wanted: float) -> int:
        """Return how many of the next numbers are certain to be below `limit`. It is a lower bound, found by
        whole chunks, and at most one chunk above `wanted`."""
        drawn, law = self._drawn, self._law
        group, person = divmod(self._person, PEOPLE)
        chunk = drawn // DRAWS
        end = min(chunk + FAR, (drawn + wanted) / DRAWS)
        while chunk < end and law.streams.below(law.purpose, group, chunk, limit)[person]:
            chunk += 1
        return max(0, chunk * DRAWS - drawn)


class Directions(Protocol):
    """The latencies of a person's packets to the server, and of those back."""

    @property
    def up(self) -> SkippableLatency:
        """The latencies of packets to the server."""

    @property
    def down(self) -> SkippableLatency:
        """The latencies of packets to the client."""


class Delays(NamedTuple):
    """A person's latencies: of packets to the server, of those back, and of those that open connections."""

    up: SkippableLatency
    down: SkippableLatency
    connect: SkippableLatency


class SampledPath(Path):
    """A path whose latencies can look ahead and skip."""

    __slots__ = ()
    up: SkippableLatency
    down: SkippableLatency
    connect: SkippableLatency


class SampledPaths(Paths):
    """Makes people's paths. If the latency is constant, all have the same `Delays`."""

    def __init__(self, config: NetworkConfig, streams: SeekableStreams) -> None:
        super().__init__(config, streams)
        law = Latency(config, float)
        draws = bool(law.sigma) + bool(law.jitter)
        self._laws = [
            Law(law.median, law.sigma, law.jitter, draws, streams, purpose)
            for purpose in ("up", "down", "connect")
        ]
        self._common = None if draws else self._make_delays(0)

    def delays(self, person: int) -> Delays:
        """Return a person's latencies from the first packet on."""
        return self._common or self._make_delays(person)

    def _make_delays(self, person: int) -> Delays:
        up, down, connect = self._laws
        return Delays(
            SkippableLatency(up, person), SkippableLatency(down, person), SkippableLatency(connect, person)
        )

    def make(self, person: int, delays: Delays | None = None) -> SampledPath:
        """Return a person's path, with latencies that may have been drawn from."""
        up, down, connect = delays or self.delays(person)
        return SampledPath(up, down, connect, self._own, person)
