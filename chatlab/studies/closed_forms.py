"""Closed forms: what theory says of polling and heartbeats, to lay beside what a run measures.

Times are seconds, `delay` is one way, and messages arrive at a rate (Poisson). Each law is for steady traffic
over a network without jitter or loss but where it says otherwise.
"""

from __future__ import annotations

from math import exp, inf

from msgspec import Struct

from chatlab.errors import SettingsError


class Cost(Struct, frozen=True):
    """The cost of a delivered message, and its delay: requests per message, and seconds from the server's
    log to the screen in the mean and at most."""

    requests: float
    latency: float
    latency_max: float


def push_cost(delay: float) -> Cost:
    """Return the cost of a connection that is open already: WebSocket or an event stream.

    Errors: `SettingsError` for a number below 0.
    """
    _check(delay=delay)
    return Cost(0.0, delay, delay)


def short_poll_cost(rate: float, interval: float, delay: float) -> Cost:
    """Return the cost of asking every `interval`: latency is U(0, interval) and the way back.

    Source: renewal theory; a poll comes every interval, whether something is there or not.
    Errors: `SettingsError` for a number below 0.
    """
    _check(rate=rate, interval=interval, delay=delay)
    return Cost(_each(1.0, rate * interval), interval / 2 + delay, interval + delay)


def long_poll_cost(rate: float, hold: float, delay: float) -> Cost:
    """Return the cost of requests that the server holds up to `hold`: most messages are answers at once, and
    those that fall between two polls wait for the next one.

    Source: renewal-reward; a cycle is the gap g of a round trip, in which nobody asks, and the time held.
    The transport asks at once (`min_gap` is 0), and there are many senders. A sender who posts over HTTP has
    one request under way at a time, so two of their messages are never within one gap: the fewer the senders,
    the more requests, up to 1 a message. At fewer than one message of each sender in ten round trips the law
    is right within 2 %; two senders with five messages a second each, at 80 ms a round trip, make 8 % more.

    Errors: `SettingsError` for a number below 0.
    """
    _check(rate=rate, hold=hold, delay=delay)
    gap = 2 * delay
    empty = exp(-rate * gap)
    held = empty * (1 - exp(-rate * hold)) / rate if rate else hold
    cycle = gap + held
    waiting = gap**2 / (2 * cycle) if cycle else 0.0
    return Cost(_each(1.0, rate * cycle), delay + waiting, 3 * delay)


def detection_span(interval: float, timeout: float) -> tuple[float, float]:
    """Return how long after a connection went silent a heartbeat notices it: at least, and at most.

    It is spread evenly between the two, as the connection may go silent at any time between two heartbeats.
    One that is unanswered for `timeout` tells, or when the next is due.

    Errors: `SettingsError` for a number below 0.
    """
    _check(interval=interval, timeout=timeout)
    wait = min(timeout, interval)
    return wait, interval + wait


def false_alarm_after(interval: float, loss: float, misses: int = 1) -> float:
    """Return the mean time until a healthy connection is taken for dead, where each leg loses a share `loss`
    of the heartbeats and `misses` in a row are an alarm.

    Source: the mean wait for a run of k failures in Bernoulli trials, (1 - qᵏ)/((1 - q)·qᵏ).
    Errors: `SettingsError` for an interval below 0, a loss beyond 0 to 1, or fewer misses than 1.
    """
    _check(interval=interval)
    if not 0 <= loss <= 1 or misses < 1:
        raise SettingsError(f"give a loss from 0 to 1 and misses from 1 up, got {loss!r} and {misses!r}")
    missed = 1 - (1 - loss) ** 2
    if missed == 1:
        return interval * misses
    alarm = missed**misses
    return _each(interval * (1 - alarm), (1 - missed) * alarm)


def _each(amount: float, count: float) -> float:
    return amount / count if count else inf


def _check(**durations: float) -> None:
    for name, value in durations.items():
        if not 0 <= value < inf:
            raise SettingsError(f"{name}: give a number from 0 up, got {value!r}")
