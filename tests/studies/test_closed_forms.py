"""The closed forms agree with the figures of independent Monte Carlo runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf

import pytest

from chatlab.errors import SettingsError
from chatlab.studies.closed_forms import (
    detection_span,
    false_alarm_after,
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


def test_false_alarms() -> None:
    q = 1 - 0.99**2
    assert false_alarm_after(30.0, 0.01) == pytest.approx(30.0 / q)
    assert false_alarm_after(30.0, 0.01, 2) == pytest.approx(30.0 * (1 + q) / q**2)
    assert false_alarm_after(30.0, 0.0) == inf
    assert false_alarm_after(30.0, 1.0, 3) == 90.0


@pytest.mark.parametrize(
    ("law", "numbers"),
    [
        (short_poll_cost, (-1.0, 3.0, 0.04)),
        (long_poll_cost, (1.0, float("nan"), 0.04)),
        (push_cost, (inf,)),
        (detection_span, (30.0, -1.0)),
        (false_alarm_after, (30.0, 1.5)),
        (partial(false_alarm_after, misses=0), (30.0, 0.5)),
    ],
    ids=["rate", "hold", "delay", "timeout", "loss", "misses"],
)
def test_numbers_that_make_no_sense_are_named(law: Callable[..., object], numbers: tuple[float, ...]) -> None:
    with pytest.raises(SettingsError, match="give a "):
        law(*numbers)
