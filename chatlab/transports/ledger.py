"""The delivery ledger and the cursor: the state of sent and received messages, over any transport.

The ledger turns what a server says into effects for the application. The machine chooses the connection or
request that carries a message.
"""

from __future__ import annotations

from math import inf
from typing import assert_never

from msgspec.structs import replace

from chatlab.dialects.base import (
    Ack,
    Dialect,
    Incoming,
    Nack,
    Refused,
    Reply,
    ServerPing,
    ServerPong,
    Unreadable,
    Welcome,
)
from chatlab.messages import ChatEvent, ChatMessage, DeliveryState, OutgoingMessage
from chatlab.settings import TransportConfig
from chatlab.transports.cursor import Cursor, content_of, too_long
from chatlab.transports.machine import Deliver, Effect, Refuse, Settle, Unencodable
from chatlab.transports.outbox import Outbox

_ACKED = DeliveryState.ACKED  # Reading an enum's attribute takes longer than creating an effect.


class Ledger:
    """One person's accepted messages, and the cursor of the messages received.

    The outbox is created with the first message to send, as most clients only read. `can_expire` says whether
    messages can expire; if not, `deadline` is inf. `acked` counts the server's acks, without echoes.
    """

    __slots__ = (
        "_acks",
        "_config",
        "_dialect",
        "_outbox",
        "_records_all",
        "_recounted",
        "_reported",
        "_reuses_ids",
        "acked",
        "can_expire",
        "cursor",
    )

    def __init__(self, config: TransportConfig, dialect: Dialect, *, acks: bool) -> None:
        self._config = config
        self._dialect = dialect
        self._acks = acks
        self.can_expire = config.outbox.max_age is not None
        self._reuses_ids = dialect.reuses_ids
        self._records_all = dialect.gap is not None or not dialect.idempotent or dialect.reuses_ids
        self._recounted = False  # The last message had an id that the server had given before.
        self._outbox: Outbox | None = None
        self._reported: str | None = None  # The last id that was reported as too long to resume from.
        self.cursor = Cursor(config.after)
        self.acked = 0

    @property
    def outbox(self) -> Outbox:
        """The messages to send and in flight."""
        if self._outbox is None:
            self._outbox = Outbox(self._config.outbox)
        return self._outbox

    @outbox.setter
    def outbox(self, outbox: Outbox) -> None:
        self._outbox = outbox

    @property
    def unsettled(self) -> int:
        """Number of accepted messages that aren't in a final state."""
        return 0 if self._outbox is None else len(self._outbox)

    @property
    def deadline(self) -> float:
        """Time when the oldest message that waits for a connection expires; inf: never."""
        return inf if self._outbox is None else self._outbox.deadline

    def without_outbox(self) -> Ledger:
        """Return a ledger with the same cursor and an empty outbox of its own."""
        other = Ledger(self._config, self._dialect, acks=self._acks)
        other.cursor = self.cursor
        return other

    def submit(self, message: OutgoingMessage, now: float, out: list[Effect], *, again: bool = False) -> None:
        """Accept a message, or refuse it. `again`: it may have been sent before, and is accepted even if the
        outbox is full."""
        outbox, size = self.outbox, message.size
        if message.client_id in outbox:
            out.append(Refuse(message.client_id, "duplicate"))
        elif again:
            outbox.put_back(message, size, now)
        elif not outbox.accepts(size):
            out.append(Refuse(message.client_id, "full"))
        elif dropped := outbox.push(message, size, now):
            out.extend(Settle(id, DeliveryState.DROPPED, "the outbox is full") for id in dropped)

    def take(self) -> OutgoingMessage | None:
        """Return the next message to send, now in flight; None: there is none, or the window is full."""
        return None if self._outbox is None else self._outbox.take(self._acks)

    def unencodable(self, message: OutgoingMessage, out: list[Effect]) -> Unencodable:
        """Remove a message for which the dialect has raised; return the exception to raise instead."""
        id = message.client_id
        self.outbox.settle(id)
        return Unencodable(id, [e for e in out if not (type(e) is Settle and e.client_id == id)])

    def lose_connection(self) -> None:
        """Queue the messages in flight to be sent again, before all others."""
        if self._outbox is not None:
            self._outbox.lose_connection()

    def expire(self, now: float, out: list[Effect]) -> None:
        """Expire the messages that have waited too long for a connection."""
        if self._outbox is None:
            return
        expired = self._outbox.expire(now)
        if expired:
            reason = f"waited longer than {self._config.outbox.max_age:g} s"
            out.extend(Settle(id, DeliveryState.EXPIRED, reason) for id in expired)

    def settle(self, settle: Settle, out: list[Effect]) -> None:
        """Settle a message that the server has accepted or refused, unless it is settled already."""
        if self._outbox is not None and self._outbox.settle(settle.client_id):
            out.append(settle)

    def is_sent(self, client_id: str) -> bool:
        """Return whether a message was sent and is unsettled."""
        return self._outbox is not None and self._outbox.sent(client_id) is not None

    def _echo(self, message: ChatMessage, out: list[Effect]) -> None:
        """Settle a sent message by its echo, unless another client has used its sender name and id."""
        sent = None if self._outbox is None else self._outbox.sent(message.client_id)
        if sent is not None and self._dialect.is_echo(sent, message):
            self.settle(Settle(message.client_id, _ACKED), out)

    @property
    def resumable(self) -> bool:
        """Whether a server can be asked to resume: the last id is short enough, or there is none."""
        last_id = self.cursor.last_id
        return last_id is None or not too_long(last_id)

    def resume_from(
        self, config: TransportConfig, history: int | None, out: list[Effect]
    ) -> tuple[TransportConfig, str | None]:
        """Return the settings and the cursor of a request for the messages after the last one.

        If that one's id is too long, ask for the latest `history` messages (None: all) instead; duplicates
        are dropped, and a `resync` is reported to the application.
        """
        if self.resumable:
            return config, self.cursor.last_id
        self._report_unresumable(out)
        return config.replace(history=history), None

    def _report_unresumable(self, out: list[Effect]) -> None:
        if self._reported != self.cursor.last_id:
            self._reported = self.cursor.last_id
            reason = "the message's id is too long to resume from"
            out.append(Deliver(ChatEvent("resync", reason=reason)))

    def report_gap(self, out: list[Effect]) -> None:
        """Report that messages may be missing between the last one and the next."""
        reason = "the server no longer has the messages after the last one"
        out.append(Deliver(ChatEvent("resync", reason=reason)))

    def _reused(self, message: ChatMessage, out: list[Effect]) -> bool:
        """Report that the server counts anew if the message has a known id, but another content; return
        whether it has."""
        if not message.id or not self.cursor.reused(message.id, content_of(message)):
            return False
        if not self._recounted:
            self._recounted = True
            reason = "the server gave a known id to another message, as if it counted anew after a restart"
            out.append(Deliver(ChatEvent("resync", reason=reason)))
        return True

    def _record(self, message: ChatMessage, out: list[Effect]) -> bool:
        """Record a message, if ids show gaps or are reused, or the server keeps duplicates; return whether it
        is new."""
        cursor, dialect = self.cursor, self._dialect
        before = cursor.last_id
        if not cursor.advance(message.id, content_of(message) if self._reuses_ids else None):
            return False
        self._recounted = False
        if dialect.gap is not None and before and message.id and dialect.gap(before, message.id):
            self.report_gap(out)
        once = dialect.idempotent or not message.client_id
        return once or cursor.record_posted(message)

    def read(self, item: Incoming, out: list[Effect]) -> None:
        """Handle an item from the server, except heartbeats, which the connection handles."""
        match item:
            case ChatMessage():
                if item.client_id and item.sender == self._config.sender:
                    self._echo(item, out)
                if self._reuses_ids and self._reused(item, out):
                    item = replace(item, id="")  # Others would drop it as a duplicate.
                    out.append(Deliver(ChatEvent("message", message=item, sender=item.sender)))
                elif self._record(item, out) if self._records_all else self.cursor.advance(item.id):
                    out.append(Deliver(ChatEvent("message", message=item, sender=item.sender)))
                    if too_long(item.id):
                        self._report_unresumable(out)
            case Ack():
                self.acked += 1
                self.settle(Settle(item.client_id, _ACKED), out)
            case Welcome():
                if item.resync:
                    self.report_gap(out)
                if item.resync or self.cursor.last_id is None:
                    self.cursor.move(item.cursor)
            case Nack():
                self.settle(Settle(item.client_id, DeliveryState.FAILED, item.reason, item.status), out)
            case ChatEvent():
                out.append(Deliver(item))
            case Unreadable():
                if item.id:
                    self.cursor.advance(item.id)
                out.append(Deliver(ChatEvent("unreadable", reason=item.reason, payload=item.excerpt)))
            case ServerPing() | ServerPong() | Reply() | Refused():
                pass  # The connection's machine handles them.
            case unknown:
                assert_never(unknown)
