"""Streams, latencies and paths that look ahead, skip and are stored draw the same numbers as plain ones."""

from __future__ import annotations

import pytest

from chatlab.random_streams import BLOCK, DRAWS, PEOPLE
from chatlab.sim.fast.sampling import FAR, Law, SampledPaths, SeekableStreams, SkippableLatency
from chatlab.sim.latency import LogNormal, NetworkConfig
from chatlab.sim.path import Paths


def sampled(network: NetworkConfig, seed: int) -> SampledPaths:
    return SampledPaths(network, SeekableStreams(seed))


def law(streams: SeekableStreams) -> Law:
    """Return the law of latencies that each take one number."""
    return Law(0.04, 0.7, 0.0, 1, streams, "down")


@pytest.mark.parametrize("drawn", [0, 1, BLOCK - 1, BLOCK, 2 * DRAWS + 5])
def test_a_stream_can_return_to_a_position(drawn: int) -> None:
    source = SeekableStreams(1).uniform(3, "a")
    for _ in range(drawn):
        source()
    place = source.place
    ahead = [source() for _ in range(DRAWS + BLOCK)]
    source.place = place
    assert source.drawn == drawn
    assert [source() for _ in range(DRAWS + BLOCK)] == ahead


def test_draws_can_be_skipped() -> None:
    for skipped in (0, 1, BLOCK - 1, BLOCK, BLOCK + 3, 3 * DRAWS + 5):
        plain, quick = SeekableStreams(3).uniform(70, "up"), SeekableStreams(3).uniform(70, "up")
        assert plain() == quick()
        for _ in range(skipped):
            plain()
        quick.skip(skipped)
        assert [quick() for _ in range(2 * BLOCK)] == [plain() for _ in range(2 * BLOCK)]


@pytest.mark.parametrize("limit", [0.0, 0.9, 0.98, 0.999, 1.0])
@pytest.mark.parametrize("drawn", [0, 1, DRAWS - 1, DRAWS, 200])
def test_draws_below_a_limit_are_below_it(drawn: int, limit: float) -> None:
    for person in range(0, 200, 7):
        streams = SeekableStreams(5)
        source, numbers = SkippableLatency(law(streams), person), streams.uniform(person, "down")
        source.skip(drawn)
        numbers.skip(drawn)
        sure = source.below(limit, 1000)
        assert all(numbers() < limit for _ in range(sure))
        if limit == 1.0:
            assert sure == FAR * DRAWS - drawn % DRAWS
        if limit == 0.0:
            assert sure == 0


def test_below_looks_no_further_than_wanted() -> None:
    streams = SeekableStreams(5)
    assert SkippableLatency(law(streams), 0).below(1.0, 1) == DRAWS
    assert SkippableLatency(law(streams), 0).below(1.0, 1.5 * DRAWS) == 2 * DRAWS
    assert len(streams._below) == 2


def test_only_the_latest_results_of_below_are_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatlab.sim.fast.sampling.CACHED_RESULTS", 4)
    streams = SeekableStreams(5)
    first = streams.below("down", 0, 0, 0.99)
    assert len(first) == PEOPLE
    for draws in range(1, 8):
        streams.below("down", 0, draws, 0.99)
    assert len(streams._below) == 4
    assert streams.below("down", 0, 0, 0.99) == first


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("drawn", [1, BLOCK - 1, BLOCK, BLOCK + 1, DRAWS, DRAWS + 1])
def test_draws_can_be_put_back(drawn: int, at_once: bool) -> None:
    for back in {1, 2, BLOCK, drawn} & set(range(drawn + 1)):
        plain, other = SeekableStreams(3).uniform(70, "up"), SeekableStreams(3).uniform(70, "up")
        numbers = [plain() for _ in range(drawn + BLOCK)]
        for _ in range(drawn):
            other()
        for draws in [back] if at_once else back * [1]:
            other.skip(-draws)
        assert other.drawn == drawn - back
        assert [other() for _ in range(back + BLOCK)] == numbers[drawn - back :]


