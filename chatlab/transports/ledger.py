"""The delivery ledger and the reader's place: what becomes of messages, whatever carries them.

It holds the outbox and the cursor, and turns what a server says into effects for the application. Which
connection or request carries what is its machine's business.
"""

from __future__ import annotations

from typing import assert_never

from chatlab.dialects.base import Ack, Incoming, Nack, ServerPing, ServerPong, Unreadable, Welcome
from chatlab.messages import ChatEvent, ChatMessage, DeliveryState, OutgoingMessage
from chatlab.settings import TransportConfig
from chatlab.transports.cursor import Cursor
from chatlab.transports.machine import Deliver, Effect, Refuse, Settle
from chatlab.transports.outbox import Outbox


class Ledger:
    """One person's accepted messages, and what that person has received."""

    __slots__ = ("_acks", "_config", "cursor", "outbox")

    def __init__(self, config: TransportConfig, *, acks: bool) -> None:
        self._config = config
        self._acks = acks
        self.outbox = Outbox(config.outbox)
        self.cursor = Cursor(config.after)

    def without_outbox(self) -> Ledger:
        """Return a ledger that reads at the same place, and has nothing to send."""
        other = Ledger(self._config, acks=self._acks)
        other.cursor = self.cursor
        return other

    def submit(self, message: OutgoingMessage, now: float, out: list[Effect]) -> None:
        """Accept a message, or refuse it."""
        outbox = self.outbox
        if message.client_id in outbox:
            out.append(Refuse(message.client_id, "duplicate"))
        elif not outbox.accepts(message.size):
            out.append(Refuse(message.client_id, "full"))
        else:
            dropped = outbox.push(message, now)
            out.extend(Settle(id, DeliveryState.DROPPED, "the outbox is full") for id in dropped)

    def take(self) -> OutgoingMessage | None:
        """Return the next message to send, which is in flight from now on; None: there is none, or the
        window is full."""
        return self.outbox.take(self._acks)

    def expire(self, now: float, out: list[Effect]) -> None:
        """Let go of what has waited too long for a connection."""
        expired = self.outbox.expire(now)
        if expired:
            reason = f"waited longer than {self._config.outbox.max_age:g} s"
            out.extend(Settle(id, DeliveryState.EXPIRED, reason) for id in expired)

    def settle(self, settle: Settle, out: list[Effect]) -> None:
        """The server has accepted or refused a message; one that isn't under way is no news."""
        if self.outbox.settle(settle.client_id):
            out.append(settle)

    def read(self, item: Incoming, out: list[Effect]) -> None:
        """Take in what the server says, but for heartbeats, which are the connection's."""
        match item:
            case ChatMessage():
                if item.client_id and item.sender == self._config.sender:
                    self.settle(Settle(item.client_id, DeliveryState.ACKED), out)
                if self.cursor.advance(item.id):
                    out.append(Deliver(ChatEvent("message", message=item, sender=item.sender)))
            case Ack():
                self.settle(Settle(item.client_id, DeliveryState.ACKED), out)
            case Nack():
                self.settle(Settle(item.client_id, DeliveryState.FAILED, item.reason, item.status), out)
            case ChatEvent():
                out.append(Deliver(item))
            case Unreadable():
                if item.id:
                    self.cursor.advance(item.id)
                out.append(Deliver(ChatEvent("unreadable", reason=item.reason, payload=item.excerpt)))
            case Welcome():
                if item.resync:
                    reason = "the server no longer has what came after the last message"
                    out.append(Deliver(ChatEvent("resync", reason=reason)))
                if item.resync or self.cursor.last_id is None:
                    self.cursor.move(item.cursor)
            case ServerPing() | ServerPong():
                pass
            case unknown:
                assert_never(unknown)
