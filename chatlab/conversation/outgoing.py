"""Delivery of own messages: submitted, handed to another transport, left behind, or retried."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

from chatlab.conversation.display import Display
from chatlab.conversation.failures import explain
from chatlab.conversation.own import REASON, OwnMessage, OwnMessages
from chatlab.conversation.places import Place
from chatlab.conversation.session import Session
from chatlab.errors import ChatError, ChatSendError
from chatlab.live.client.receipt import Receipt
from chatlab.live.client.transport import ChatTransport
from chatlab.messages import ChatMessage, DeliveryState, OutgoingMessage
from chatlab.transports.machine import Settle


class Outgoing:
    """Submits own messages to the current transport, and tracks their state.

    `clock` returns seconds, the base of `OwnMessage.accepted_at`. Not thread-safe.
    """

    def __init__(self, display: Display, series: str, clock: Callable[[], float]) -> None:
        self.messages = OwnMessages(series)
        self._display = display
        self._clock = clock

    def submit(self, session: Session, message: OutgoingMessage | str) -> Receipt:
        """Submit a message for the place of `session`.

        Errors: `OutboxFull` and `InvalidMessage`, from the transport.
        """
        if isinstance(message, str) or not message.client_id:
            text, data = (message, None) if isinstance(message, str) else (message.text, message.data)
            message = OutgoingMessage(text=text, data=data, client_id=secrets.token_hex(16))
        own = self._add(session, message)
        try:
            receipt = session.transport.submit(message)
        except Exception:
            self.messages.withdraw(own)
            raise
        own.waits = receipt.state is DeliveryState.QUEUED
        own.receipt, own.state, own.shown = receipt, receipt.state, True
        self._display.accepted(own)
        if receipt.final:
            self._follow(own, receipt)
        return receipt

    def retry(self, session: Session | None, key: str) -> None:
        """Retry an undelivered message that was written for the place of `session`.

        Errors: `ChatError` if it was written for another place, or is no longer kept; `OutboxFull` and
        `InvalidMessage`, from the transport.
        """
        own = self.messages.find_undelivered(key)
        if own is None or own.message is None or session is None:
            raise ChatError("that message is from a file, or no longer kept; copy its text to send it again")
        if own.place != session.place:
            raise ChatError(f"that message is for {own.place.describe(session.place)}; go there first")
        before = (own.state, own.reason, own.left_behind)
        self.messages.reopen(own, session.transport)
        try:
            receipt = session.transport.submit(own.message)
        except Exception:
            own.state, own.reason, own.left_behind = before
            self.messages.close(own)
            raise
        if own.receipt is None or own.receipt.final:
            own.receipt = receipt
        own.state, own.waits = receipt.state, True
        self._display.settled(own)

    def for_place(self, place: Place | None) -> list[OwnMessage]:
        """Return the undelivered messages for a place, oldest first."""
        return [own for own in self.messages.undelivered() if own.place == place]

    def _add(self, session: Session, message: OutgoingMessage) -> OwnMessage:
        return self.messages.add(message, session.place, session.transport, time.time(), self._clock())

    def adopt(self, session: Session, message: OutgoingMessage) -> OwnMessage | None:
        """Add a message that was submitted to the transport directly; return None if it is known."""
        known = self.messages.find(message.client_id, session.place, session.place.name)
        if known is not None or self.messages.under_way(message.client_id) is not None:
            return None
        own = self._add(session, message)
        own.shown = own.waits = True
        self._display.accepted(own)
        return own

    # A change of transports

    def take_over(self, session: Session) -> None:
        """Submit other transports' unsettled messages for the place of `session`; leave the rest behind."""
        for own in self.messages:
            if own.holder is session.transport:
                continue
            if own.place == session.place:
                self._hand_over(own, session.transport)
            else:
                self._leave_behind(own, session.place)

    def _hand_over(self, own: OwnMessage, transport: ChatTransport) -> None:
        assert own.message is not None
        age = transport.config.outbox.max_age
        if age is not None and self._clock() - own.accepted_at >= age:
            self._give_up(own, DeliveryState.EXPIRED, f"expired: waited longer than {age:g} s")
            return
        own.holder = transport
        try:
            receipt = transport.submit(own.message, again=True)
        except (Exception, SystemExit) as error:
            self._give_up(own, DeliveryState.FAILED, explain(error))
            return
        own.receipt = own.receipt or receipt
        if own.state is not receipt.state:
            own.state = receipt.state
            self._display.settled(own)

    def _leave_behind(self, own: OwnMessage, here: Place) -> None:
        unknown = own.state is not DeliveryState.QUEUED
        own.left_behind = True
        own.reason = f"for {own.place.describe(here)}{'; it may have arrived' if unknown else ''}"
        self._display.settled(own)
        self.messages.close(own)

    def _give_up(self, own: OwnMessage, state: DeliveryState, reason: str) -> None:
        own.state, own.reason = state, reason[:REASON]
        _settle_first_receipt(own, Settle(own.client_id, state, reason))
        self._display.settled(own)
        self.messages.close(own)

    # Outcomes

    def settled(self, session: Session, receipt: Receipt) -> bool:
        """Apply a change of a transport's receipt; return whether it concerned a current own message."""
        own = self.messages.under_way(receipt.client_id) or self.adopt(session, receipt.message)
        if own is None or own.holder is not session.transport or not own.shown:
            return False
        if own.receipt is None:
            own.receipt = receipt
        self._follow(own, receipt)
        return True

    def _follow(self, own: OwnMessage, receipt: Receipt) -> None:
        """Copy the state from the receipt of the transport that holds the message."""
        error = receipt.error
        own.state, own.reason = receipt.state, str(error or "")[:REASON]
        if own.receipt is not receipt:
            refusal = error if isinstance(error, ChatSendError) else None
            reason, status = (refusal.reason, refusal.status) if refusal is not None else (own.reason, None)
            _settle_first_receipt(own, Settle(own.client_id, own.state, reason, status))
        self._display.settled(own)
        if receipt.final:
            self.messages.close(own)

    def match_echo(self, session: Session, message: ChatMessage) -> bool:
        """Return whether a message from the server is the echo of an own one; if so, mark that delivered."""
        own = (
            self.messages.find(message.client_id, session.place, message.sender)
            if message.client_id
            else None
        )
        if own is None or own.echo is not None:
            return False
        if own.message is not None and not session.dialect.is_echo(own.message, message):
            return False  # Another client used the same name and id.
        own.echo = message.id
        if own.left_behind or own.state is not DeliveryState.ACKED:
            own.state, own.reason, own.left_behind = DeliveryState.ACKED, "", False
            _settle_first_receipt(own, Settle(own.client_id, own.state))
            self._display.settled(own)
            self.messages.close(own)
        self.messages.release(own)
        return True


def _settle_first_receipt(own: OwnMessage, settle: Settle) -> None:
    """Settle the first receipt of a message, whose delivery another transport has taken over."""
    if own.receipt is not None and not own.receipt.final:
        own.receipt.settle(settle)
