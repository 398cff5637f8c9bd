"""Receipts: where sent messages stand in the delivery ledger, as the application sees it."""

from __future__ import annotations

import asyncio
import threading

from chatlab.errors import ChatError, ChatSendError, InvalidMessage
from chatlab.live.waiter import Waiter
from chatlab.messages import DeliveryState, OutgoingMessage
from chatlab.transports.machine import Settle

# An enum's attributes and properties cost more than the rest of a change of state together.
_QUEUED, _SENT = DeliveryState.QUEUED, DeliveryState.SENT


class Receipt:
    """An accepted message, and its state. May be read on any thread, and awaited on any loop."""

    __slots__ = ("_final_sent", "_lock", "_waiters", "error", "message", "state")

    def __init__(self, message: OutgoingMessage, lock: threading.Lock, *, acks: bool) -> None:
        self.message = message
        self.state = _QUEUED
        self.error: ChatError | None = None
        self._final_sent = not acks
        self._lock = lock
        self._waiters: tuple[Waiter, ...] = ()  # And no list, which most would have for nothing.

    @property
    def client_id(self) -> str:
        """The id that identifies the message at the server."""
        return self.message.client_id

    @property
    def final(self) -> bool:
        """Whether the state can't change any more."""
        return self.ends(self.state)

    def ends(self, state: DeliveryState) -> bool:
        """Whether a state would be its last."""
        return self._final_sent if state is _SENT else state is not _QUEUED

    async def settled(self) -> DeliveryState:
        """Wait for the final state and return it; where it isn't `acked` or `sent`, `error` says why."""
        with self._lock:
            if self.final:
                return self.state
            waiter = Waiter()
            self._waiters += (waiter,)
        try:
            await waiter
        except asyncio.CancelledError:
            with self._lock:
                self._waiters = tuple(other for other in self._waiters if other is not waiter)
            raise
        return self.state

    def settle(self, settle: Settle) -> None:
        """Take a new state from the machine."""
        state = settle.state
        if not self.ends(state):
            self.state = state
            return
        with self._lock:
            if state is DeliveryState.FAILED:
                self.error = ChatSendError(settle.status or 0, settle.reason)
            elif state in (DeliveryState.DROPPED, DeliveryState.EXPIRED):
                self.error = ChatError(f"{state}: {settle.reason}")
            self.state = state
            waiters, self._waiters = self._waiters, ()
        for waiter in waiters:
            waiter.wake()

    def __repr__(self) -> str:
        return f"Receipt({self.client_id!r}, {self.state.value})"


class Receipts:
    """The receipts of all messages that aren't in a final state, in the order of their acceptance."""

    def __init__(self, *, acks: bool) -> None:
        self._acks = acks
        self._lock = threading.Lock()
        self._unsettled: dict[str, Receipt] = {}

    def __len__(self) -> int:
        return len(self._unsettled)

    def new(self, message: OutgoingMessage) -> Receipt:
        """Return a receipt for a message that is about to be handed over.

        Errors: `InvalidMessage` where a message of that client id is still unsettled.
        """
        receipt = Receipt(message, self._lock, acks=self._acks)
        if self._unsettled.setdefault(message.client_id, receipt) is not receipt:
            raise InvalidMessage(
                f"a message with client_id {message.client_id!r} is still on its way; give each its own"
            )
        return receipt

    def withdraw(self, receipt: Receipt) -> None:
        """Forget a receipt: its message wasn't accepted."""
        del self._unsettled[receipt.client_id]

    def settle(self, settle: Settle) -> Receipt | None:
        """Take a message's new state from the machine, and return its receipt, if anybody has one."""
        receipt = self._unsettled.get(settle.client_id)
        if receipt is not None:
            if receipt.ends(settle.state):  # First: whoever waits for it may send the same id again.
                del self._unsettled[settle.client_id]
            receipt.settle(settle)
        return receipt

    def messages(self) -> list[OutgoingMessage]:
        """Return the messages."""
        return [receipt.message for receipt in tuple(self._unsettled.values())]
