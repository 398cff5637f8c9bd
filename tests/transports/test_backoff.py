"""The six jitter formulas against SPEC §2's table and the closed forms of the literature.

Every Monte Carlo mean has to lie within five standard errors, computed from the known variance: a right
formula fails one check in a million, and the seed is fixed.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from math import inf, nan, nextafter
from random import Random
from statistics import fmean, pvariance
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatlab.settings import JITTERS, ReconnectConfig
from chatlab.transports.backoff import Backoff, exponential, next_delay

DRAWS = 20_000
ALMOST_1 = nextafter(1.0, 0.0)


def config_of(jitter: str = "none", **changes: Any) -> ReconnectConfig:
    return ReconnectConfig(jitter=jitter, **changes)  # type: ignore[arg-type]


def spread(
    config: ReconnectConfig, attempt: int, previous: float = 1.0, floor: float = 0.0
) -> tuple[float, float]:
    """Return the minimum of the delay, and its least upper bound."""
    low, high = (next_delay(config, attempt, previous, u, floor) for u in (0.0, ALMOST_1))
    return low, high


def fixed(u: float) -> Callable[[], float]:
    return lambda: u


# SPEC §2: c(n) = min(base · multiplierⁿ, max). With the defaults c is 1, 2, 4, 8, 16, 30, 30 …


@pytest.mark.parametrize(
    ("jitter", "attempt", "low", "high"),
    [
        ("none", 0, 1, 1),
        ("none", 4, 16, 16),
        ("none", 5, 30, 30),
        ("seed", 0, 1, 1.1),
        ("seed", 4, 16, 17.6),
        ("seed", 5, 30, 30),  # no spread at all once d >= max
        ("seed", 60, 30, 30),
        ("proportional", 0, 1, 1.1),
        ("proportional", 5, 30, 33),  # without the seed's flaw
        ("equal", 0, 0.5, 1),
        ("equal", 3, 4, 8),
        ("equal", 9, 15, 30),
        ("full", 0, 0, 1),
        ("full", 3, 0, 8),
        ("full", 9, 0, 30),
    ],
)
def test_SPEC_2_bounds(jitter: str, attempt: int, low: float, high: float) -> None:
    assert spread(config_of(jitter), attempt) == pytest.approx((low, high))


@pytest.mark.parametrize(
    ("previous", "low", "high"),
    [(0.0, 1, 1), (0.3, 1, 1), (0.4, 1, 1.2), (1.0, 1, 3), (5.0, 1, 15), (10.0, 1, 30), (20.0, 1, 30)],
)
def test_SPEC_2_decorrelated_bounds(previous: float, low: float, high: float) -> None:
    assert spread(config_of("decorrelated"), 3, previous) == pytest.approx((low, high))


def test_the_seeds_cap_cuts_the_jitter_just_below_it() -> None:
    config = config_of("seed", base_delay=29.0)
    assert spread(config, 0) == (29.0, 30.0)
    assert next_delay(config, 0, 1.0, 0.1) == pytest.approx(29.29)


@given(
    jitter=st.sampled_from(JITTERS),
    base=st.floats(0, 1e9),
    most=st.floats(0, 1e9),
    multiplier=st.floats(1, 1e9),
    attempt=st.integers(0, 10**12),
    u=st.floats(0, ALMOST_1),
    previous=st.floats(0, 1e9),
)
def test_no_input_overflows_or_escapes_the_cap(
    jitter: str, base: float, most: float, multiplier: float, attempt: int, u: float, previous: float
) -> None:
    config = config_of(jitter, base_delay=base, max_delay=most, backoff_multiplier=multiplier)
    delay = next_delay(config, attempt, previous, u)
    assert 0 <= delay <= most * (1.1 + 1e-9 if jitter == "proportional" else 1)


@pytest.mark.parametrize("attempt", [2 * 10**3, 10**6, 10**400])
def test_large_n(attempt: int) -> None:
    assert exponential(config_of(), attempt) == inf
    assert exponential(config_of(base_delay=0.0), attempt) == 0.0
    assert {jitter: spread(config_of(jitter), attempt, 30.0) for jitter in JITTERS} == {
        "seed": (30, 30),
        "none": (30, 30),
        "proportional": (30, pytest.approx(33)),
        "equal": (15, pytest.approx(30)),
        "full": (0, pytest.approx(30)),
        "decorrelated": (1, 30),
    }


@pytest.mark.parametrize(
    ("jitter", "attempt", "mean", "variance"),
    [
        ("seed", 3, 8.4, 0.8**2 / 12),
        ("proportional", 9, 31.5, 3**2 / 12),
        ("equal", 3, 6.0, 4**2 / 12),
        ("full", 3, 4.0, 8**2 / 12),  # FACTS §6: mean c/2, variance c²/12
        ("full", 9, 15.0, 30**2 / 12),
        (
            "decorrelated",
            3,
            (1 + 3 * 4) / 2,
            11**2 / 12,
        ),  # FACTS §6: (base + 3·prev)/2 below the cap; prev = 4
    ],
)
def test_FACTS_6_means_and_variances(jitter: str, attempt: int, mean: float, variance: float) -> None:
    config, random = config_of(jitter), Random(1)
    delays = [next_delay(config, attempt, 4.0, random.random()) for _ in range(DRAWS)]
    assert abs(fmean(delays) - mean) < 5 * (variance / DRAWS) ** 0.5
    # A uniform distribution's fourth central moment is 9/5 of its variance squared.
    assert abs(pvariance(delays) - variance) < 5 * variance * (0.8 / DRAWS) ** 0.5


def test_FACTS_6_time_to_the_nth_attempt_without_jitter() -> None:
    backoff = Backoff(config_of(max_delay=1e6, backoff_multiplier=1.5, base_delay=2.0), fixed(0.0))
    for n, at in enumerate(accumulate(backoff.next() for _ in range(20)), start=1):
        assert at == pytest.approx(2.0 * (1.5**n - 1) / (1.5 - 1))


@pytest.mark.slow
def test_FACTS_6_the_seeds_ten_attempts_take_182_55_seconds_on_average() -> None:
    """Compute the variance of the sum: below the cap each delay's spread is d/10, so it is Σ(d/10)²/12 over
    1, 2, 4, 8, 16."""
    runs, random = 4_000, Random(2)
    totals = []
    for _ in range(runs):
        backoff = Backoff(ReconnectConfig(), random.random)
        totals.append(sum(backoff.next() for _ in range(10)))
    variance = sum((d / 10) ** 2 / 12 for d in (1, 2, 4, 8, 16))
    assert abs(fmean(totals) - 182.55) < 5 * (variance / runs) ** 0.5
    assert 181 <= min(totals) <= max(totals) <= 184.1


@pytest.mark.slow
@pytest.mark.parametrize(("s", "published"), [(0.5, 3.44), (0.1, 99.8)])
def test_FACTS_6_full_jitter_mean_time_to_return(s: float, published: float) -> None:
    exact = sum((1 - s) ** a * min(30, 2**a) / 2 for a in range(2000))
    assert exact == pytest.approx(published, rel=0.002)
    runs, random = 4_000, Random(3)
    times = []
    for _ in range(runs):
        backoff = Backoff(config_of("full", max_attempts=None), random.random)
        time = backoff.next()
        while random.random() >= s:
            time += backoff.next()
        times.append(time)
    assert abs(fmean(times) - exact) < 5 * (pvariance(times) / runs) ** 0.5


@pytest.mark.parametrize(("jitter", "share"), [("full", 1 / 3), ("equal", 7 / 18), ("seed", 1 / 2)])
def test_FACTS_6_wait_at_the_cap_after_the_servers_return(jitter: str, share: float) -> None:
    """Compare with the mean residual of a renewal process: E[X²]/(2·E[X])."""
    config, random = config_of(jitter), Random(4)
    delays = [next_delay(config, 20, 30.0, random.random()) for _ in range(DRAWS)]
    residual = fmean(x * x for x in delays) / (2 * fmean(delays))
    assert residual == pytest.approx(share * 30, rel=0.02)  # more than five standard errors


def test_FACTS_6_decorrelated_sleeps_18_5_seconds_on_average() -> None:
    backoff = Backoff(config_of("decorrelated", max_attempts=None), Random(5).random)
    assert fmean(backoff.next() for _ in range(DRAWS * 2)) == pytest.approx(18.5, rel=0.02)


# Schedules


def test_a_schedule_takes_the_formulas_place() -> None:
    config = config_of("full", schedule=((0, 0), (2, 5), (10, 40)), max_delay=30.0)
    assert [spread(config, n) for n in range(5)] == [
        (0, 0),
        (2, pytest.approx(5)),
        (10, 30),
        (10, 30),
        (10, 30),
    ]
    assert spread(config, 0, floor=7.0) == (7, 7)
    assert spread(config, 1, floor=7.0) == pytest.approx((7, 10))


# SPEC §2: Retry-After is a floor under the delay, with the jitter added on top (A20).


@pytest.mark.parametrize(
    ("jitter", "floor", "low", "high"),
    [
        ("none", 20, 20, 20),
        ("none", 2, 8, 8),  # already longer
        ("seed", 20, 20, 20.8),
        ("proportional", 20, 20, 20.8),
        ("equal", 20, 20, 24),
        ("equal", 2, 4, 8),
        ("full", 20, 20, 28),
        ("full", 2, 2, 10),
        ("decorrelated", 20, 20, 31),  # prev = 4
        ("decorrelated", 100, 100, 111),  # a server's wish isn't cut by max_delay
    ],
)
def test_A20_retry_after_is_a_floor(jitter: str, floor: float, low: float, high: float) -> None:
    assert spread(config_of(jitter), 3, 4.0, floor) == pytest.approx((low, high))


@pytest.mark.parametrize("jitter", JITTERS)
@given(
    attempt=st.integers(0, 40), floor=st.floats(0, 600), u=st.floats(0, ALMOST_1), previous=st.floats(1, 30)
)
def test_A20_no_delay_is_shorter_than_the_floor_and_a_low_floor_changes_nothing(
    jitter: str, attempt: int, floor: float, u: float, previous: float
) -> None:
    config = config_of(jitter)
    delay = next_delay(config, attempt, previous, u, floor)
    assert delay >= floor
    if floor <= next_delay(config, attempt, previous, 0.0):
        assert delay == next_delay(config, attempt, previous, u)


@pytest.mark.parametrize(
    ("retry_after", "delay"),
    [
        (None, 1.0),
        (0.0, 1.0),
        (-5.0, 1.0),
        (nan, 1.0),
        (60.0, 60.0),
        (600.0, 600.0),
        (1e9, 600.0),
        (inf, 600.0),
    ],
)
def test_A20_retry_after_is_capped_and_junk_ignored(retry_after: float | None, delay: float) -> None:
    assert Backoff(config_of(), fixed(0.0)).next(retry_after) == delay
    assert Backoff(config_of(max_retry_after=5.0), fixed(0.0)).next(retry_after) == min(delay, 5.0)


# Counting


@pytest.mark.parametrize(("most", "delays"), [(10, 10), (1, 1), (0, 0)])
def test_A24_max_attempts_10_allows_10_retries(most: int, delays: int) -> None:
    backoff = Backoff(config_of(max_attempts=most), fixed(0.0))
    given_ = 0
    while not backoff.exhausted:
        backoff.next()
        given_ += 1
    assert (given_, backoff.attempts) == (delays, delays)


def test_max_attempts_none_means_no_limit_and_disabled_means_no_retry() -> None:
    backoff = Backoff(config_of(max_attempts=None), fixed(0.0))
    assert [backoff.next() for _ in range(1000)][-1] == 30.0
    assert not backoff.exhausted
    assert Backoff(config_of(enabled=False, max_attempts=None), fixed(0.0)).exhausted


def test_reset_starts_again_and_prev_too() -> None:
    backoff = Backoff(config_of("decorrelated"), fixed(ALMOST_1))
    first = [backoff.next() for _ in range(5)]
    assert first == pytest.approx([3, 9, 27, 30, 30])  # prev starts at base, and is what was slept
    backoff.reset()
    assert backoff.attempts == 0
    assert [backoff.next() for _ in range(5)] == first


def test_prev_is_capped_after_a_long_retry_after() -> None:
    backoff = Backoff(config_of("decorrelated"), fixed(0.1))
    assert backoff.next(500.0) == pytest.approx(500.2)
    assert backoff.next() == pytest.approx(1 + 0.1 * (3 * 30 - 1))
