"""Randomness that is indexed by (seed, person, purpose, draw), never by the order of events.

So two policies meet the same network luck, the worlds agree, and a faster engine gives the same numbers.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

PEOPLE, DRAWS = 64, 64
"""People and draws of a tile: what is drawn in one go."""


class Luck:
    """All the random numbers of one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._tiles: dict[tuple[str, int, int], NDArray[np.float64]] = {}

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
            if len(self._tiles) > 4096:
                del self._tiles[next(iter(self._tiles))]
        return tile

    def uniform(self, person: int, purpose: str) -> Callable[[], float]:
        """Return the person's source of numbers for that purpose, uniform in [0, 1)."""
        return Stream(self, person, purpose)


class Stream:
    """One person's numbers for one purpose, drawn in order."""

    __slots__ = ("_draw", "_luck", "_person", "_purpose", "_row")

    def __init__(self, luck: Luck, person: int, purpose: str) -> None:
        self._luck = luck
        self._person = person
        self._purpose = purpose
        self._draw = 0
        self._row: NDArray[np.float64] | None = None

    def __call__(self) -> float:
        block, index = divmod(self._draw, DRAWS)
        if self._row is None or not index:
            people, person = divmod(self._person, PEOPLE)
            self._row = self._luck.tile(self._purpose, people, block)[person]
        self._draw += 1
        return float(self._row[index])
