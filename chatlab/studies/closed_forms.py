"""Closed forms for polling and heartbeats, to compare with the metrics of runs.

Times are in seconds. `delay` is one-way. Messages arrive at `rate` a second (Poisson). Each formula assumes
steady traffic, without jitter or loss unless it says otherwise.
"""

from __future__ import annotations

from math import exp, inf

from msgspec import Struct

from chatlab.errors import SettingsError


class Cost(Struct, frozen=True):
    """The cost of a delivered message: requests per message, mean `latency`, and `latency_max`.

    Latency is seconds from the server's log to the screen.
    """

    requests: float
    latency: float
    latency_max: float


def push_cost(delay: float) -> Cost:
    """Return the cost over an open connection: a WebSocket or an event stream.

    Errors: `SettingsError` for a number below 0.
    """
    _check(delay=delay)
    return Cost(0.0, delay, delay)


def short_poll_cost(rate: float, interval: float, delay: float) -> Cost:
    """Return the cost of polling every `interval`: the latency is U(0, interval) plus one delay.

    Source: renewal theory; there is one poll in each interval, with or without messages.
    Errors: `SettingsError` for a number below 0.
    """
    _check(rate=rate, interval=interval, delay=delay)
    return Cost(_ratio(1.0, rate * interval), interval / 2 + delay, interval + delay)


def long_poll_cost(rate: float, hold: float, delay: float) -> Cost:
    """Return the cost of requests that the server holds for up to `hold` seconds.

    Most messages answer a held request at once. Messages between two polls wait for the next one.

    Source: the renewal-reward theorem. A cycle is the gap, a round trip without a request at the server,
    and the time for which the next request is held. The formula assumes that the transport polls again at
    once (`min_gap` is 0), and that there are many senders. A sender over HTTP has one POST in flight at a
    time, so two of their messages are never in one gap. Fewer senders therefore cause more requests, up to
    1 per message. The formula is right within 2 % if each sender has fewer than one message in ten round
    trips. Two senders with five messages a second each, at a round trip of 80 ms, cause 8 % more requests.

    Errors: `SettingsError` for a number below 0.
    """
    _check(rate=rate, hold=hold, delay=delay)
    gap = 2 * delay
    empty = exp(-rate * gap)
    held = empty * (1 - exp(-rate * hold)) / rate if rate else hold
    cycle = gap + held
    waiting = gap**2 / (2 * cycle) if cycle else 0.0
    return Cost(_ratio(1.0, rate * cycle), delay + waiting, 3 * delay)


def detection_span(interval: float, timeout: float) -> tuple[float, float]:
    """Return the minimum and maximum time from the silence of a connection to its detection by heartbeat.

    The time is uniform between the two, because the connection may go silent at any time between two
    heartbeats. It is detected when a heartbeat has been unanswered for `timeout`, or when the next one is
    due, whichever comes first.

    Errors: `SettingsError` for a number below 0.
    """
    _check(interval=interval, timeout=timeout)
    wait = min(timeout, interval)
    return wait, interval + wait


def false_alarm_after(interval: float, loss: float, misses: int = 1) -> float:
    """Return the mean time until a healthy connection is taken for dead.

    Each direction loses the share `loss` of its packets. `misses` unanswered heartbeats in a row cause the
    false alarm.

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
    return _ratio(interval * (1 - alarm), (1 - missed) * alarm)


def _ratio(amount: float, count: float) -> float:
    return amount / count if count else inf


def _check(**durations: float) -> None:
    for name, value in durations.items():
        if not 0 <= value < inf:
            raise SettingsError(f"{name}: give a number from 0 up, got {value!r}")
