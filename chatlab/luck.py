"""Randomness that is indexed by (seed, person, purpose, draw), never by the order of events.

So two policies meet the same network luck, the worlds agree, and a faster engine gives the same numbers.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Callable
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

PEOPLE, DRAWS = 64, 64
"""People and draws of a tile: what is drawn in one go."""
STRIP = 8
"""Draws of a strip: what is kept of a tile for as long as anybody in it is at these draws."""
TILES = 8
"""So many of the latest tiles are kept."""


_NO_STRIP = array("d")


class Luck:
    """All the random numbers of one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._tiles: dict[tuple[str, int, int], NDArray[np.float64]] = {}
        self._strips: WeakValueDictionary[tuple[str, int, int], array[float]] = WeakValueDictionary()
        self._latest = array("d")

    def tile(self, purpose: str, people: int, draws: int) -> NDArray[np.float64]:
        """Return the numbers of the given block of people and block of draws, shape `(PEOPLE, DRAWS)`,
        uniform in [0, 1)."""
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
        """Return the numbers of the given block of people and `STRIP` of their draws, a person's one after
        another."""
        key = (purpose, people, number)
        strip = self._strips.get(key)
        if strip is None:
            block, first = divmod(number * STRIP, DRAWS)
            columns = self.tile(purpose, people, block)[:, first : first + STRIP]
            strip = self._strips[key] = self._latest = array("d", columns.tobytes())
        return strip

    def uniform(self, person: int, purpose: str) -> Callable[[], float]:
        """Return the person's source of numbers for that purpose, uniform in [0, 1)."""
        return Stream(self, person, purpose)


class Stream:
    """One person's numbers for one purpose, drawn in order."""

    __slots__ = ("_draw", "_luck", "_person", "_purpose", "_strip")

    def __init__(self, luck: Luck, person: int, purpose: str) -> None:
        self._luck = luck
        self._person = person
        self._purpose = purpose
        self._draw = 0
        self._strip = _NO_STRIP

    def __call__(self) -> float:
        draw = self._draw
        self._draw = draw + 1
        place = draw % STRIP
        if not place:
            self._strip = self._luck.strip(self._purpose, self._person // PEOPLE, draw // STRIP)
        return self._strip[self._person % PEOPLE * STRIP + place]
