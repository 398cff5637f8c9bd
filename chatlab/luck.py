"""Randomness that is indexed by (seed, person, purpose, draw), never by the order of events.

So two policies meet the same network luck, the worlds agree, and a faster engine gives the same numbers.
"""

from __future__ import annotations

import zlib
from array import array
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

PEOPLE, DRAWS = 64, 64
"""People and draws of a tile: what is drawn in one go."""
STRIP = 8
"""Draws of a strip: what is kept of a tile for as long as anybody in it is at these draws."""
TILES = 8
"""So many of the latest tiles are kept."""
MOODS = 1 << 16
"""Of so many of the latest tiles is known who draws nothing but small numbers."""
FAR = 8
"""So many tiles are looked ahead."""


_NO_STRIP = array("d")

Place = tuple[int, "array[float]", int]
"""Where a stream is."""


class Luck:
    """All the random numbers of one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._tiles: dict[tuple[str, int, int], NDArray[np.float64]] = {}
        self._strips: WeakValueDictionary[tuple[str, int, int], array[float]] = WeakValueDictionary()
        self._latest, self._latest_key = _NO_STRIP, ("", 0, 0)
        self._calm: dict[tuple[str, int, int, float], bytes] = {}

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
        if key == self._latest_key:
            return self._latest
        strip = self._strips.get(key)
        if strip is None:
            block, first = divmod(number * STRIP, DRAWS)
            columns = self.tile(purpose, people, block)[:, first : first + STRIP]
            strip = self._strips[key] = array("d", columns.tobytes())
        self._latest, self._latest_key = strip, key
        return strip

    def calm(self, purpose: str, people: int, draws: int, limit: float) -> bytes:
        """Return of each person of a tile whether all of the tile's draws are below the limit."""
        key = (purpose, people, draws, limit)
        calm = self._calm.get(key)
        if calm is None:
            calm = self._calm[key] = (self.tile(purpose, people, draws) < limit).all(axis=1).tobytes()
            if len(self._calm) > MOODS:
                del self._calm[next(iter(self._calm))]
        return calm

    def first(self, purpose: str, count: int) -> list[float]:
        """Return the first numbers for that purpose of so many people."""
        blocks = range(-(-count // PEOPLE))
        return [number for block in blocks for number in self.tile(purpose, block, 0)[:, 0].tolist()][:count]

    def uniform(self, person: int, purpose: str) -> Stream:
        """Return the person's source of numbers for that purpose, uniform in [0, 1)."""
        return Stream(self, person, purpose)


class Stream:
    """One person's numbers for one purpose, drawn in order."""

    __slots__ = ("_end", "_luck", "_next", "_number", "_person", "_purpose", "_strip")

    def __init__(self, luck: Luck, person: int, purpose: str) -> None:
        self._luck = luck
        self._person = person
        self._purpose = purpose
        # The next number is in this strip, at this place, if that isn't already the end of the person's part.
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

    __call__ = draw  # An object is called in twice the time that a method takes.

    def _turn_to(self, number: int) -> None:
        self._number = number
        self._strip = self._luck.strip(self._purpose, self._person // PEOPLE, number)

    @property
    def drawn(self) -> int:
        """How many numbers were drawn."""
        return (self._number + 1) * STRIP - (self._end - self._next)

    @property
    def strip(self) -> array[float]:
        """The numbers that it is at, which are made anew if nobody holds on to them."""
        return self._strip

    @property
    def place(self) -> Place:
        """Where it is, to be returned to."""
        return self._number, self._strip, self._next

    @place.setter
    def place(self, place: Place) -> None:
        self._number, self._strip, self._next = place

    def below(self, limit: float, wanted: float) -> int:
        """Return how many of the next draws are sure to be below the limit: not all that are, and hardly more
        than are `wanted`."""
        draw = self.drawn
        block, person = self._person // PEOPLE, self._person % PEOPLE
        tile = draw // DRAWS
        end = min(tile + FAR, (draw + wanted) / DRAWS)
        while tile < end and self._luck.calm(self._purpose, block, tile, limit)[person]:
            tile += 1
        return max(0, tile * DRAWS - draw)

    def skip(self, draws: int) -> None:
        """Go on behind so many further draws; fewer than none are put back."""
        number, place = divmod(self.drawn + draws, STRIP)
        if not place:
            self._number = number - 1  # and its strip is no longer needed.
        elif number != self._number or draws < 0:
            self._turn_to(number)
        self._next = self._end - STRIP + (place or STRIP)
