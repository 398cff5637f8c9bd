"""Random numbers depend on (seed, person, purpose, draw), never on the order of calls."""

from __future__ import annotations

import weakref
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from chatlab.luck import DRAWS, FAR, PEOPLE, STRIP, TILES, Luck


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


@pytest.mark.parametrize("drawn", [0, 1, STRIP - 1, STRIP, 2 * DRAWS + 5])
def test_a_stream_can_return_to_a_position(drawn: int) -> None:
    source = Luck(1).uniform(3, "a")
    for _ in range(drawn):
        source()
    place = source.place
    ahead = [source() for _ in range(DRAWS + STRIP)]
    source.place = place
    assert source.drawn == drawn
    assert [source() for _ in range(DRAWS + STRIP)] == ahead


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


def test_draws_can_be_passed_over() -> None:
    for skipped in (0, 1, STRIP - 1, STRIP, STRIP + 3, 3 * DRAWS + 5):
        plain, quick = Luck(3).uniform(70, "up"), Luck(3).uniform(70, "up")
        assert plain() == quick()
        for _ in range(skipped):
            plain()
        quick.skip(skipped)
        assert [quick() for _ in range(2 * STRIP)] == [plain() for _ in range(2 * STRIP)]


@pytest.mark.parametrize("limit", [0.0, 0.9, 0.98, 0.999, 1.0])
@pytest.mark.parametrize("drawn", [0, 1, DRAWS - 1, DRAWS, 200])
def test_draws_below_a_limit_are_below_it(drawn: int, limit: float) -> None:
    for person in range(0, 200, 7):
        source = Luck(5).uniform(person, "down")
        source.skip(drawn)
        sure = source.below(limit, 1000)
        assert all(source() < limit for _ in range(sure))
        if limit == 1.0:
            assert sure == FAR * DRAWS - drawn % DRAWS
        if limit == 0.0:
            assert sure == 0


def test_below_looks_no_further_than_wanted() -> None:
    luck = Luck(5)
    assert luck.uniform(0, "down").below(1.0, 1) == DRAWS
    assert luck.uniform(0, "down").below(1.0, 1.5 * DRAWS) == 2 * DRAWS
    assert len(luck._calm) == 2


def test_only_the_latest_results_of_calm_are_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatlab.luck.CACHED_RESULTS", 4)
    luck = Luck(5)
    first = luck.calm("down", 0, 0, 0.99)
    assert len(first) == PEOPLE
    for draws in range(1, 8):
        luck.calm("down", 0, draws, 0.99)
    assert len(luck._calm) == 4
    assert luck.calm("down", 0, 0, 0.99) == first


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("drawn", [1, STRIP - 1, STRIP, STRIP + 1, DRAWS, DRAWS + 1])
def test_draws_can_be_put_back(drawn: int, at_once: bool) -> None:
    for back in {1, 2, STRIP, drawn} & set(range(drawn + 1)):
        plain, other = Luck(3).uniform(70, "up"), Luck(3).uniform(70, "up")
        numbers = [plain() for _ in range(drawn + STRIP)]
        for _ in range(drawn):
            other()
        for draws in [back] if at_once else back * [1]:
            other.skip(-draws)
        assert other.drawn == drawn - back
        assert [other() for _ in range(back + STRIP)] == numbers[drawn - back :]


@pytest.mark.parametrize("count", [0, 1, PEOPLE, 2 * PEOPLE + 3])
def test_the_first_numbers_of_many_people(count: int) -> None:
    luck = Luck(3)
    assert luck.first("arrive", count) == [luck.uniform(person, "arrive")() for person in range(count)]


def test_a_strip_is_cached_as_long_as_a_stream_refers_to_it() -> None:
    luck = Luck(3)
    source = luck.uniform(5, "up")
    source()
    held = source.strip
    del source
    for block in range(20):  # Others take the place of the latest.
        luck.uniform(block * PEOPLE, "down")()
    again = luck.uniform(5, "up")
    again.skip(1)
    assert again.strip is held
