"""The metrics of a run, computed from the records of all people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from chatlab.experiment.column_recorder import (
    CONNECTED,
    DISCONNECTED,
    ERROR,
    STATES,
    STATUSES,
    Column,
    ColumnRecorder,
    is_first,
    is_last,
)
from chatlab.experiment.deliveries import Deliveries, Population
from chatlab.experiment.percentiles import Value, percentiles
from chatlab.experiment.recovery import Incident, first_fault, recovery
from chatlab.experiment.series import per_second
from chatlab.messages import DeliveryState


def measure(
    recorder: ColumnRecorder, population: Population, duration: float, faults: Sequence[Incident]
) -> dict[str, Value]:
    """Return the metrics of a run. `faults` are in the order of their beginnings.

    - sent, acked, dropped, expired, failed: messages that an outbox accepted, and their final states;
      *pending* messages have no final state, *refused* messages were not accepted.
    - delivered: (message, reader) pairs that were shown; *duplicated*: number of repeated deliveries.
    - out_of_order: deliveries, first or repeated, after a message that stands later in the server's log.
    - lost: owed pairs that weren't shown, though the sender has an ack, and that can't be in flight any more.
      One of these must hold: the reader was shown a message that was sent after that ack; at the end the
      reader has a working link with nothing in flight; a poll was answered for which the server read its log
      after that ack. Without acks, a message counts as acknowledged when it, or a later one of the same
      sender, has come back to its sender.
    - owed: pairs that were shown or should have been; *undelivered* ones were never shown. A pair that wasn't
      shown is *in_flight*, and not owed yet, if it isn't lost, its message is no older than 99 % of the shown
      pairs took (at least 1 s), the reader is connected at the end, and the sender is, too, or has an ack.
      A message that was dropped, expired or failed isn't in flight. A reader who has left, and doesn't come
      back, isn't owed what was sent from then on, and what was in flight then.
    - latency: from sending to showing, of owed pairs. An undelivered pair counts as infinite.
    - recovery: from the end of the fault that broke a person's connection until the person is connected again
      (0 if that is earlier); if a node broke it while others served, from the loss of the connection.
      *broken* counts these connections. *unrecovered* people aren't connected again by the end of the run,
      and count as infinite. The fault that broke it is the latest that had begun and had the person in its
      scope. A fault that begins after the connection fell silent, or within a partition, doesn't count. If a
      fault breaks connections, one that only slows them, and begins before its effect is noticed, doesn't
      count either.
    - last_back: the longest recovery of those who came back; it says nothing about the *unrecovered* people.
    - gave_up: people whose client makes no further attempt at the end. last_in_at: the time at which the last
      person who got in was connected for the first time. never_connected: people who asked to be connected,
      and never were by the end; they had no connection to lose, so no recovery counts them.
    - attempts_per_second_max_after: the maximum since the first fault began; queue_max_after: since the
      second in which it began. None without faults.
    - needs_queue_max: the longest queue at a service that the server needs, the call under way included.
      needs_refused: calls that found a queue full. needs_timed_out: calls whose answer came too late.
    - time_…: seconds in each status, summed over all people.
    """
    states = np.bincount(recorder.states, minlength=len(STATES))
    count = {state: int(states[number]) for number, state in enumerate(STATES)}
    shown = Deliveries(recorder, population)
    latency = shown.latency()
    everybody = np.zeros_like(population.rooms)
    lost, undelivered, in_flight = map(int, shown.missing(latency, duration, everybody)[0])
    broken = recovery(recorder, faults)
    seconds, unrecovered = broken.seconds, len(broken.unrecovered)
    return {
        "sent": int(states.sum()),
        "acked": count[DeliveryState.ACKED],
        "delivered": len(shown.pairs),
        "lost": lost,
        "duplicated": shown.duplicated,
        "out_of_order": shown.out_of_order(),
        "dropped": count[DeliveryState.DROPPED],
        "expired": count[DeliveryState.EXPIRED],
        "failed": count[DeliveryState.FAILED],
        "pending": count[DeliveryState.QUEUED] + count[DeliveryState.SENT],
        "refused": recorder.refusals,
        "resyncs": recorder.resyncs,
        "owed": len(latency) + undelivered,
        "undelivered": undelivered,
        "in_flight": in_flight,
        **percentiles("latency", latency, undelivered, (50, 95, 99)),
        "broken": len(seconds) + unrecovered,
        "unrecovered": unrecovered,
        **percentiles("recovery", seconds, unrecovered, (50, 99)),
        "last_back": float(seconds.max()) if len(seconds) else None,
        "gave_up": len(_given_up(recorder)),
        "never_connected": len(shown.never_in),
        "last_in_at": shown.last_in_at,
        "attempts": len(recorder.attempted_at),
        "attempts_per_second_max": int(per_second(recorder.attempted_at, duration).max()),
        "attempts_per_second_max_after": _attempts_after(
            recorder.attempted_at, duration, first_fault(faults, duration)
        ),
        **_times(recorder, len(population.rooms), duration),
    }


def measure_groups(
    recorder: ColumnRecorder,
    population: Population,
    duration: float,
    faults: Sequence[Incident],
    names: Sequence[str],
) -> dict[str, dict[str, Value]]:
    """Return some metrics of each group of people, by its name. `population` has groups.

    What was owed, shown and lost belongs to the reader's group, everything else to the person's own.
    """
    groups, count = population.groups, len(names)
    assert groups is not None
    shown = Deliveries(recorder, population)
    latency = shown.latency()
    readers = shown.owed_readers()
    missing = shown.missing(latency, duration, groups, count)
    broken = recovery(recorder, faults)
    latencies = _split(latency, groups[readers], count)
    recoveries = _split(broken.seconds, groups[broken.people], count)
    unrecovered = np.bincount(groups[broken.unrecovered], minlength=count)
    attempts = np.bincount(groups[recorder.attempting], minlength=count)
    people = np.bincount(groups, minlength=count)
    never = np.bincount(groups[shown.never_in], minlength=count)
    gave_up = np.bincount(groups[_given_up(recorder)], minlength=count)
    connected = np.bincount(groups, weights=_connected_time(recorder, len(groups), duration), minlength=count)
    return {
        name: {
            "people": int(people[number]),
            "attempts": int(attempts[number]),
            "broken": len(recoveries[number]) + int(unrecovered[number]),
            "unrecovered": int(unrecovered[number]),
            **percentiles("recovery", recoveries[number], int(unrecovered[number]), (50, 99)),
            "owed": len(latencies[number]) + int(undelivered),
            "undelivered": int(undelivered),
            **percentiles("latency", latencies[number], int(undelivered), (50, 95, 99)),
            "lost": int(lost),
            "time_connected": float(connected[number]),
            "never_connected": int(never[number]),
            "gave_up": int(gave_up[number]),
        }
        for number, (name, (lost, undelivered, _)) in enumerate(zip(names, missing, strict=True))
    }


def _split(values: Column, groups: Column, count: int) -> list[Column]:
    """Return the values of each group."""
    order = np.argsort(groups, kind="stable")
    ends = np.searchsorted(groups[order], np.arange(1, count))
    return np.split(values[order], ends)


def _attempts_after(times: Column, duration: float, begins_at: float | None) -> Value:
    return None if begins_at is None else int(per_second(times[times >= begins_at], duration).max())


def _given_up(recorder: ColumnRecorder) -> Column:
    """Return the people whose last status is that of a client that has given up."""
    people, statuses, _ = recorder.changes
    last = is_last(people)
    given_up: Column = people[last & (statuses == ERROR)]
    return given_up


def _times(recorder: ColumnRecorder, count: int, duration: float) -> Mapping[str, Value]:
    people, statuses, at = recorder.changes
    spent = np.bincount(statuses, weights=_spent(recorder, duration), minlength=len(STATUSES))
    spent = spent.astype(np.float64)
    first = is_first(people)
    before = at[first].sum() + (count - np.count_nonzero(first)) * duration
    spent[DISCONNECTED] += before
    return {f"time_{status}": float(spent[number]) for number, status in enumerate(STATUSES)}


def _connected_time(recorder: ColumnRecorder, count: int, duration: float) -> Column:
    """Return the seconds for which each person was connected."""
    people, statuses, _ = recorder.changes
    spent = np.where(statuses == CONNECTED, _spent(recorder, duration), 0.0)
    return np.bincount(people, weights=spent, minlength=count)


def _spent(recorder: ColumnRecorder, duration: float) -> Column:
    """Return the seconds from each change of status to the person's next one, or to the end of the run."""
    people, _, at = recorder.changes
    until: Column = np.where(is_last(people), duration, np.append(at[1:], duration)[: len(at)])
    return until - at
