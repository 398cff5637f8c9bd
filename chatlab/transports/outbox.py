"""What is to be sent, and what was sent and not yet acknowledged: the client's half of the delivery ledger.

                    take                       ack
    queue  ───────────────────────▶  in flight ───▶ gone
      │ overflow: dropped                │ connection lost
      │ too old: expired                 ▼
      └────────────────────────────── resend   (taken before the queue, in the old order, with the same id)

`max_size` and `max_bytes` bound the queue only, as in the seed; `max_in_flight` bounds the rest. So a
message whose fate is unknown is never dropped to make room: it may have arrived.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from msgspec import Struct

from chatlab.messages import OutgoingMessage
from chatlab.settings import OutboxConfig


class Entry(Struct, frozen=True, gc=False):
    """A message in the outbox, which was accepted at `accepted_at` and holds `size` bytes."""

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
        """How many messages are not in a final state."""
        return len(self._queue) + len(self._in_flight) + len(self._resend)

    def __contains__(self, client_id: str) -> bool:
        return client_id in self._queue or client_id in self._in_flight or client_id in self._resend

    @property
    def deadline(self) -> float:
        """When the oldest message that waits for a connection expires; inf: never."""
        age = self._config.max_age
        if age is None:
            return inf
        return min((entry.accepted_at for entry in self._waiting()), default=inf) + age

    def _waiting(self) -> Iterator[Entry]:
        """The oldest of those that wait for a connection, of each kind."""
        for waiting in (self._resend, self._queue):
            if waiting:
                yield next(iter(waiting.values()))

    def accepts(self, size: int) -> bool:
        """Whether a message of so many bytes fits in, or makes room for itself by the overflow policy."""
        if self._config.overflow in ("reject", "wait"):
            # A message larger than `max_bytes` waits only until the queue is empty: else it would wait for
            # ever.
            return not self._queue or self._fits(size)
        return True

    def _fits(self, size: int) -> bool:
        limit = self._config.max_bytes
        return len(self._queue) < self._config.max_size and (limit is None or self._bytes + size <= limit)

    def push(self, message: OutgoingMessage, size: int, now: float) -> list[str]:
        """Queue a message of so many bytes that `accepts` has allowed; return the ids that were dropped for
        it, or its own."""
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
        """Take a message that another outbox has held: behind others like it, before the queue."""
        self._resend[message.client_id] = Entry(message, now, size)

    def _pop_oldest(self) -> Entry:
        queue = self._queue
        entry = queue.pop(next(iter(queue)))
        self._bytes -= entry.size
        return entry

    def take(self, acks: bool) -> OutgoingMessage | None:
        """Return the next message to send, now in flight if acks are to come; None: nothing, or the window
        is full."""
        if not (self._queue or self._resend) or len(self._in_flight) >= self._config.max_in_flight:
            return None
        entry = self._resend.pop(next(iter(self._resend))) if self._resend else self._pop_oldest()
        if acks:
            self._in_flight[entry.message.client_id] = entry
        return entry.message

    def sent(self, client_id: str) -> OutgoingMessage | None:
        """Return a message that was sent and is unsettled; None: there is none by that id."""
        entry = self._in_flight.get(client_id) or self._resend.get(client_id)
        return None if entry is None else entry.message

    def settle(self, client_id: str) -> bool:
        """Forget a message that the server has accepted or refused; return whether it was sent and
        unsettled."""
        return (self._in_flight.pop(client_id, None) or self._resend.pop(client_id, None)) is not None

    def lose_connection(self) -> None:
        """Put what is in flight before everything else, to be sent again."""
        if self._in_flight:
            self._resend = self._in_flight | self._resend
            self._in_flight = {}

    def expire(self, now: float) -> list[str]:
        """Forget what has waited for a connection longer than `max_age`; return the ids, oldest first."""
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
