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
"""People and draws of a tile, the block of numbers that is generated at once."""
STRIP = 8
"""Draws of a strip, the part of a tile that is kept as long as a stream is in it."""
TILES = 8
"""Number of the latest tiles that are cached."""


_NO_STRIP = array("d")


class Luck:
    """The random streams of one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._tiles: dict[tuple[str, int, int], NDArray[np.float64]] = {}
        self._strips: WeakValueDictionary[tuple[str, int, int], array[float]] = WeakValueDictionary()
        self._latest, self._latest_key = _NO_STRIP, ("", 0, 0)

    def tile(self, purpose: str, people: int, draws: int) -> NDArray[np.float64]:
        """Return the numbers of a block of people and a block of draws: shape `(PEOPLE, DRAWS)`, uniform in
        [0, 1)."""
        key = (purpose, people, draws)
        tile = self._tiles.get(key)
        if tile is None:
            words = (self.seed & (2**64 - 1), zlib.crc32(purpose.encode()))
            bits = np.random.Philox(
                key=np.array(words, dtype=np.uint64), counter=np.array((0, 0, people, draws), dtype=np.uint64)
            )
            tile = self._tiles[key] = np.random.Generator(bits).random((PEOPLE, DRAWS))
            if len(self._tiles) > TILES:
                del self._tiles[next(iter(self._tiles))]
        return tile

    def strip(self, purpose: str, people: int, number: int) -> array[float]:
        """Return strip `number` of a block of people: `STRIP` draws of the first person, then of the next
        …"""
        key = (purpose, people, number)
        if key == self._latest_key:
            return self._latest
        strip = self._strips.get(key)
        if strip is None:
            block, first = divmod(number * STRIP, DRAWS)
            columns = self.tile(purpose, people, block)[:, first : first + STRIP]
            strip = self._strips[key] = array("d", columns.tobytes())
        self._latest, self._latest_key = strip, key
        return strip

    def first(self, purpose: str, count: int) -> list[float]:
        """Return the first number for that purpose of each of the first `count` people."""
        blocks = range(-(-count // PEOPLE))
        return [number for block in blocks for number in self.tile(purpose, block, 0)[:, 0].tolist()][:count]

    def uniform(self, person: int, purpose: str) -> Stream:
        """Return the person's stream of numbers for that purpose, uniform in [0, 1)."""
        return Stream(self, person, purpose)


class Stream:
    """One person's numbers for one purpose, drawn in order."""

    __slots__ = ("_end", "_luck", "_next", "_number", "_person", "_purpose", "_strip")

    def __init__(self, luck: Luck, person: int, purpose: str) -> None:
        self._luck = luck
        self._person = person
        self._purpose = purpose
        # The next number is at `_next` in the strip, unless that is the end of the person's part.
        self._number = -1
        self._strip = _NO_STRIP
        self._next = self._end = (person % PEOPLE + 1) * STRIP

    def draw(self) -> float:
        """Return the next number."""
        place = self._next
        if place == self._end:
            self._turn_to(self._number + 1)
            place -= STRIP
        self._next = place + 1
        return self._strip[place]

    __call__ = draw  # Calling the object takes twice as long as calling the method.

    def _turn_to(self, number: int) -> None:
        self._number = number
        self._strip = self._luck.strip(self._purpose, self._person // PEOPLE, number)
