"""A person's own messages: unsettled, undelivered, or delivered and waiting for their echo."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from msgspec import Struct

from chatlab.conversation.places import Place
from chatlab.errors import InvalidMessage
from chatlab.live.client.receipt import Receipt
from chatlab.live.client.transport import ChatTransport
from chatlab.messages import DeliveryState, OutgoingMessage

KEPT = 1_000
"""Maximum number of undelivered messages kept for a retry."""
KEPT_BYTES = 4 << 20
"""Maximum bytes of undelivered messages, and of delivered ones without an echo."""
REMEMBERED = 10_000
"""Maximum number of delivered messages whose echo is recognised by id."""
REASON = 1_000
"""Maximum characters kept of a reason, which may be a server's text."""

_DELIVERED = (DeliveryState.ACKED, DeliveryState.SENT)


class OwnMessage(Struct, eq=False):
    """A message that the person wrote. `key` is unique in this conversation, as other clients can choose any
    id. The server knows it by `client_id`.

    `written_at` is in seconds since 1970, `accepted_at` on the conversation's clock. `waits`: it was not sent
    at once, or the connection was lost afterwards. `left_behind`: the conversation switched to another place
    without it. `message` is None once the content is released.
    """

    key: str
    number: int
    client_id: str
    message: OutgoingMessage | None
    place: Place
    written_at: float
    accepted_at: float
    holder: ChatTransport
    receipt: Receipt | None = None
    state: DeliveryState = DeliveryState.QUEUED
    reason: str = ""
    left_behind: bool = False
    waits: bool = False
    shown: bool = False
    echo: str | None = None
    """The server's id in the echo; empty if the server has no ids, None until the echo."""

    @property
    def text(self) -> str:
        """The text that is shown."""
        message = self.message
        if message is None:
            return ""
        return message.text if message.data is None else f"({len(message.data):,} bytes)"


class OwnMessages:
    """The own messages: all unsettled ones, and a bounded number of undelivered and delivered ones."""

    def __init__(self, series: str) -> None:
        self._series = series
        self._numbers = count(1)
        self._open: dict[str, OwnMessage] = {}
        self._undelivered: dict[str, OwnMessage] = {}
        self._bytes = 0
        self._delivered: dict[str, OwnMessage] = {}
        # Delivered, without an echo so far, with their content, which identifies the echo.
        self._unechoed: dict[str, OwnMessage] = {}
        self._unechoed_bytes = 0
        self._known: dict[str, OwnMessage] = {}  # all, by client id
        self.forgotten = 0
        """Number of undelivered messages that are no longer kept."""

    def __len__(self) -> int:
        """Return the number of unsettled messages."""
        return len(self._open)

    def __iter__(self) -> Iterator[OwnMessage]:
        """Yield all unsettled messages, in the order of acceptance."""
        return iter(sorted(self._open.values(), key=lambda own: own.number))

    def undelivered(self) -> list[OwnMessage]:
        """Return the undelivered messages, oldest first."""
        return sorted(self._undelivered.values(), key=lambda own: own.number)

    def add(
        self, message: OutgoingMessage, place: Place, holder: ChatTransport, written_at: float, now: float
    ) -> OwnMessage:
        """Add a message that is about to be submitted.

        Errors: `InvalidMessage` if one with its client id is unsettled.
        """
        client_id = message.client_id
        if client_id in self._open:
            raise InvalidMessage(
                f"a message with client_id {client_id!r} is still on its way; give each message its own"
            )
        number = next(self._numbers)
        own = OwnMessage(
            f"own-{self._series}-{number}", number, client_id, message, place, written_at, now, holder
        )
        self._open[client_id] = self._known[client_id] = own
        return own

    def withdraw(self, own: OwnMessage) -> None:
        """Remove a message that was not accepted."""
        del self._open[own.client_id], self._known[own.client_id]

    def under_way(self, client_id: str) -> OwnMessage | None:
        """Return an unsettled message by its client id."""
        return self._open.get(client_id)

    def find(self, client_id: str, place: Place, sender: str) -> OwnMessage | None:
        """Return the message whose echo from `place` has this client id and sender."""
        own = self._known.get(client_id)
        if own is not None and own.place.log == place.log and own.place.name == sender:
            return own
        return None

    def close(self, own: OwnMessage) -> None:
        """Move a message to the delivered or the undelivered ones, by its state."""
        self._open.pop(own.client_id, None)
        self._forget(own)
        if own.state in _DELIVERED and not own.left_behind:
            if (before := self._delivered.pop(own.client_id, None)) is not None:
                self.release(before)
            self._delivered[own.client_id] = self._unechoed[own.key] = own
            self._unechoed_bytes += _size(own)
            while self._unechoed_bytes > KEPT_BYTES:
                self.release(next(iter(self._unechoed.values())))
            if len(self._delivered) > REMEMBERED:
                oldest = self._delivered.pop(next(iter(self._delivered)))
                self.release(oldest)
                self._drop(oldest)
            return
        self._undelivered[own.key] = own
        self._bytes += _size(own)
        while len(self._undelivered) > KEPT or (self._bytes > KEPT_BYTES and len(self._undelivered) > 1):
            oldest = next(iter(self._undelivered.values()))
            self._forget(oldest)
            self._drop(oldest)
            oldest.message = None
            self.forgotten += 1

    def release(self, own: OwnMessage) -> None:
        """Release the content of a delivered message, after its echo or when it is too old."""
        if self._unechoed.pop(own.key, None) is not None:
            self._unechoed_bytes -= _size(own)
            own.message = None

    def _drop(self, own: OwnMessage) -> None:
        if self._known.get(own.client_id) is own:
            del self._known[own.client_id]

    def _forget(self, own: OwnMessage) -> None:
        if self._undelivered.pop(own.key, None) is not None:
            self._bytes -= _size(own)

    def find_undelivered(self, key: str) -> OwnMessage | None:
        """Return an undelivered message by its key."""
        return self._undelivered.get(key)

    def reopen(self, own: OwnMessage, holder: ChatTransport) -> None:
        """Move an undelivered message back to the unsettled ones, behind all others.

        Errors: `InvalidMessage` if another one with its client id is unsettled.
        """
        if own.client_id in self._open:
            raise InvalidMessage(f"a message with client_id {own.client_id!r} is still on its way")
        self._forget(own)
        own.number = next(self._numbers)
        own.holder, own.state, own.reason, own.left_behind = holder, DeliveryState.QUEUED, "", False
        self._open[own.client_id] = own

    def mark_waiting(self) -> None:
        """Mark all unsettled messages as waiting, since their connection is lost."""
        for own in self._open.values():
            own.waits = True


def _size(own: OwnMessage) -> int:
    return 0 if own.message is None else own.message.size
