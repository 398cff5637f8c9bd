"""The estimate of the round trip, with samples by hand."""

from __future__ import annotations

import pytest

from chatlab.sim.retransmission import UNKNOWN, Estimator


def test_the_time_out_has_a_floor_of_200_ms_above_the_round_trip() -> None:
    assert Estimator(0.08).timeout == pytest.approx(0.28)
    assert Estimator(0.4).timeout == pytest.approx(0.4 + 4 * 0.2)
    assert UNKNOWN.timeout == UNKNOWN.probe == pytest.approx(1.0)


def test_the_probe_waits_for_two_round_trips_and_200_ms_and_no_longer_than_the_timer() -> None:
    assert Estimator(0.08).probe == pytest.approx(0.28)
    assert Estimator(0.4).probe == pytest.approx(1.0)


def test_a_long_round_trip_raises_the_time_out_at_once_and_short_ones_lower_it_slowly() -> None:
    estimator = Estimator(0.08)
    seen = []
    for sample in (0.38, 0.08, 0.08, 0.08, 0.08):
        estimator.take(sample)
        seen.append(estimator.timeout)
    # Mean 0.08 + 0.3/8; deviation 0.04 + (0.3 − 0.04)/4 = 0.105, which falls by a quarter of what is left.
    assert seen[0] == pytest.approx(0.1175 + 4 * 0.105)
    means = [0.1175, *(0.08 + 0.0375 * (7 / 8) ** number for number in range(1, 5))]
    deviations, spreads = [0.105], [0.105]
    for mean in means[:-1]:
        error = mean - 0.08
        before = deviations[-1]
        deviations.append(before + (error - before) / (32 if error > before else 4))
        spreads.append(spreads[-1] - (spreads[-1] - max(deviations[-1], 0.05)) / 4)
    assert seen == pytest.approx([mean + 4 * spread for mean, spread in zip(means, spreads, strict=True)])


def test_a_round_trip_that_is_suddenly_short_hardly_raises_the_time_out() -> None:
    estimator = Estimator(1.0)
    for _ in range(40):
        estimator.take(1.0)  # The deviation goes to 0.
    estimator.take(0.1)
    assert estimator.timeout == pytest.approx(1.0 - 0.9 / 8 + 4 * 0.05, abs=1e-3)
