"""Random numbers depend on (seed, person, purpose, draw), never on the order of calls."""

from __future__ import annotations

import weakref
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from chatlab.luck import DRAWS, PEOPLE, TILES, Luck


def draws(luck: Luck, person: int, purpose: str, count: int) -> list[float]:
    source = luck.uniform(person, purpose)
    return [source() for _ in range(count)]


def test_order_of_asking_changes_nothing() -> None:
    people, count = (0, 1, PEOPLE - 1, PEOPLE, 5 * PEOPLE + 3), 2 * DRAWS + 5
    one, other = Luck(7), Luck(7)
    apart = {person: draws(one, person, "backoff", count) for person in people}
    sources = {person: other.uniform(person, "backoff") for person in reversed(people)}
    together: dict[int, list[float]] = {person: [] for person in people}
    for _ in range(count):
        for person, source in sources.items():
            other.uniform(person, "latency")()  # another purpose's draws don't disturb this one's
            together[person].append(source())
    assert together == apart


def test_seed_person_and_purpose_each_make_other_numbers() -> None:
    seen = {
        tuple(draws(Luck(seed), person, purpose, 3))
        for seed, person, purpose in product(
            (0, 1, -1, 2**64 - 2), (0, 1, PEOPLE, PEOPLE * PEOPLE), ("backoff", "latency")
        )
    }
    assert len(seen) == 4 * 4 * 2


def test_a_stream_continues_and_a_new_one_starts_again() -> None:
    luck = Luck(1)
    source = luck.uniform(0, "a")
    first = [source() for _ in range(DRAWS + 1)]
    assert len(set(first)) == DRAWS + 1
    assert draws(luck, 0, "a", DRAWS + 1) == first


def test_a_strip_is_a_piece_of_its_tile_and_lives_as_long_as_somebody_is_in_it() -> None:
    luck = Luck(2)
    source = luck.uniform(PEOPLE + 3, "a")
    numbers = [source() for _ in range(2 * DRAWS)]
    assert numbers == [*luck.tile("a", 1, 0)[3], *luck.tile("a", 1, 1)[3]]
    held = luck.strip("a", 5, 2)
    again = weakref.ref(luck.strip("a", 6, 2))
    luck.strip("a", 7, 2)
    assert luck.strip("a", 5, 2) is held
    assert again() is None


def test_a_crowd_does_not_draw_a_tile_twice_for_the_same_strip(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[str, int, int]] = []
    tile = Luck.tile

    def counting(luck: Luck, purpose: str, people: int, draws: int) -> NDArray[np.float64]:
        drawn.append((purpose, people, draws))
        return tile(luck, purpose, people, draws)

    monkeypatch.setattr(Luck, "tile", counting)
    luck, blocks = Luck(4), 2 * TILES
    sources = [luck.uniform(person, "a") for person in range(blocks * PEOPLE)]
    for first in range(PEOPLE):  # People of all blocks by turns, as events come.
        for source in sources[first::PEOPLE]:
            source()
    assert len(drawn) == blocks


def test_numbers_are_uniform_in_0_1() -> None:
    """Check 100 tiles: the mean is within 5 standard errors of 1/2, each decile of its expectation."""
    luck = Luck(3)
    values = np.concatenate([luck.tile("a", people, 0).ravel() for people in range(100)])
    size = values.size
    assert values.min() >= 0.0
    assert values.max() < 1.0
    assert abs(values.mean() - 0.5) < 5 * (1 / 12 / size) ** 0.5
    counts, _ = np.histogram(values, bins=10, range=(0, 1))
    assert np.all(np.abs(counts - size / 10) < 5 * (size * 0.09) ** 0.5)


def test_tiles_that_left_the_cache_are_the_same_again() -> None:
    luck = Luck(5)
    first = luck.tile("a", 0, 0)
    assert first.shape == (PEOPLE, DRAWS)
    assert luck.tile("a", 0, 0) is first
    for block in range(1, TILES + 1):
        luck.tile("a", 0, block)
    again = luck.tile("a", 0, 0)
    assert again is not first
    assert np.array_equal(again, first)


@pytest.mark.parametrize("count", [0, 1, PEOPLE, 2 * PEOPLE + 3])
def test_the_first_numbers_of_many_people(count: int) -> None:
    luck = Luck(3)
    assert luck.first("arrive", count) == [luck.uniform(person, "arrive")() for person in range(count)]
