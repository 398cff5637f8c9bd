"""The estimate of round trips, computed by hand."""

from __future__ import annotations

import pytest

from chatlab.sim.round_trips import RTO_MAX, RTO_MIN, RoundTrips


def test_before_a_sample_the_time_outs_are_a_second() -> None:
    assert RoundTrips().timeout == RoundTrips().probe == 1.0


def test_five_samples_by_hand() -> None:
    """The third is inflated; then the deviation falls by a quarter of its distance with each sample."""
    round_trips = RoundTrips()
    timeouts = list[float]()
    for sample in (0.08, 0.08, 1.08, 0.08, 0.08):
        round_trips.take(sample)
        timeouts.append(round_trips.timeout)
    # Smoothed: .08, .08, .205, .189375, .1757...; deviation: .04, .03, .2725, then less than it, so
    # 1/32 is no matter: .235625, .2040...; its largest: .05, .05, .2725, .26328125, .2484...
    third = 0.205 + 4 * 0.2725
    fourth = 0.189375 + 4 * (0.2725 + (0.235625 - 0.2725) / 4)
    deviation = 0.235625 + (0.109375 - 0.235625) / 4
    fifth = 0.189375 - 0.109375 / 8 + 4 * (0.26328125 + (deviation - 0.26328125) / 4)
    assert timeouts == pytest.approx([0.28, 0.28, third, fourth, fifth])


def test_a_short_round_trip_raises_the_deviation_by_an_eighth_of_what_a_long_one_does() -> None:
    short, long = RoundTrips(), RoundTrips()
    for round_trips in (short, long):
        round_trips.take(1.0)  # The deviation is 0.5.
        for _ in range(20):
            round_trips.take(1.0)
    short.take(0.2)
    long.take(1.8)
    deviation = 0.5 * 0.75**20
    assert short._estimator._deviation == pytest.approx(deviation + (0.8 - deviation) / 32)
    assert long._estimator._deviation == pytest.approx(deviation + (0.8 - deviation) / 4)


def test_the_deviation_has_a_floor() -> None:
    round_trips = RoundTrips()
    for _ in range(50):
        round_trips.take(0.08)
    assert round_trips.timeout == pytest.approx(0.08 + RTO_MIN)
    assert round_trips.probe == round_trips.timeout


def test_a_probe_comes_after_two_round_trips_and_a_delayed_ack() -> None:
    round_trips = RoundTrips()
    round_trips.take(0.6)
    assert round_trips.probe == pytest.approx(1.4)
    assert round_trips.timeout == pytest.approx(1.8)


def test_no_time_out_is_longer_than_two_minutes() -> None:
    round_trips = RoundTrips()
    round_trips.take(100.0)
    assert round_trips.timeout == round_trips.probe == RTO_MAX


def test_samples_count_from_their_time_on_in_the_order_of_their_times() -> None:
    round_trips, by_hand = RoundTrips(), RoundTrips()
    for one in (round_trips, by_hand):
        one.take(0.08)
    round_trips.note(2.0, 0.5)
    round_trips.note(1.0, 1.0)
    round_trips.take_samples(0.9)
    assert round_trips.timeout == by_hand.timeout
    round_trips.take_samples(2.0)
    for sample in (1.0, 0.5):
        by_hand.take(sample)
    assert round_trips.timeout == by_hand.timeout
