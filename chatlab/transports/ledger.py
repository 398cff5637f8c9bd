"""The delivery ledger and the reader's place: what becomes of messages, whatever carries them.

It holds the outbox and the cursor, and turns what a server says into effects for the application. Which
connection or request carries what is its machine's business.
"""

from __future__ import annotations

from math import inf
from typing import assert_never

from chatlab.dialects.base import (
    Ack,
    Dialect,
    Incoming,
    Nack,
    ServerPing,
    ServerPong,
    Unreadable,
    Welcome,
)
from chatlab.messages import ChatEvent, ChatMessage, DeliveryState, OutgoingMessage
from chatlab.settings import TransportConfig
from chatlab.transports.cursor import Cursor, too_long
from chatlab.transports.machine import Deliver, Effect, Refuse, Settle, Unencodable
from chatlab.transports.outbox import Outbox

_ACKED = DeliveryState.ACKED  # An enum's attribute takes longer than an effect is made in.


class Ledger:
    """One person's accepted messages, and what that person has received.

    Most people of a crowd only read; so there is an outbox only once there is something to send. Where
    nothing `ages`, there is no `deadline`. `acked` counts acks that weren't a message's coming back.
    """

    __slots__ = ("_acks", "_config", "_dialect", "_notes", "_outbox", "_told", "acked", "ages", "cursor")

    def __init__(self, config: TransportConfig, dialect: Dialect, *, acks: bool) -> None:
        self._config = config
        self._dialect = dialect
        self._acks = acks
        self.ages = config.outbox.max_age is not None
        self._notes = dialect.gap is not None or not dialect.idempotent
        self._outbox: Outbox | None = None
        self._told: str | None = None  # The place of which was said that nobody can resume from it.
        self.cursor = Cursor(config.after)
        self.acked = 0

    @property
    def outbox(self) -> Outbox:
        """What is to be sent, and in flight."""
        if self._outbox is None:
            self._outbox = Outbox(self._config.outbox)
        return self._outbox

    @outbox.setter
    def outbox(self, outbox: Outbox) -> None:
        self._outbox = outbox

    @property
    def unsettled(self) -> int:
        """How many accepted messages aren't in a final state."""
        return 0 if self._outbox is None else len(self._outbox)

    @property
    def deadline(self) -> float:
        """When the oldest message that waits for a connection expires; inf: never."""
        return inf if self._outbox is None else self._outbox.deadline

    def without_outbox(self) -> Ledger:
        """Return a ledger that reads at the same place, and has nothing to send."""
        other = Ledger(self._config, self._dialect, acks=self._acks)
        other.cursor = self.cursor
        return other

    def submit(self, message: OutgoingMessage, now: float, out: list[Effect], *, again: bool = False) -> None:
        """Accept a message, or refuse it; one that may have been sent already goes out `again`, and is never
        refused for want of room."""
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
        """Return the next message to send, which is in flight from now on; None: there is none, or the
        window is full."""
        return None if self._outbox is None else self._outbox.take(self._acks)

    def unencodable(self, message: OutgoingMessage, out: list[Effect]) -> Unencodable:
        """Let go of a message for which the dialect has raised; return what to raise in its place."""
        id = message.client_id
        self.outbox.settle(id)
        return Unencodable(id, [e for e in out if not (type(e) is Settle and e.client_id == id)])

    def lose_connection(self) -> None:
        """Let what is in flight be sent again, before everything else."""
        if self._outbox is not None:
            self._outbox.lose_connection()

    def expire(self, now: float, out: list[Effect]) -> None:
        """Let go of what has waited too long for a connection."""
        if self._outbox is None:
            return
        expired = self._outbox.expire(now)
        if expired:
            reason = f"waited longer than {self._config.outbox.max_age:g} s"
            out.extend(Settle(id, DeliveryState.EXPIRED, reason) for id in expired)

    def settle(self, settle: Settle, out: list[Effect]) -> None:
        """The server has accepted or refused a message; one that isn't under way is no news."""
        if self._outbox is not None and self._outbox.settle(settle.client_id):
            out.append(settle)

    def is_sent(self, client_id: str) -> bool:
        """Whether a message was sent and is unsettled."""
        return self._outbox is not None and self._outbox.sent(client_id) is not None

    def _echo(self, message: ChatMessage, out: list[Effect]) -> None:
        """An own message comes back, and is thereby acked; unless somebody else has used its name and id."""
        sent = None if self._outbox is None else self._outbox.sent(message.client_id)
        if sent is not None and self._dialect.is_echo(sent, message):
            self.settle(Settle(message.client_id, _ACKED), out)

    @property
    def resumable(self) -> bool:
        """Whether a server can be asked for what came after the last message, or after nothing."""
        last_id = self.cursor.last_id
        return last_id is None or not too_long(last_id)

    def place(
        self, config: TransportConfig, history: int | None, out: list[Effect]
    ) -> tuple[TransportConfig, str | None]:
        """Return the settings and the cursor to ask with for what came after the last message.

        If that one's id is too long to resume from, the latest `history` messages are asked for (None: all),
        and those that were seen are dropped; the application is told of a `resync`.
        """
        if self.resumable:
            return config, self.cursor.last_id
        self._tell_unresumable(out)
        return config.replace(history=history), None

    def _tell_unresumable(self, out: list[Effect]) -> None:
        if self._told != self.cursor.last_id:
            self._told = self.cursor.last_id
            reason = "the message's id is too long to resume from"
            out.append(Deliver(ChatEvent("resync", reason=reason)))

    def report_gap(self, out: list[Effect]) -> None:
        """Something may be missing between what was received and what comes now."""
        reason = "the server no longer has what came after the last message"
        out.append(Deliver(ChatEvent("resync", reason=reason)))

    def _note(self, message: ChatMessage, out: list[Effect]) -> bool:
        """Note a message of a server whose ids tell of gaps, or that keeps what it gets twice; return whether
        it is new."""
        cursor, dialect = self.cursor, self._dialect
        before = cursor.last_id
        if not cursor.advance(message.id):
            return False
        if dialect.gap is not None and before and message.id and dialect.gap(before, message.id):
            self.report_gap(out)
        once = dialect.idempotent or not message.client_id
        return once or cursor.first(message)

    def fast_deliver(self, item: Incoming) -> ChatMessage | None:
        """Take in what is but a new message of somebody else's, and return it; None: nothing was done."""
        if not isinstance(item, ChatMessage) or self._notes or item.sender == self._config.sender:
            return None
        if too_long(item.id):
            return None
        return item if self.cursor.advance(item.id) else None

    def read(self, item: Incoming, out: list[Effect]) -> None:
        """Take in what the server says, but for heartbeats, which are the connection's."""
        match item:
            case ChatMessage():
                if item.client_id and item.sender == self._config.sender:
                    self._echo(item, out)
                if self._note(item, out) if self._notes else self.cursor.advance(item.id):
                    out.append(Deliver(ChatEvent("message", message=item, sender=item.sender)))
                    if too_long(item.id):
                        self._tell_unresumable(out)
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
            case ServerPing() | ServerPong():
                pass
            case unknown:
                assert_never(unknown)
