"""The metrics of a run, computed from the records of all people.

People and messages are numbered as in the recorder. The *readers* of a message are all people of its room,
including its sender. It is *owed* to a reader if it was sent at or after the reader's first connection, and
either was shown or can't be in flight any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import inf
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from chatlab.experiment.column_recorder import STATES, STATUSES, Column, ColumnRecorder
from chatlab.messages import ConnectionStatus, DeliveryState

Value = int | float | None
"""A metric: a count, seconds or a rate; None if there is nothing to measure, inf for times without an end."""

NEVER: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"latency": ("undelivered", "owed"), "recovery": ("unrecovered", "broken")}
)
"""For each kind of percentile: the counts of values that are infinite, and of all values."""

NOTICED = 10.0
"""Seconds after the end of a fault in which clients notice by time-outs that connections are broken."""
REPORTED = 1.0
"""Seconds after the end of a fault in which the reset of a connection arrives at the client."""

IN_FLIGHT = 1.0
"""Age in seconds up to which a message may be in flight in any run."""

LATENCY_EDGES: NDArray[np.float64] = np.geomspace(1e-3, 1e3, 61)
"""Edges of the latency histogram's bins in seconds. The first and last bin also count values beyond them."""

_CONNECTED = STATUSES.index(ConnectionStatus.CONNECTED)
_DISCONNECTED = STATUSES.index(ConnectionStatus.DISCONNECTED)
_ERROR = STATUSES.index(ConnectionStatus.ERROR)
_LOST = [STATUSES.index(ConnectionStatus.RECONNECTING), _ERROR]
_GIVEN_UP = [
    STATES.index(state) for state in (DeliveryState.DROPPED, DeliveryState.EXPIRED, DeliveryState.FAILED)
]
_MAX_CELLS = 1 << 22


class Population(Struct, frozen=True):
    """The room of each person, and the time `heard_until` up to which the person should have every message.

    At the end of the run, a message that the server had before `heard_until` must have been shown, or it is
    lost. inf covers all messages. People without `acks` don't learn the state of their messages; None: all
    have them. `groups` has the number of each person's group; None: there are no groups.
    """

    rooms: Column
    heard_until: Column
    acks: Column | None = None
    groups: Column | None = None


class Incident(NamedTuple):
    """A fault, from its beginning to its end. `hit` has the people in its scope; None: all.

    If a connection was open at the beginning and is lost before `deaf_until`, this fault is the cause, even
    if another one begins in between. A later fault of less `severity` isn't the cause if the connection is
    lost at most `NOTICED` seconds after the end of this one, unless it has a severity of 1, and begins at the
    same time or more than `REPORTED` seconds after that end. A fault that `leaves_half_open` connections
    doesn't end for them. If `others_serve` while it lasts, recovery counts from the loss of the connection.
    """

    begins_at: float
    ends_at: float
    hit: Column | None = None
    deaf_until: float = -np.inf
    severity: int = 2
    leaves_half_open: bool = False
    others_serve: bool = False


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
    shown = _Deliveries(recorder, population)
    latency = shown.latency()
    everybody = np.zeros_like(population.rooms)
    lost, undelivered, in_flight = map(int, shown.missing(latency, duration, everybody)[0])
    broken = _recovery(recorder, faults)
    recovery, unrecovered = broken.seconds, len(broken.unrecovered)
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
        **_percentiles("latency", latency, undelivered, (50, 95, 99)),
        "broken": len(recovery) + unrecovered,
        "unrecovered": unrecovered,
        **_percentiles("recovery", recovery, unrecovered, (50, 99)),
        "last_back": float(recovery.max()) if len(recovery) else None,
        "gave_up": len(_given_up(recorder)),
        "never_connected": len(shown.never_in),
        "last_in_at": shown.last_in_at,
        "attempts": len(recorder.attempted_at),
        "attempts_per_second_max": int(_per_second(recorder.attempted_at, duration).max()),
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
    shown = _Deliveries(recorder, population)
    latency = shown.latency()
    readers = shown.owed_readers()
    missing = shown.missing(latency, duration, groups, count)
    broken = _recovery(recorder, faults)
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
            **_percentiles("recovery", recoveries[number], int(unrecovered[number]), (50, 99)),
            "owed": len(latencies[number]) + int(undelivered),
            "undelivered": int(undelivered),
            **_percentiles("latency", latencies[number], int(undelivered), (50, 95, 99)),
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


def series(recorder: ColumnRecorder, duration: float) -> dict[str, list[int]]:
    """Return counts of each second: attempts, messages sent and delivered, people connected at its end.

    A world adds the server's requests, and the maximum length of its accept `queue` and of its `work` queue.
    """
    return {
        "attempts": _per_second(recorder.attempted_at, duration).tolist(),
        "sent": _per_second(recorder.accepted_at, duration).tolist(),
        "delivered": _per_second(recorder.deliveries[2], duration).tolist(),
        "connected": _connected(recorder, duration),
    }


