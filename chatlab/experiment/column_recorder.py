"""A `Recorder` that keeps the messages and connections of all people in compact columns.

The metrics are computed from them. A row takes 8 to 25 bytes, so a run of a hundred thousand people fits.
"""

from __future__ import annotations

from array import array
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chatlab.messages import ChatMessage, ConnectionStatus, DeliveryState

STATES = tuple(DeliveryState)
STATUSES = tuple(ConnectionStatus)
CONNECTED = STATUSES.index(ConnectionStatus.CONNECTED)
RECONNECTING = STATUSES.index(ConnectionStatus.RECONNECTING)
DISCONNECTED = STATUSES.index(ConnectionStatus.DISCONNECTED)
ERROR = STATUSES.index(ConnectionStatus.ERROR)
_STATE_NUMBERS = {state: number for number, state in enumerate(STATES)}
_STATUS_NUMBERS = {status: number for number, status in enumerate(STATUSES)}
_ACKED = DeliveryState.ACKED
_EPOCH_BITS = 40

Column = NDArray[Any]


class ColumnRecorder:
    """The messages, deliveries, changes of status and attempts of a run, in the order of events.

    Messages and people are numbered from 0, times are seconds since the run began.
    """

    def __init__(self) -> None:
        self._messages: dict[str, int] = {}
        self._epochs: dict[str, int] = {}
        self._posts: dict[tuple[str, str], int] = {}
        self._latest: ChatMessage | None = None
        self._latest_post = 0
        self._posted = array("I")
        self._positions = array("q")
        self._senders = array("I")
        self._accepted_at = array("d")
        self._acked_at = array("d")
        self._states = bytearray()
        self._delivered = array("I")
        self._readers = array("I")
        self._delivered_at = array("d")
        self._changed = array("I")
        self._statuses = bytearray()
        self._changed_at = array("d")
        self._sorted_changes: tuple[Column, Column, Column] | None = None
        self._attempting = array("I")
        self._attempted_at = array("d")
        self.refusals = 0
        self.resyncs = 0

    # Recorder

    def accepted(self, person: int, client_id: str, at: float) -> None:
        """Add a message that a person's outbox accepted."""
        self._messages[client_id] = len(self._senders)
        self._senders.append(person)
        self._accepted_at.append(at)
        self._acked_at.append(inf)
        self._states.append(0)

    def refused(self) -> None:
        """Count a message that a person's outbox refused."""
        self.refusals += 1

    def settled(self, client_id: str, state: DeliveryState, at: float) -> None:
        """Set the state of a message."""
        message = self._messages[client_id]
        self._states[message] = _STATE_NUMBERS[state]
        if state is _ACKED:
            self._acked_at[message] = at

    def delivered(self, person: int, message: ChatMessage, at: float) -> None:
        """Add a delivery to a person."""
        if message is not self._latest:  # Deliveries of one message to a room mostly follow each other.
            self._latest, self._latest_post = message, self._post(message)
        self._delivered.append(self._latest_post)
        self._readers.append(person)
        self._delivered_at.append(at)

    def _post(self, message: ChatMessage) -> int:
        """Return the number of a post to a log. A message is posted twice if the server forgot the first."""
        key = message.client_id, message.id
        post = self._posts.get(key)
        if post is None:
            post = self._posts[key] = len(self._posts)
            self._posted.append(self._messages[message.client_id])
            self._positions.append(self._position(message.id))
        return post

    def _position(self, id: str) -> int:
        """Return a number for an id's position in the server's log. It grows with the epoch, and within
        it."""
        epoch, _, number = id.rpartition("-")
        return (self._epochs.setdefault(epoch, len(self._epochs)) << _EPOCH_BITS) + int(number)

    def resynced(self) -> None:
        """Count a resync: messages may be missing."""
        self.resyncs += 1

    def changed(self, person: int, status: ConnectionStatus, at: float) -> None:
        """Add a change of a person's status; one before the run's beginning counts as of then."""
        self._changed.append(person)
        self._statuses.append(_STATUS_NUMBERS[status])
        self._changed_at.append(at if at > 0 else 0.0)

    def attempted(self, person: int, at: float) -> None:
        """Add a person's attempt to connect, unless it comes before the run's beginning."""
        if at < 0:
            return
        self._attempting.append(person)
        self._attempted_at.append(at)

    # Columns

    @property
    def senders(self) -> Column:
        """Sender of each message."""
        return np.array(self._senders, dtype=np.int64)

    @property
    def accepted_at(self) -> Column:
        """Seconds at which each message was accepted."""
        return np.array(self._accepted_at)

    @property
    def acked_at(self) -> Column:
        """Seconds at which the sender received the ack of each message; inf: never."""
        return np.array(self._acked_at)

    @property
    def states(self) -> Column:
        """The state of each message, as an index of `STATES`."""
        return np.frombuffer(bytes(self._states), dtype=np.uint8)

    @property
    def deliveries(self) -> tuple[Column, Column, Column, Column]:
        """The message, the reader, the time, and the position in the server's log of each delivery."""
        posts = np.array(self._delivered, dtype=np.int64)
        return (
            np.array(self._posted, dtype=np.int64)[posts],
            np.array(self._readers, dtype=np.int64),
            np.array(self._delivered_at),
            np.array(self._positions, dtype=np.int64)[posts],
        )

    @property
    def changes(self) -> tuple[Column, Column, Column]:
        """The person, the status (index of `STATUSES`) and the time of each change, by person, then time."""
        if self._sorted_changes is None or len(self._sorted_changes[0]) != len(self._changed):
            people = np.array(self._changed, dtype=np.int64)
            order = np.argsort(people, kind="stable")
            statuses = np.frombuffer(bytes(self._statuses), dtype=np.uint8)
            self._sorted_changes = people[order], statuses[order], np.array(self._changed_at)[order]
        return self._sorted_changes

    @property
    def attempting(self) -> Column:
        """The person of each attempt to connect."""
        return np.array(self._attempting, dtype=np.int64)

    @property
    def attempted_at(self) -> Column:
        """Seconds at which each attempt to connect began."""
        return np.array(self._attempted_at)


def is_first(people: Column) -> Column:
    """Return which of the rows, sorted by person, are their person's first."""
    return np.append(True, people[1:] != people[:-1])[: len(people)]


def is_last(people: Column) -> Column:
    """Return which of the rows, sorted by person, are their person's last."""
    return np.append(people[1:] != people[:-1], True)[: len(people)]
