"""Own messages on their way: accepted, taken over by another transport, left behind, or sent again."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

from chatlab.conversation.face import Face
from chatlab.conversation.failures import explain
from chatlab.conversation.own import REASON, Own, OwnMessages
from chatlab.conversation.places import Place
from chatlab.conversation.use import Use
from chatlab.errors import ChatError, ChatSendError
from chatlab.live.receipt import Receipt
from chatlab.live.transport import ChatTransport
from chatlab.messages import ChatMessage, DeliveryState, OutgoingMessage
from chatlab.transports.machine import Settle


class Outgoing:
    """Hands own messages to the transport in use, and follows what becomes of them.

    `clock` returns seconds, as `Own.accepted_at` counts them. For one thread at a time.
    """

    def __init__(self, face: Face, series: str, clock: Callable[[], float]) -> None:
        self.messages = OwnMessages(series)
        self._face = face
        self._clock = clock

    def submit(self, use: Use, message: OutgoingMessage | str) -> Receipt:
        """Hand over a message for the place of `use`.

        Errors: `OutboxFull`, and `InvalidMessage`, as of the transport.
        """
        if isinstance(message, str) or not message.client_id:
            text, data = (message, None) if isinstance(message, str) else (message.text, message.data)
            message = OutgoingMessage(text=text, data=data, client_id=secrets.token_hex(16))
        own = self._add(use, message)
        try:
            receipt = use.transport.submit(message)
        except Exception:
            self.messages.take_back(own)
            raise
        own.waits = receipt.state is DeliveryState.QUEUED
        own.receipt, own.state, own.shown = receipt, receipt.state, True
        self._face.accepted(own)
        if receipt.final:
            self._follow(own, receipt)
        return receipt

    def retry(self, use: Use | None, key: str) -> None:
        """Send a message again that came to nothing, if it was written for the place of `use`.

        Errors: `ChatError` where it wasn't, or is no longer kept; `OutboxFull`, and `InvalidMessage`, as of
        the transport.
        """
        own = self.messages.waiting_for(key)
        if own is None or own.message is None or use is None:
            raise ChatError("that message is from a file, or no longer kept; copy its text to send it anew")
        if own.place != use.place:
            raise ChatError(f"that message is for {own.place.seen_from(use.place)}; go there first")
        before = (own.state, own.reason, own.left)
        self.messages.reopen(own, use.transport)
        try:
            receipt = use.transport.submit(own.message)
        except Exception:
            own.state, own.reason, own.left = before
            self.messages.close(own)
            raise
        if own.receipt is None or own.receipt.final:
            own.receipt = receipt
        own.state, own.waits = receipt.state, True
        self._face.settled(own)

    def for_place(self, place: Place | None) -> list[Own]:
        """Return what came to nothing and was written for a place, oldest first."""
        return [own for own in self.messages.undelivered() if own.place == place]

    def _add(self, use: Use, message: OutgoingMessage) -> Own:
        return self.messages.add(message, use.place, use.transport, time.time(), self._clock())

    def adopt(self, use: Use, message: OutgoingMessage) -> Own | None:
        """Take a message for an own one that was handed to the transport itself; None: it's known."""
        known = self.messages.find(message.client_id, use.place, use.place.name)
        if known is not None or self.messages.under_way(message.client_id) is not None:
            return None
        own = self._add(use, message)
        own.shown = own.waits = True
        self._face.accepted(own)
        return own

    # A change of transports

    def take_over(self, use: Use) -> None:
        """Hand over what other transports have not settled, if it's for the place of `use`; leave the rest
        behind."""
        for own in self.messages:
            if own.holder is use.transport:
                continue
            if own.place == use.place:
                self._hand_over(own, use.transport)
            else:
                self._leave_behind(own, use.place)

    def _hand_over(self, own: Own, transport: ChatTransport) -> None:
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
            self._face.settled(own)

    def _leave_behind(self, own: Own, here: Place) -> None:
        unknown = own.state is not DeliveryState.QUEUED
        own.left = True
        own.reason = f"for {own.place.seen_from(here)}{'; it may have arrived' if unknown else ''}"
        self._face.settled(own)
        self.messages.close(own)

    def _give_up(self, own: Own, state: DeliveryState, reason: str) -> None:
        own.state, own.reason = state, reason[:REASON]
        _tell(own, Settle(own.client_id, state, reason))
        self._face.settled(own)
        self.messages.close(own)

    # What becomes of them

    def settled(self, use: Use, receipt: Receipt) -> bool:
        """Take in that a receipt of a transport has changed; return whether it is news."""
        own = self.messages.under_way(receipt.client_id) or self.adopt(use, receipt.message)
        if own is None or own.holder is not use.transport or not own.shown:
            return False
        if own.receipt is None:
            own.receipt = receipt
        self._follow(own, receipt)
        return True

    def _follow(self, own: Own, receipt: Receipt) -> None:
        """Take over the state of the receipt of the transport that holds a message."""
        error = receipt.error
        own.state, own.reason = receipt.state, str(error or "")[:REASON]
        if own.receipt is not receipt:
            refusal = error if isinstance(error, ChatSendError) else None
            reason, status = (refusal.reason, refusal.status) if refusal is not None else (own.reason, None)
            _tell(own, Settle(own.client_id, own.state, reason, status))
        self._face.settled(own)
        if receipt.final:
            self.messages.close(own)

    def came_back(self, use: Use, message: ChatMessage) -> bool:
        """Return whether a message from the server is an own one that comes back, which is then delivered."""
        own = self.messages.find(message.client_id, use.place, message.sender) if message.client_id else None
        if own is None or own.echo is not None:
            return False
        if own.message is not None and not use.dialect.is_echo(own.message, message):
            return False  # Somebody else has used the name and the id.
        own.echo = message.id
        if own.left or own.state is not DeliveryState.ACKED:
            own.state, own.reason, own.left = DeliveryState.ACKED, "", False
            _tell(own, Settle(own.client_id, own.state))
            self._face.settled(own)
            self.messages.close(own)
        self.messages.let_go(own)
        return True


def _tell(own: Own, settle: Settle) -> None:
    """Tell whoever holds the first receipt of a message, which another transport has taken over."""
    if own.receipt is not None and not own.receipt.final:
        own.receipt.settle(settle)