@pytest.mark.parametrize(
    "network",
    [
        NetworkConfig(latency=0.04),
        NetworkConfig(latency=0.04, jitter=0.3),
        NetworkConfig(latency=LogNormal(median=0.04, p99=0.2)),
        NetworkConfig(latency=LogNormal(median=0.04, p99=0.2), jitter=0.1),
    ],
    ids=["constant", "jitter", "log-normal", "both"],
)
@pytest.mark.parametrize("seconds", [0.04, 0.1, 0.34, 0.5, 5.0])
def test_certain_packets_are_quick_and_can_be_skipped(network: NetworkConfig, seconds: float) -> None:
    for person in range(0, 64, 5):
        plain, quick = (
            sampled(network, 1).make(person).up,
            sampled(network, 1).make(person).up,
        )
        sure = min(quick.certain(seconds, 200), 200)
        assert all(plain() < seconds for _ in range(int(sure)))
        quick.skip(int(sure))
        assert [quick() for _ in range(20)] == [plain() for _ in range(20)]


@pytest.mark.parametrize("jitter", [0.0, 0.3])
@pytest.mark.parametrize("latency", [0.1, LogNormal(median=0.04, p99=0.2)], ids=["constant", "log-normal"])
@pytest.mark.parametrize("drawn", [0, 3, 8])
def test_a_peek_at_a_later_packet_draws_none(drawn: int, latency: float | LogNormal, jitter: float) -> None:
    looking, plain = (sampled(NetworkConfig(latency=latency, jitter=jitter), 5).make(3) for _ in range(2))
    for _ in range(drawn):
        looking.up(), plain.up()
    seen = [looking.up.peek(packets) for packets in range(40)]
    assert seen == [plain.up() for _ in range(40)] == [looking.up() for _ in range(40)]


@pytest.mark.parametrize("jitter", [0.0, 0.3])
@pytest.mark.parametrize("latency", [0.1, LogNormal(median=0.04, p99=0.2)], ids=["constant", "log-normal"])
def test_the_latest_packet_can_be_asked_for_again_and_not_be_sent(
    latency: float | LogNormal, jitter: float
) -> None:
    path = sampled(NetworkConfig(latency=latency, jitter=jitter), 5).make(3)
    delays = [path.up() for _ in range(9)]
    assert path.up.repeat() == delays[-1]
    path.up.skip(-4)
    assert [path.up() for _ in range(4)] == delays[-4:]


@pytest.mark.parametrize("drawn", [1, BLOCK - 1, BLOCK, BLOCK + 1, DRAWS + 1])
@pytest.mark.parametrize("jitter", [0.0, 0.3])
def test_packets_can_be_skipped_to_and_fro(drawn: int, jitter: float) -> None:
    network = NetworkConfig(latency=LogNormal(median=0.04, p99=0.2), jitter=jitter)
    plain = Paths(network, SeekableStreams(5)).make(70)
    delays = [plain.up() for _ in range(3 * DRAWS)]
    up = sampled(network, 5).make(70).up
    for steps in (drawn, DRAWS, -1, BLOCK, -BLOCK - 1, 2 * BLOCK, 0, -drawn):
        up.skip(steps)
    place = BLOCK * 2 + DRAWS - 2
    assert [up() for _ in range(2 * BLOCK)] == delays[place : place + 2 * BLOCK]
    for back in (1, 2, BLOCK):
        up.skip(-back)
        assert [up() for _ in range(back)] == delays[place + 2 * BLOCK - back : place + 2 * BLOCK]


@pytest.mark.parametrize("jitter", [0.0, 0.3])
def test_a_path_goes_on_with_latencies_that_were_drawn_from(jitter: float) -> None:
    network = NetworkConfig(latency=LogNormal(median=0.04, p99=0.2), jitter=jitter)
    paths, plain = sampled(network, 5), Paths(network, SeekableStreams(5)).make(3)
    delays = paths.delays(3)
    for drawn in (3, 8, 1):
        for delay, other in zip(delays, (plain.up, plain.down, plain.connect), strict=True):
            assert [delay() for _ in range(drawn)] == [other() for _ in range(drawn)]
    path = paths.make(3, delays)
    assert (path.up(), path.down(), path.connect()) == (plain.up(), plain.down(), plain.connect())
    assert path.person == 3


def test_with_constant_latency_the_same_delays_serve_all() -> None:
    paths = sampled(NetworkConfig(latency=0.25), 5)
    assert paths.delays(3) is paths.delays(4)
    path = paths.make(4)
    assert path.up() == path.down() == path.connect() == 0.25
    assert path.person == 4
