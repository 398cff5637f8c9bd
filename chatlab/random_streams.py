"""Random numbers indexed by (seed, person, purpose, draw), never by the order of events.

So two policies get the same random network, the worlds agree, and a faster engine gives the same numbers.
"""

from __future__ import annotations

import zlib
from array import array
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

PEOPLE, DRAWS = 64, 64
"""People and draws of a chunk, the group of numbers that is generated at once."""
BLOCK = 8
"""Draws of a block, the part of a chunk that is kept as long as a stream is in it."""
CHUNKS = 8
"""Number of the latest chunks that are cached."""


NO_BLOCK = array("d")
"""The block of a stream that has drawn nothing."""


class RandomStreams:
    """The random streams of one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._chunks: dict[tuple[str, int, int], NDArray[np.float64]] = {}
        self._blocks: WeakValueDictionary[tuple[str, int, int], array[float]] = WeakValueDictionary()
        self._latest, self._latest_key = NO_BLOCK, ("", 0, 0)

    def chunk(self, purpose: str, people: int, draws: int) -> NDArray[np.float64]:
        """Return the numbers of a group of people and a group of draws: shape `(PEOPLE, DRAWS)`, uniform in
        [0, 1)."""
        key = (purpose, people, draws)
        chunk = self._chunks.get(key)
        if chunk is None:
            words = (self.seed & (2**64 - 1), zlib.crc32(purpose.encode()))
            bits = np.random.Philox(
                key=np.array(words, dtype=np.uint64), counter=np.array((0, 0, people, draws), dtype=np.uint64)
            )
            chunk = self._chunks[key] = np.random.Generator(bits).random((PEOPLE, DRAWS))
            if len(self._chunks) > CHUNKS:
                del self._chunks[next(iter(self._chunks))]
        return chunk

    def block(self, purpose: str, people: int, number: int) -> array[float]:
        """Return block `number` of a group of people: `BLOCK` draws of the first person, then of the next
        …"""
        key = (purpose, people, number)
        if key == self._latest_key:
            return self._latest
        block = self._blocks.get(key)
        if block is None:
            group, first = divmod(number * BLOCK, DRAWS)
            columns = self.chunk(purpose, people, group)[:, first : first + BLOCK]
            block = self._blocks[key] = array("d", columns.tobytes())
        self._latest, self._latest_key = block, key
        return block

    def first(self, purpose: str, count: int) -> list[float]:
        """Return the first number for that purpose of each of the first `count` people."""
        groups = range(-(-count // PEOPLE))
        return [number for group in groups for number in self.chunk(purpose, group, 0)[:, 0].tolist()][:count]

    def uniform(self, person: int, purpose: str) -> Stream:
        """Return the person's stream of numbers for that purpose, uniform in [0, 1)."""
        return Stream(self, person, purpose)


class Stream:
    """One person's numbers for one purpose, drawn in order."""

    __slots__ = ("_block", "_end", "_next", "_number", "_person", "_purpose", "_streams")

    def __init__(self, streams: RandomStreams, person: int, purpose: str) -> None:
        self._streams = streams
        self._person = person
        self._purpose = purpose
        # The next number is at `_next` in the block, unless that is the end of the person's part.
        self._number = -1
        self._block = NO_BLOCK
        self._next = self._end = (person % PEOPLE + 1) * BLOCK

    def draw(self) -> float:
        """Return the next number."""
        place = self._next
        if place == self._end:
            self._turn_to(self._number + 1)
            place -= BLOCK
        self._next = place + 1
        return self._block[place]

    __call__ = draw  # Calling the object takes twice as long as calling the method.

    def _turn_to(self, number: int) -> None:
        self._number = number
        self._block = self._streams.block(self._purpose, self._person // PEOPLE, number)
