from __future__ import annotations

from math import inf, log
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatlab.errors import SettingsError
from chatlab.luck import Luck
from chatlab.sim.latency import Latency, LogNormal, NetworkConfig
from chatlab.sim.path import MAX_RETRANSMIT, Path, Paths

times = st.floats(0, 1e4)


def constant(delay: float = 0.0) -> Path:
    return Paths(NetworkConfig(latency=delay), Luck(0)).make(0)


def test_constant_latency_is_shared_and_draws_nothing() -> None:
    paths = Paths(NetworkConfig(latency=0.25), Luck(0))
    one, other = paths.make(0), paths.make(1)
    assert one.up() == one.down() == other.connect() == 0.25
    assert one.up is other.down


def test_log_normal_has_the_median_and_percentile_asked_for() -> None:
    path = Paths(NetworkConfig(latency=LogNormal(median=0.04, p99=0.2)), Luck(3)).make(0)
    logs = np.log([path.up() for _ in range(20_000)])
    sigma = log(0.2 / 0.04) / NormalDist().inv_cdf(0.99)
    # Four standard errors: one false alarm in 16,000 seeds.
    assert abs(logs.mean() - log(0.04)) < 4 * sigma / np.sqrt(len(logs))
    assert abs(logs.std() / sigma - 1) < 4 / np.sqrt(2 * len(logs))


def test_jitter_comes_on_top_uniformly() -> None:
    path = Paths(NetworkConfig(latency=0.1, jitter=0.05), Luck(3)).make(0)
    drawn = np.array([path.down() for _ in range(10_000)])
    assert drawn.min() >= 0.1
    assert drawn.max() < 0.15
    assert abs(drawn.mean() - 0.125) < 4 * 0.05 / np.sqrt(12 * len(drawn))


def test_luck_belongs_to_person_purpose_and_draw() -> None:
    config = NetworkConfig(latency=0.0, jitter=1.0)
    path = Paths(config, Luck(5)).make(7)
    ups = [path.up() for _ in range(3)]
    luck = Luck(5)
    later = Paths(config, luck)
    for other in range(20):
        later.make(other).up()
    again = later.make(7)
    for _ in range(10):
        again.down(), again.connect()
    assert [again.up() for _ in range(3)] == ups
    assert ups == [Luck(5).uniform(7, "up")(), *ups[1:]]
    assert len({*ups, again.down(), again.connect()}) == 5


def test_a_lucky_zero_does_not_break_the_log_normal() -> None:
    from chatlab.sim.latency import Latency

    latency = Latency(NetworkConfig(latency=LogNormal(median=0.04, p99=0.2)), lambda: 0.0)
    assert 0 < latency() < 0.04


@given(sent=times, delay=times, last=times)
def test_nothing_overtakes(sent: float, delay: float, last: float) -> None:
    assert constant().arrival(sent, delay, last) == max(sent + delay, last)


@pytest.mark.parametrize(
    ("sent", "cut_until", "arrives"),
    [
        (5.0, 5.0, 5.5),
        (0.0, 0.5, 1.5),
        (0.0, 1.0, 1.5),
        (0.0, 1.1, 3.5),
        (0.0, 6.0, 7.5),
        (2.0, 6.0, 5.0 + 4.5),
    ],
)
def test_what_is_lost_is_sent_again_after_1_3_7_seconds(
    sent: float, cut_until: float, arrives: float
) -> None:
    path = constant()
    path.cut_until = cut_until
    assert path.arrival(sent, 0.5, -inf) == arrives


@given(sent=times, cut=times)
def test_what_is_lost_waits_at_most_as_long_again(sent: float, cut: float) -> None:
    path = constant()
    path.cut_until = cut
    waits = path.arrival(sent, 0.0, -inf) - sent
    if cut <= sent:
        assert waits == 0
    else:
        assert (
            cut - sent
            <= waits
            <= max(1.0, min(2 * (cut - sent) + 1, cut - sent + MAX_RETRANSMIT)) * (1 + 1e-9)
        )


def test_an_endless_cut_lets_nothing_through() -> None:
    path = constant()
    path.cut_until = inf
    assert path.arrival(3.0, 0.1, -inf) == inf


def test_percentile_below_the_median_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"LogNormal\.p99: give at least the median \(0\.2\), got 0\.1"):
        LogNormal(median=0.2, p99=0.1)


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
def test_packets_that_are_said_to_be_quick_are_and_can_be_passed_over(
    network: NetworkConfig, seconds: float
) -> None:
    for person in range(0, 64, 5):
        plain, quick = Paths(network, Luck(1)).make(person).up, Paths(network, Luck(1)).make(person).up
        assert isinstance(plain, Latency)
        assert isinstance(quick, Latency)
        sure = min(quick.within(seconds, 200), 200)
        assert all(plain() < seconds for _ in range(int(sure)))
        quick.skip(int(sure))
        assert [quick() for _ in range(20)] == [plain() for _ in range(20)]


def test_who_draws_luck_of_an_unknown_kind_promises_nothing() -> None:
    assert Latency(NetworkConfig(latency=LogNormal(median=0.04, p99=0.2)), lambda: 0.5).within(9.0, 1) == 0


@pytest.mark.parametrize("jitter", [0.0, 0.3])
@pytest.mark.parametrize("latency", [0.1, LogNormal(median=0.04, p99=0.2)], ids=["constant", "log-normal"])
@pytest.mark.parametrize("drawn", [0, 3, 8])
def test_a_look_at_a_later_packet_draws_none(drawn: int, latency: float | LogNormal, jitter: float) -> None:
    looking, plain = (Paths(NetworkConfig(latency=latency, jitter=jitter), Luck(5)).make(3) for _ in range(2))
    assert isinstance(looking.up, Latency)
    for _ in range(drawn):
        looking.up(), plain.up()
    seen = [looking.up.ahead(packets) for packets in range(40)]
    assert seen == [plain.up() for _ in range(40)] == [looking.up() for _ in range(40)]


@pytest.mark.parametrize("jitter", [0.0, 0.3])
@pytest.mark.parametrize("latency", [0.1, LogNormal(median=0.04, p99=0.2)], ids=["constant", "log-normal"])
def test_the_latest_packet_can_be_asked_for_again_and_not_be_sent(
    latency: float | LogNormal, jitter: float
) -> None:
    path = Paths(NetworkConfig(latency=latency, jitter=jitter), Luck(5)).make(3)
    assert isinstance(path.up, Latency)
    delays = [path.up() for _ in range(9)]
    assert path.up.again() == delays[-1]
    path.up.skip(-4)
    assert [path.up() for _ in range(4)] == delays[-4:]


@pytest.mark.parametrize("jitter", [0.0, 0.3])
def test_a_path_that_was_put_away_goes_on_where_it_was(jitter: float) -> None:
    network = NetworkConfig(latency=LogNormal(median=0.04, p99=0.2), jitter=jitter)
    paths, plainly = Paths(network, Luck(5)), Paths(network, Luck(5)).make(3)
    assert paths.common is None
    path = paths.make(3)
    for drawn in (3, 8, 1):
        for delay, plain in zip(
            (path.up, path.down, path.connect), (plainly.up, plainly.down, plainly.connect), strict=True
        ):
            assert [delay() for _ in range(drawn)] == [plain() for _ in range(drawn)]
        path = paths.make(3, paths.put_away(path))


def test_where_packets_always_take_as_long_one_path_does_for_all() -> None:
    common = Paths(NetworkConfig(latency=0.25), Luck(5)).common
    assert common is not None
    assert common.up() == common.down() == common.connect() == 0.25
