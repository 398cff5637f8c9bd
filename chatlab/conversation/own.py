"""A person's own messages: under way, undelivered, or delivered and maybe still to come back."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from msgspec import Struct

from chatlab.conversation.places import Place
from chatlab.errors import InvalidMessage
from chatlab.live.receipt import Receipt
from chatlab.live.transport import ChatTransport
from chatlab.messages import DeliveryState, OutgoingMessage

KEPT = 1_000
"""Messages that came to nothing, and are kept to be sent again."""
KEPT_BYTES = 4 << 20
"""Bytes of them, and as many of delivered ones that have not come back."""
REMEMBERED = 10_000
"""Delivered messages by whose ids their echo is recognised."""
REASON = 1_000
"""Characters of a reason that are kept: it may be a server's."""

_DELIVERED = (DeliveryState.ACKED, DeliveryState.SENT)


class Own(Struct, eq=False):
    """An own message. `key` identifies it here, whatever others choose; `client_id` at the server.

    `written_at` is in seconds since 1970, `accepted_at` on the conversation's clock. `waits`: it was not sent
    at once, or its connection was lost since. `left`: the conversation went elsewhere without it.
    `message` is None once the content isn't kept any more.
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
    left: bool = False
    waits: bool = False
    shown: bool = False
    echo: str | None = None
    """The server's id for it; empty where the server has no ids, None until it has come back."""

    @property
    def text(self) -> str:
        """The text that is shown."""
        message = self.message
        if message is None:
            return ""
        return message.text if message.data is None else f"({len(message.data):,} bytes)"


class OwnMessages:
    """All own messages that are worth something, bounded in number and bytes but for those under way."""

    def __init__(self, series: str) -> None:
        self._series = series
        self._numbers = count(1)
        self._open: dict[str, Own] = {}
        self._undelivered: dict[str, Own] = {}
        self._bytes = 0
        self._delivered: dict[str, Own] = {}
        self._out: dict[str, Own] = {}  # delivered, not come back, and their content known to tell them by
        self._out_bytes = 0
        self._known: dict[str, Own] = {}  # all of them by client id
        self.forgotten = 0
        """Undelivered messages that are no longer kept."""

    def __len__(self) -> int:
        """Return the number of messages under way."""
        return len(self._open)

    def __iter__(self) -> Iterator[Own]:
        """Yield all that are under way, in the order of their acceptance."""
        return iter(sorted(self._open.values(), key=lambda own: own.number))

    def undelivered(self) -> list[Own]:
        """Return what came to nothing, oldest first."""
        return sorted(self._undelivered.values(), key=lambda own: own.number)

    def add(
        self, message: OutgoingMessage, place: Place, holder: ChatTransport, written_at: float, now: float
    ) -> Own:
        """Note a message that is about to be handed over.

        Errors: `InvalidMessage` where one of that client id is under way.
        """
        client_id = message.client_id
        if client_id in self._open:
            raise InvalidMessage(
                f"a message with client_id {client_id!r} is still on its way; give each its own"
            )
        number = next(self._numbers)
        own = Own(f"own-{self._series}-{number}", number, client_id, message, place, written_at, now, holder)
        self._open[client_id] = self._known[client_id] = own
        return own

    def take_back(self, own: Own) -> None:
        """Forget a message that was not accepted."""
        del self._open[own.client_id], self._known[own.client_id]

    def under_way(self, client_id: str) -> Own | None:
        """Return a message that isn't in a final state."""
        return self._open.get(client_id)

    def find(self, client_id: str, place: Place, sender: str) -> Own | None:
        """Return the message that comes back from `place` with this client id and sender."""
        own = self._known.get(client_id)
        if own is not None and own.place.log == place.log and own.place.name == sender:
            return own
        return None

    def close(self, own: Own) -> None:
        """Note that a message was delivered, or came to nothing for now."""
        self._open.pop(own.client_id, None)
        self._forget(own)
        if own.state in _DELIVERED and not own.left:
            if (before := self._delivered.pop(own.client_id, None)) is not None:
                self.let_go(before)
            self._delivered[own.client_id] = self._out[own.key] = own
            self._out_bytes += _size(own)
            while self._out_bytes > KEPT_BYTES:
                self.let_go(next(iter(self._out.values())))
            if len(self._delivered) > REMEMBERED:
                oldest = self._delivered.pop(next(iter(self._delivered)))
                self.let_go(oldest)
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

    def let_go(self, own: Own) -> None:
        """Keep the content of a delivered message no longer: it has come back, or is too old."""
        if self._out.pop(own.key, None) is not None:
            self._out_bytes -= _size(own)
            own.message = None

    def _drop(self, own: Own) -> None:
        if self._known.get(own.client_id) is own:
            del self._known[own.client_id]

    def _forget(self, own: Own) -> None:
        if self._undelivered.pop(own.key, None) is not None:
            self._bytes -= _size(own)

    def waiting_for(self, key: str) -> Own | None:
        """Return a message that came to nothing, by its key."""
        return self._undelivered.get(key)

    def reopen(self, own: Own, holder: ChatTransport) -> None:
        """Note that a message is about to be handed over again, behind all that is under way.

        Errors: `InvalidMessage` where another one of that client id is under way.
        """
        if own.client_id in self._open:
            raise InvalidMessage(f"a message with client_id {own.client_id!r} is still on its way")
        self._forget(own)
        own.number = next(self._numbers)
        own.holder, own.state, own.reason, own.left = holder, DeliveryState.QUEUED, "", False
        self._open[own.client_id] = own

    def let_wait(self) -> None:
        """Note that the connection of those under way is gone."""
        for own in self._open.values():
            own.waits = True


def _size(own: Own) -> int:
    return 0 if own.message is None else own.message.size
