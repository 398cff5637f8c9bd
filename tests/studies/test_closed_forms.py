"""The closed forms agree with the figures of independent Monte Carlo runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf

import pytest

from chatlab.errors import SettingsError
from chatlab.studies.closed_forms import (
    datagram_alarm_after,
    detection_span,
    late_pong_share,
    long_poll_cost,
    push_cost,
    short_poll_cost,
)


def test_short_polling_every_3_s() -> None:
    cost = short_poll_cost(0.2, 3.0, 0.04)
    assert cost.latency == pytest.approx(1.54)
    assert cost.latency_max == pytest.approx(3.04)
    assert cost.requests == pytest.approx(1.667, abs=5e-4)


@pytest.mark.parametrize(("rate", "latency", "requests"), [(0.2, 0.0406, 1.0023), (5.0, 0.0549, 0.934)])
def test_long_polling_with_30_s_hold(rate: float, latency: float, requests: float) -> None:
    cost = long_poll_cost(rate, 30.0, 0.04)
    assert cost.latency == pytest.approx(latency, rel=2e-3)
    assert cost.requests == pytest.approx(requests, rel=1e-3)
    assert cost.latency_max == pytest.approx(0.12)


def test_without_messages_every_request_is_for_nothing() -> None:
    assert short_poll_cost(0.0, 3.0, 0.04).requests == inf
    assert long_poll_cost(0.0, 25.0, 0.04).requests == inf


def test_without_a_delay_nothing_waits() -> None:
    assert long_poll_cost(1.0, 25.0, 0.0).latency == 0.0
    assert long_poll_cost(1.0, 0.0, 0.0).latency == 0.0
    assert push_cost(0.04).latency == 0.04
    assert push_cost(0.04).requests == 0


def test_a_silent_connection_is_noticed_within_interval_and_timeout() -> None:
    low, high = detection_span(30.0, 10.0)
    assert (low, high) == (10.0, 40.0)
    assert (low + high) / 2 == 25.0
    assert detection_span(5.0, 10.0) == (5.0, 10.0), "as the next heartbeat finds the last unanswered"


def test_false_alarms_of_datagrams() -> None:
    q = 1 - 0.99**2
    assert datagram_alarm_after(30.0, 0.01) == pytest.approx(30.0 / q)
    assert datagram_alarm_after(30.0, 0.01, 2) == pytest.approx(30.0 * (1 + q) / q**2)
    assert datagram_alarm_after(30.0, 0.0) == inf
    assert datagram_alarm_after(30.0, 1.0, 3) == 90.0


@pytest.mark.parametrize(
    ("timeout", "share"),
    [
        (0.07, 1.0),  # less than a round trip
        (0.1, 1 - 0.99**2),  # ping and pong must both get through
        (0.5, 1 - 0.99**2 * (1 + 2 * 0.01)),  # one loss takes 0.28 s
        (10.0, 2 * 0.01**7),  # a segment that is lost seven times is sent again after 17.9 s
    ],
)
def test_a_pong_is_late_if_its_segments_are_lost_again_and_again(timeout: float, share: float) -> None:
    assert late_pong_share(timeout, 0.01, 0.04) == pytest.approx(share, rel=0.05, abs=0.0)


def test_at_the_ends_all_pongs_or_none_are_late() -> None:
    assert late_pong_share(10.0, 0.0, 0.04) == 0.0
    assert late_pong_share(10.0, 1.0, 0.04) == 1.0


@pytest.mark.parametrize(
    ("law", "numbers"),
    [
        (short_poll_cost, (-1.0, 3.0, 0.04)),
        (long_poll_cost, (1.0, float("nan"), 0.04)),
        (push_cost, (inf,)),
        (detection_span, (30.0, -1.0)),
        (late_pong_share, (10.0, -0.1, 0.04)),
        (late_pong_share, (-1.0, 0.1, 0.04)),
        (datagram_alarm_after, (30.0, 1.5)),
        (partial(datagram_alarm_after, misses=0), (30.0, 0.5)),
    ],
    ids=["rate", "hold", "delay", "timeout", "share", "wait", "loss", "misses"],
)
def test_numbers_that_make_no_sense_are_named(law: Callable[..., object], numbers: tuple[float, ...]) -> None:
    with pytest.raises(SettingsError, match="give a "):
        law(*numbers)
