"""The outbox: messages to send, and messages sent and not yet acknowledged.

                    take                       ack
    queue  ───────────────────────▶  in flight ───▶ gone
      │ overflow: dropped                │ connection lost
      │ too old: expired                 ▼
      └────────────────────────────── resend   (taken before the queue, in the old order, with the same id)

`max_size` and `max_bytes` bound the queue only, as in the seed; `max_in_flight` bounds the rest. So a
message that may have arrived is never dropped to make room.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from msgspec import Struct

from chatlab.messages import OutgoingMessage
from chatlab.settings import OutboxConfig


class Entry(Struct, frozen=True, gc=False):
    """A message of `size` bytes in the outbox, accepted at `accepted_at`."""

    message: OutgoingMessage
    accepted_at: float
    size: int


class Outbox:
    """A bounded first-in first-out queue, and the messages in flight."""

    __slots__ = ("_bytes", "_config", "_in_flight", "_queue", "_resend")

    def __init__(self, config: OutboxConfig) -> None:
        self._config = config
        self._queue: dict[str, Entry] = {}
        self._in_flight: dict[str, Entry] = {}
        self._resend: dict[str, Entry] = {}
        self._bytes = 0

    def __len__(self) -> int:
        """Return the number of messages that aren't in a final state."""
        return len(self._queue) + len(self._in_flight) + len(self._resend)

    def __contains__(self, client_id: str) -> bool:
        return client_id in self._queue or client_id in self._in_flight or client_id in self._resend

    @property
    def deadline(self) -> float:
        """Time when the oldest message that waits for a connection expires; inf: never."""
        age = self._config.max_age
        if age is None:
            return inf
        return min((entry.accepted_at for entry in self._waiting()), default=inf) + age

    def _waiting(self) -> Iterator[Entry]:
        """Yield the oldest message to resend and the oldest in the queue, if any."""
        for waiting in (self._resend, self._queue):
            if waiting:
                yield next(iter(waiting.values()))

    def accepts(self, size: int) -> bool:
        """Return whether a message of `size` bytes fits in, or the overflow policy makes room for it."""
        if self._config.overflow in ("reject", "wait"):
            # An empty queue accepts a message larger than `max_bytes`; otherwise it would wait for ever.
            return not self._queue or self._fits(size)
        return True

    def _fits(self, size: int) -> bool:
        limit = self._config.max_bytes
        return len(self._queue) < self._config.max_size and (limit is None or self._bytes + size <= limit)

    def push(self, message: OutgoingMessage, size: int, now: float) -> list[str]:
        """Queue a message of `size` bytes that `accepts` has allowed; return the ids dropped to make room, or
        its own id if the policy drops the newest."""
        entry = Entry(message, now, size)
        dropped = []
        while self._queue and not self._fits(size):
            if self._config.overflow == "drop-newest":
                return [message.client_id]
            dropped.append(self._pop_oldest().message.client_id)
        self._queue[message.client_id] = entry
        self._bytes += size
        return dropped

    def put_back(self, message: OutgoingMessage, size: int, now: float) -> None:
        """Queue a message from another outbox to be sent again: after earlier ones, before the queue."""
        self._resend[message.client_id] = Entry(message, now, size)

    def _pop_oldest(self) -> Entry:
        queue = self._queue
        entry = queue.pop(next(iter(queue)))
        self._bytes -= entry.size
        return entry

    def take(self, acks: bool) -> OutgoingMessage | None:
        """Return the next message to send, now in flight if the server `acks`; None: there is none, or the
        window is full."""
        if not (self._queue or self._resend) or len(self._in_flight) >= self._config.max_in_flight:
            return None
        entry = self._resend.pop(next(iter(self._resend))) if self._resend else self._pop_oldest()
        if acks:
            self._in_flight[entry.message.client_id] = entry
        return entry.message

    def sent(self, client_id: str) -> OutgoingMessage | None:
        """Return the sent, unsettled message with that id; None: there is none."""
        entry = self._in_flight.get(client_id) or self._resend.get(client_id)
        return None if entry is None else entry.message

    def settle(self, client_id: str) -> bool:
        """Remove a message that the server accepted or refused; return whether it was sent and unsettled."""
        return (self._in_flight.pop(client_id, None) or self._resend.pop(client_id, None)) is not None

    def lose_connection(self) -> None:
        """Queue the messages in flight to be sent again, before all others."""
        if self._in_flight:
            self._resend = self._in_flight | self._resend
            self._in_flight = {}

    def expire(self, now: float) -> list[str]:
        """Remove messages that have waited longer than `max_age`; return their ids: those to resend first,
        each group oldest first."""
        age = self._config.max_age
        if age is None:
            return []
        expired = []
        for waiting in (self._resend, self._queue):
            while waiting:
                entry = next(iter(waiting.values()))
                if entry.accepted_at + age > now:
                    break
                del waiting[entry.message.client_id]
                if waiting is self._queue:
                    self._bytes -= entry.size
                expired.append(entry.message.client_id)
        return expired