class Latencies:
    """The latencies of all owed pairs that were shown: from sending to showing, in seconds."""

    def __init__(self, recorder: ColumnRecorder, population: Population) -> None:
        shown = _Deliveries(recorder, population)
        self._seconds = shown.latency()
        self._shown_at = shown.shown_at()

    def histogram(self) -> list[int]:
        """Return how many pairs were shown with a latency in each bin of `LATENCY_EDGES`."""
        seconds = np.clip(self._seconds, LATENCY_EDGES[0], LATENCY_EDGES[-1])
        counts: list[int] = np.histogram(seconds, LATENCY_EDGES)[0].tolist()
        return counts

    def by_second(self, seconds: int) -> dict[str, list[float | None]]:
        """Return percentiles of the latencies of the pairs that were shown in each second; None: there were
        none. They are interpolated linearly."""
        second = self._shown_at.astype(np.int64)
        ordered = self._seconds[np.lexsort((self._seconds, second))]
        counts = np.bincount(second, minlength=seconds)[:seconds]
        ends = np.cumsum(counts)
        there = counts > 0
        first, last = (ends - counts)[there], ends[there] - 1
        columns: dict[str, list[float | None]] = {}
        for q in (50, 99):
            rank = first + (last - first) * q / 100
            below = rank.astype(np.int64)
            above = np.minimum(below + 1, last)
            values = ordered[below] + (rank - below) * (ordered[above] - ordered[below])
            column: list[float | None] = [None] * seconds
            for at, value in zip(np.flatnonzero(there).tolist(), values.tolist(), strict=True):
                column[at] = value
            columns[f"latency_p{q}"] = column
        return columns


def first_fault(faults: Sequence[Incident], duration: float) -> float | None:
    """Return the time at which the first fault begins; None: no fault begins before the end of the run."""
    return faults[0].begins_at if faults and faults[0].begins_at < duration else None


def read_infinite(metrics: Mapping[str, Value]) -> dict[str, Value]:
    """Return metrics that were read from JSON, which has null for inf."""
    return {
        name: inf if value is None and metrics.get(_counts(name)[0]) else value
        for name, value in metrics.items()
    }


def describe_never(name: str, metrics: Mapping[str, Value]) -> str:
    """Return the words for an infinite metric, with the share of infinite values, such as "never (12 %)"."""
    never, known = (metrics.get(count) or 0 for count in _counts(name))
    return f"never ({describe_share(never / known)})" if known else "never"


def describe_share(share: float) -> str:
    """Return a share as a percentage, such as "12 %"."""
    return f"{100 * share:.2g} %" if share < 0.995 else "100 %"


def _counts(name: str) -> tuple[str, str]:
    return NEVER.get(name.split("_")[0], ("", ""))


def percentile(values: Column, q: float, never: int = 0) -> float:
    """Return a percentile, interpolated linearly, of sorted values and `never` infinite ones."""
    rank = (len(values) + never - 1) * q / 100
    below, above = (float(values[at]) if at < len(values) else inf for at in (int(rank), int(np.ceil(rank))))
    return below if below == above else below + (rank - int(rank)) * (above - below)


def _percentiles(name: str, values: Column, never: int, of: Sequence[int]) -> Mapping[str, Value]:
    values = np.sort(values)
    known = len(values) + never
    return {f"{name}_p{q}": percentile(values, q, never) if known else None for q in of}


def _attempts_after(times: Column, duration: float, begins_at: float | None) -> Value:
    return None if begins_at is None else int(_per_second(times[times >= begins_at], duration).max())


def _per_second(times: Column, duration: float) -> Column:
    return np.bincount(times.astype(np.int64), minlength=int(np.ceil(duration)))


