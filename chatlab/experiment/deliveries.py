"""The deliveries of a run: the messages that were shown, and those that are missing.

People and messages are numbered as in the recorder. The *readers* of a message are all people of its room,
including its sender. It is *owed* to a reader if it was sent at or after the reader's first connection, and
either was shown or can't be in flight any more.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from msgspec import Struct

from chatlab.experiment.column_recorder import (
    CONNECTED,
    DISCONNECTED,
    STATES,
    Column,
    ColumnRecorder,
    is_last,
)
from chatlab.messages import DeliveryState

IN_FLIGHT = 1.0
"""Age in seconds up to which a message may be in flight in any run."""

_GIVEN_UP = [
    STATES.index(state) for state in (DeliveryState.DROPPED, DeliveryState.EXPIRED, DeliveryState.FAILED)
]
_MAX_CELLS = 1 << 22


class Population(Struct, frozen=True):
    """The room of each person, and the time `complete_until`: messages before it should have been shown.

    A message that the server had before that time, and that isn't shown at the end of the run, is lost. inf
    covers all messages. People without `acks` don't learn the state of their messages; None: all
    have them. `groups` has the number of each person's group; None: there are no groups.
    """

    rooms: Column
    complete_until: Column
    acks: Column | None = None
    groups: Column | None = None


class Deliveries:
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
        np.minimum.at(self._connected_at, people[statuses == CONNECTED], at[statuses == CONNECTED])
        last = is_last(people)
        self._online = np.zeros(len(population.rooms), dtype=bool)
        self._online[people[last & (statuses == CONNECTED)]] = True
        self._left_at = np.full(len(population.rooms), np.inf)
        left = last & (statuses == DISCONNECTED)
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
        due_until = np.maximum(population.complete_until, latest)
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
