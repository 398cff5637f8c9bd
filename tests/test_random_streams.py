"""Random numbers depend on (seed, person, purpose, draw), never on the order of calls."""

from __future__ import annotations

import weakref
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from chatlab.random_streams import CHUNKS, DRAWS, PEOPLE, RandomStreams


def draws(streams: RandomStreams, person: int, purpose: str, count: int) -> list[float]:
    source = streams.uniform(person, purpose)
    return [source() for _ in range(count)]


def test_order_of_asking_changes_nothing() -> None:
    people, count = (0, 1, PEOPLE - 1, PEOPLE, 5 * PEOPLE + 3), 2 * DRAWS + 5
    one, other = RandomStreams(7), RandomStreams(7)
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
        tuple(draws(RandomStreams(seed), person, purpose, 3))
        for seed, person, purpose in product(
            (0, 1, -1, 2**64 - 2), (0, 1, PEOPLE, PEOPLE * PEOPLE), ("backoff", "latency")
        )
    }
    assert len(seen) == 4 * 4 * 2


def test_a_stream_continues_and_a_new_one_starts_again() -> None:
    streams = RandomStreams(1)
    source = streams.uniform(0, "a")
    first = [source() for _ in range(DRAWS + 1)]
    assert len(set(first)) == DRAWS + 1
    assert draws(streams, 0, "a", DRAWS + 1) == first


def test_a_block_is_a_piece_of_its_chunk_and_lives_as_long_as_somebody_is_in_it() -> None:
    streams = RandomStreams(2)
    source = streams.uniform(PEOPLE + 3, "a")
    numbers = [source() for _ in range(2 * DRAWS)]
    assert numbers == [*streams.chunk("a", 1, 0)[3], *streams.chunk("a", 1, 1)[3]]
    held = streams.block("a", 5, 2)
    again = weakref.ref(streams.block("a", 6, 2))
    streams.block("a", 7, 2)
    assert streams.block("a", 5, 2) is held
    assert again() is None


def test_a_crowd_does_not_draw_a_chunk_twice_for_the_same_block(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[str, int, int]] = []
    chunk = RandomStreams.chunk

    def counting(streams: RandomStreams, purpose: str, people: int, draws: int) -> NDArray[np.float64]:
        drawn.append((purpose, people, draws))
        return chunk(streams, purpose, people, draws)

    monkeypatch.setattr(RandomStreams, "chunk", counting)
    streams, groups = RandomStreams(4), 2 * CHUNKS
    sources = [streams.uniform(person, "a") for person in range(groups * PEOPLE)]
    for first in range(PEOPLE):  # People of all groups by turns, as events come.
        for source in sources[first::PEOPLE]:
            source()
    assert len(drawn) == groups


def test_numbers_are_uniform_in_0_1() -> None:
    """Check 100 chunks: the mean is within 5 standard errors of 1/2, each decile of its expectation."""
    streams = RandomStreams(3)
    values = np.concatenate([streams.chunk("a", people, 0).ravel() for people in range(100)])
    size = values.size
    assert values.min() >= 0.0
    assert values.max() < 1.0
    assert abs(values.mean() - 0.5) < 5 * (1 / 12 / size) ** 0.5
    counts, _ = np.histogram(values, bins=10, range=(0, 1))
    assert np.all(np.abs(counts - size / 10) < 5 * (size * 0.09) ** 0.5)


def test_chunks_that_left_the_cache_are_the_same_again() -> None:
    streams = RandomStreams(5)
    first = streams.chunk("a", 0, 0)
    assert first.shape == (PEOPLE, DRAWS)
    assert streams.chunk("a", 0, 0) is first
    for group in range(1, CHUNKS + 1):
        streams.chunk("a", 0, group)
    again = streams.chunk("a", 0, 0)
    assert again is not first
    assert np.array_equal(again, first)


@pytest.mark.parametrize("count", [0, 1, PEOPLE, 2 * PEOPLE + 3])
def test_the_first_numbers_of_many_people(count: int) -> None:
    streams = RandomStreams(3)
    assert streams.first("arrive", count) == [streams.uniform(person, "arrive")() for person in range(count)]