class _Deliveries:
    """The deliveries, and the distinct (message, reader) pairs."""

    def __init__(self, recorder: ColumnRecorder, population: Population) -> None:
        self._recorder = recorder
        self._population = population
        self._message, self._reader, self._at, self._position = recorder.deliveries
        keys = self._message * len(population.rooms) + self._reader
        self.pairs, self._first = np.unique(keys, return_index=True)
        self.duplicated = len(keys) - len(self.pairs)
        people, statuses, at = recorder.changes
        self._connected_at = np.full(len(population.rooms), np.inf)
        np.minimum.at(self._connected_at, people[statuses == _CONNECTED], at[statuses == _CONNECTED])
        last = np.append(people[1:] != people[:-1], True)[: len(people)]
        self._online = np.zeros(len(population.rooms), dtype=bool)
        self._online[people[last & (statuses == _CONNECTED)]] = True
        self._left_at = np.full(len(population.rooms), np.inf)
        left = last & (statuses == _DISCONNECTED)
        self._left_at[people[left]] = at[left]

    @property
    def last_in_at(self) -> float | None:
        """The time of the latest first connection; None: nobody was connected."""
        came = self._connected_at[np.isfinite(self._connected_at)]
        return float(came.max()) if len(came) else None

    @property
    def never_in(self) -> Column:
        """The people who asked to be connected, and never were."""
        asked = np.unique(self._recorder.changes[0])
        never: Column = asked[np.isinf(self._connected_at[asked])]
        return never

    def latency(self) -> Column:
        """The latency of each owed pair that was shown."""
        return (self._at[self._first] - self._recorder.accepted_at[self._message[self._first]])[self._owed()]

    def shown_at(self) -> Column:
        """The time at which each of these was shown."""
        return self._at[self._first][self._owed()]

    def owed_readers(self) -> Column:
        """Return the reader of each pair of `latency`."""
        return self._reader[self._first][self._owed()]

    def _owed(self) -> Column:
        accepted_at = self._recorder.accepted_at[self._message[self._first]]
        owed: Column = accepted_at >= self._connected_at[self._reader[self._first]]
        return owed

    def out_of_order(self) -> int:
        """Count the deliveries of messages that precede, in the log, one that the reader was shown before."""
        if not len(self._reader):
            return 0
        order = np.argsort(self._reader, kind="stable")
        _, rank = np.unique(self._position[order], return_inverse=True)
        height = self._reader[order] * (len(order) + 1) + rank
        return int(np.count_nonzero(height < np.maximum.accumulate(height)))

    def missing(self, latency: Column, duration: float, groups: Column, number: int = 1) -> Column:
        """Return the numbers of lost pairs, of all undelivered ones, and of those in flight.

        The array has a row for each of a `number` of groups of readers.
        """
        recorder, population = self._recorder, self._population
        accepted_at, senders = recorder.accepted_at, recorder.senders
        acked_at = recorder.acked_at
        if population.acks is not None:
            acked_at = np.where(population.acks[senders], acked_at, self._echoed_at())
        given_up = np.isin(recorder.states, _GIVEN_UP)
        gone_up = ~given_up & (np.isfinite(acked_at) | self._online[senders])
        latest = np.full(len(population.rooms), -np.inf)
        np.maximum.at(latest, self._reader, accepted_at[self._message])
        due_until = np.maximum(population.heard_until, latest)
        usual = max(IN_FLIGHT, float(np.percentile(latency, 99, method="higher")) if len(latency) else 0.0)
        until = np.minimum(self._left_at, duration)
        present = self._online | np.isfinite(self._left_at)
        counts = np.zeros((number, 3), dtype=np.int64)
        for message, reader in self._missing():
            lost = acked_at[message] < due_until[reader]
            recent = until[reader] - accepted_at[message] <= usual
            left = accepted_at[message] >= self._left_at[reader]
            in_flight = recent & gone_up[message] & present[reader] & ~left & ~lost
            for place, some in enumerate((lost, ~(in_flight | left) | lost, in_flight)):
                counts[:, place] += np.bincount(groups[reader[some]], minlength=number)
        return counts

    def _missing(self) -> Iterator[tuple[Column, Column]]:
        """Yield the messages and readers of the pairs that were sent to a reader, and not shown, in parts."""
        accepted_at = self._recorder.accepted_at
        room_of = self._population.rooms[self._recorder.senders]
        by_room = np.argsort(room_of, kind="stable")
        for messages in np.split(by_room, _starts(room_of[by_room])):
            if not len(messages):
                return
            readers = np.flatnonzero(self._population.rooms == room_of[messages[0]])
            step = max(1, _MAX_CELLS // len(readers))
            for some in (messages[start : start + step] for start in range(0, len(messages), step)):
                message, reader = np.nonzero(accepted_at[some, None] >= self._connected_at[readers])
                message, reader = some[message], readers[reader]
                missing = ~self._shown(message * len(self._population.rooms) + reader)
                yield message[missing], reader[missing]

    def _echoed_at(self) -> Column:
        """Return when each message, or a later one of the same sender, first came back to its sender."""
        senders = self._recorder.senders
        echoed_at = np.full(len(senders), np.inf)
        own = self._reader == senders[self._message]
        np.minimum.at(echoed_at, self._message[own], self._at[own])
        by_sender = np.argsort(senders, kind="stable")
        for messages in np.split(by_sender, _starts(senders[by_sender])):
            echoed_at[messages] = np.minimum.accumulate(echoed_at[messages][::-1])[::-1]
        return echoed_at

    def _shown(self, keys: Column) -> Column:
        index = np.searchsorted(self.pairs, keys)
        inside = index < len(self.pairs)
        inside[inside] = self.pairs[index[inside]] == keys[inside]
        return inside


def _starts(sorted_values: Column) -> Column:
    """Return the indices at which the value changes."""
    return np.flatnonzero(np.diff(sorted_values)) + 1


def _given_up(recorder: ColumnRecorder) -> Column:
    """Return the people whose last status is that of a client that has given up."""
    people, statuses, _ = recorder.changes
    last = np.append(people[1:] != people[:-1], True)[: len(people)]
    given_up: Column = people[last & (statuses == _ERROR)]
    return given_up


class _Broken(NamedTuple):
    """The connections that faults broke: of those that came back, the seconds of recovery and the people; the
    people of the others."""

    seconds: Column
    people: Column
    unrecovered: Column


def _recovery(recorder: ColumnRecorder, faults: Sequence[Incident]) -> _Broken:
    """Return the connections that faults broke."""
    people, statuses, at = recorder.changes
    if not faults or not len(people):
        return _Broken(np.empty(0), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    connected = statuses == _CONNECTED
    lost = np.flatnonzero(connected[:-1] & np.isin(statuses[1:], _LOST) & (people[1:] == people[:-1])) + 1
    fault = _causes(people[lost], at[lost - 1], at[lost], faults)
    lost, fault = lost[fault >= 0], fault[fault >= 0]
    again = np.append(np.flatnonzero(connected), len(people))
    again = again[np.searchsorted(again, lost)]
    back = (again < len(people)) & (people[np.minimum(again, len(people) - 1)] == people[lost])
    begins = np.array([fault.ends_at for fault in faults])[fault]
    begins = np.where(np.array([fault.others_serve for fault in faults])[fault], at[lost], begins)
    seconds = np.maximum(0.0, at[again[back]] - begins[back])
    return _Broken(seconds, people[lost[back]], people[lost[~back]])


def _causes(people: Column, since: Column, lost_at: Column, faults: Sequence[Incident]) -> Column:
    """Return the number of the fault that broke each connection, which was open from `since` to `lost_at`.

    -1 stands for no fault.
    """
    causes = np.full(len(people), -1)
    lost_to_fault = np.zeros(len(people), dtype=bool)
    severity = np.full(len(people), -1)
    begun_at, ended_at = np.full((2, len(people)), -np.inf)
    for number, fault in enumerate(faults):
        reached = (fault.begins_at <= lost_at) & ~lost_to_fault
        if fault.hit is not None:
            reached &= np.isin(people, fault.hit)
        excused = (fault.severity < severity) & (lost_at <= ended_at + NOTICED)
        if fault.severity:
            excused &= (begun_at < fault.begins_at) & (fault.begins_at <= ended_at + REPORTED)
        reached &= ~excused
        causes[reached] = number
        was_open = reached & (since <= fault.begins_at)
        lost_to_fault |= was_open & (lost_at < fault.deaf_until)
        severity[reached] = fault.severity
        begun_at[reached] = fault.begins_at
        ended_at[reached] = np.where(since[reached] <= fault.ends_at, fault.ends_at, -np.inf)
        if fault.leaves_half_open:
            ended_at[was_open] = np.inf
    return causes


def _times(recorder: ColumnRecorder, count: int, duration: float) -> Mapping[str, Value]:
    people, statuses, at = recorder.changes
    last = np.append(people[1:] != people[:-1], True)[: len(people)]
    until = np.where(last, duration, np.append(at[1:], duration)[: len(at)])
    spent = np.bincount(statuses, weights=until - at, minlength=len(STATUSES)).astype(np.float64)
    first = np.append(True, people[1:] != people[:-1])[: len(people)]
    before = at[first].sum() + (count - np.count_nonzero(first)) * duration
    spent[STATUSES.index(ConnectionStatus.DISCONNECTED)] += before
    return {f"time_{status}": float(spent[number]) for number, status in enumerate(STATUSES)}


def _connected_time(recorder: ColumnRecorder, count: int, duration: float) -> Column:
    """Return the seconds for which each person was connected."""
    people, statuses, at = recorder.changes
    last = np.append(people[1:] != people[:-1], True)[: len(people)]
    until = np.where(last, duration, np.append(at[1:], duration)[: len(at)])
    spent = np.where(statuses == _CONNECTED, until - at, 0.0)
    return np.bincount(people, weights=spent, minlength=count)


def _connected(recorder: ColumnRecorder, duration: float) -> list[int]:
    people, statuses, at = recorder.changes
    connected = statuses == _CONNECTED
    before = np.append(False, connected[:-1] & (people[1:] == people[:-1]))[: len(people)]
    change = connected.astype(np.int64) - before
    seconds = int(np.ceil(duration))
    count = np.cumsum(np.bincount(at.astype(np.int64), weights=change, minlength=seconds))
    connected_people: list[int] = count.astype(np.int64).tolist()
    return connected_people
