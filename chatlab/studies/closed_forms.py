"""Closed forms for polling and heartbeats, to compare with the metrics of runs.

Times are in seconds. `delay` is one-way. Messages arrive at `rate` a second (Poisson). Each formula assumes
steady traffic, without jitter or loss unless it says otherwise.
"""

from __future__ import annotations

from bisect import bisect_right
from math import exp, inf

from msgspec import Struct

from chatlab.errors import SettingsError

RTO_FLOOR = 0.2
"""Least seconds by which TCP's retransmission time-out exceeds a round trip. Source: Linux, TCP_RTO_MIN."""


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


def late_pong_share(timeout: float, loss: float, delay: float) -> float:
    """Return the least share of a WebSocket's heartbeats whose pong comes later than `timeout`.

    Each direction loses the share `loss` of its packets. Ping and pong are lone TCP segments. A lost one is
    sent again after the retransmission time-out (RTO), and then 2, 4, 8 … RTO after the first time. So the
    loss delays a pong, and hardly ever loses it.

    The RTO is the least one: a round trip and 0.2 s. With much loss the sender's estimate of the round trip
    varies more and its RTO grows, and so does the share: at 10 % loss the simulated one
    is ten times as large and more. `pong_delays` simulates it.

    Source: RFC 6298 §5, RFC 8985 §7, and Linux's least RTO.
    Errors: `SettingsError` for a duration below 0, or a loss beyond 0 to 1.
    """
    _check(timeout=timeout, delay=delay)
    _check_share(loss)
    room = timeout - 2 * delay
    if room < 0:
        return 1.0
    sent_at = [0.0, 2 * delay + RTO_FLOOR]
    while sent_at[-1] <= room:
        sent_at.append(2 * sent_at[-1])
    late = loss ** (len(sent_at) - 1)
    for losses, at in enumerate(sent_at[:-1]):
        late += (1 - loss) * loss**losses * loss ** bisect_right(sent_at, room - at)
    return late


def datagram_alarm_after(interval: float, loss: float, misses: int = 1) -> float:
    """Return the mean time until heartbeats of datagrams, such as UDP's, take a healthy peer for dead.

    Nobody sends a lost datagram again. It isn't so with a WebSocket: see `late_pong_share`. Each direction
    loses the share `loss`. `misses` unanswered heartbeats in a row cause the false alarm.

    Source: the mean wait for a run of k failures in Bernoulli trials, (1 - qᵏ)/((1 - q)·qᵏ).
    Errors: `SettingsError` for an interval below 0, a loss beyond 0 to 1, or fewer misses than 1.
    """
    _check(interval=interval)
    _check_share(loss)
    if misses < 1:
        raise SettingsError(f"misses: give a number from 1 up, got {misses!r}")
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


def _check_share(loss: float) -> None:
    if not 0 <= loss <= 1:
        raise SettingsError(f"loss: give a share from 0 to 1, got {loss!r}")
