from __future__ import annotations

from math import log
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import strategies as st

from chatlab.errors import SettingsError
from chatlab.random_streams import RandomStreams
from chatlab.sim.latency import Latency, LogNormal, NetworkConfig
from chatlab.sim.path import Path, Paths

times = st.floats(0, 1e4)


def constant(delay: float = 0.0) -> Path:
    return Paths(NetworkConfig(latency=delay), RandomStreams(0)).make(0)


def test_constant_latency_is_shared_and_draws_nothing() -> None:
    paths = Paths(NetworkConfig(latency=0.25), RandomStreams(0))
    one, other = paths.make(0), paths.make(1)
    assert one.up() == one.down() == other.connect() == 0.25
    assert one.up is other.down


def test_log_normal_has_the_median_and_percentile_asked_for() -> None:
    path = Paths(NetworkConfig(latency=LogNormal(median=0.04, p99=0.2)), RandomStreams(3)).make(0)
    logs = np.log([path.up() for _ in range(20_000)])
    sigma = log(0.2 / 0.04) / NormalDist().inv_cdf(0.99)
    # Four standard errors: one false alarm in 16,000 seeds.
    assert abs(logs.mean() - log(0.04)) < 4 * sigma / np.sqrt(len(logs))
    assert abs(logs.std() / sigma - 1) < 4 / np.sqrt(2 * len(logs))


def test_the_percentile_may_be_the_median_and_no_less() -> None:
    latency = LogNormal(median=0.04, p99=0.04)
    assert Paths(NetworkConfig(latency=latency), RandomStreams(3)).make(0).up() == pytest.approx(0.04)
    with pytest.raises(SettingsError, match="p99: give at least the median"):
        LogNormal(median=0.04, p99=0.039)


def test_jitter_comes_on_top_uniformly() -> None:
    path = Paths(NetworkConfig(latency=0.1, jitter=0.05), RandomStreams(3)).make(0)
    drawn = np.array([path.down() for _ in range(10_000)])
    assert drawn.min() >= 0.1
    assert drawn.max() < 0.15
    assert abs(drawn.mean() - 0.125) < 4 * 0.05 / np.sqrt(12 * len(drawn))


def test_random_numbers_belong_to_person_purpose_and_draw() -> None:
    config = NetworkConfig(latency=0.0, jitter=1.0)
    path = Paths(config, RandomStreams(5)).make(7)
    ups = [path.up() for _ in range(3)]
    streams = RandomStreams(5)
    later = Paths(config, streams)
    for other in range(20):
        later.make(other).up()
    again = later.make(7)
    for _ in range(10):
        again.down(), again.connect()
    assert [again.up() for _ in range(3)] == ups
    assert ups == [RandomStreams(5).uniform(7, "up")(), *ups[1:]]
    assert len({*ups, again.down(), again.connect()}) == 5


def test_a_drawn_zero_does_not_break_the_log_normal() -> None:

    latency = Latency(NetworkConfig(latency=LogNormal(median=0.04, p99=0.2)), lambda: 0.0)
    assert 0 < latency() < 0.04


def test_percentile_below_the_median_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"LogNormal\.p99: give at least the median \(0\.2\), got 0\.1"):
        LogNormal(median=0.2, p99=0.1)
