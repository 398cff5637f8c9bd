"""Receipts: the delivery states of sent messages, as the application sees them."""

from __future__ import annotations

import contextlib

from msgspec import Struct
from msgspec.structs import replace

from chatlab.errors import ChatError, ChatSendError, InvalidMessage
from chatlab.live.waiter import Waiter
from chatlab.messages import DeliveryState, OutgoingMessage
from chatlab.transports.machine import Settle

# Enum attributes and properties take more time than the rest of a change of state.
_QUEUED, _SENT, _FAILED = DeliveryState.QUEUED, DeliveryState.SENT, DeliveryState.FAILED
_DROPPED, _EXPIRED = DeliveryState.DROPPED, DeliveryState.EXPIRED


class _GivenUp:
    """A flag that says whether a transport has given up, and the waiters for that."""

    __slots__ = ("value", "waiters")

    def __init__(self) -> None:
        self.value = False
        self.waiters: list[Waiter] = []

    def set(self, value: bool) -> None:
        """Set the flag; wake the waiters if the transport has given up."""
        self.value = value  # Before the waiters are woken: later ones must see it.
        if value:
            for waiter in tuple(self.waiters):
                waiter.wake()


class Receipt(Struct, eq=False):
    """An accepted message, and its state. May be read on any thread, and awaited on any loop."""

    message: OutgoingMessage
    _acks: bool
    _gave_up: _GivenUp
    state: DeliveryState = _QUEUED
    error: ChatError | None = None
    _waiters: list[Waiter] = []
    _origin: Receipt | None = None

    @property
    def client_id(self) -> str:
        """The id that identifies the message at the server."""
        return self.message.client_id

    @property
    def final(self) -> bool:
        """Whether the state can no longer change."""
        return self.ends(self.state)

    def ends(self, state: DeliveryState) -> bool:
        """Whether `state` would be final."""
        return not self._acks if state is _SENT else state is not _QUEUED

    async def settled(self, *, or_error: bool = False) -> DeliveryState:
        """Wait for the final state and return it; unless it is `acked` or `sent`, `error` says why.

        A transport that has given up, or is disconnected, keeps the message for its next `connect`, and
        this method goes on waiting. With `or_error` it returns once the transport's status is `error`,
        perhaps with a state that isn't final.
        """
        if self._settled(or_error):
            return self.state
        if (origin := self._origin) is not None:
            self.state = await origin.settled(or_error=or_error)
            self.error = origin.error
            return self.state
        waiter = Waiter()
        waiting = (self._waiters, self._gave_up.waiters) if or_error else (self._waiters,)
        for waiters in waiting:
            waiters.append(waiter)
        try:
            if not self._settled(or_error):  # It may have settled before the waiter was added.
                await waiter.woken
        finally:
            for waiters in waiting:
                with contextlib.suppress(ValueError):
                    waiters.remove(waiter)
        return self.state

    def _settled(self, or_error: bool) -> bool:
        return self.ends(self.state) or (or_error and self._gave_up.value)

    def as_of_now(self) -> Receipt:
        """Return a copy that keeps its present state, for a handler that is called later."""
        return replace(self, _waiters=[], _origin=self)

    def settle(self, settle: Settle) -> None:
        """Apply a new state from the machine."""
        state = settle.state
        if not self.ends(state):
            self.state = state
            return
        if state is _FAILED:
            self.error = ChatSendError(settle.status or 0, settle.reason)
        elif state is _DROPPED or state is _EXPIRED:
            self.error = ChatError(f"{state}: {settle.reason}")
        self.state = state  # Before the waiters are woken: later ones must see it.
        for waiter in tuple(self._waiters):
            waiter.wake()
        self._waiters.clear()

    def __repr__(self) -> str:
        return f"Receipt({self.client_id!r}, {self.state.value})"


class Receipts:
    """The receipts of all messages without a final state, in the order of their acceptance."""

    def __init__(self, *, acks: bool) -> None:
        self._acks = acks
        self._gave_up = _GivenUp()
        self._unsettled: dict[str, Receipt] = {}

    def __len__(self) -> int:
        return len(self._unsettled)

    def new(self, message: OutgoingMessage) -> Receipt:
        """Return a receipt for a message that is about to be submitted.

        Errors: `InvalidMessage` if a message of that client id is still unsettled.
        """
        receipt = Receipt(message, self._acks, self._gave_up)
        if self._unsettled.setdefault(message.client_id, receipt) is not receipt:
            raise InvalidMessage(
                f"a message with client_id {message.client_id!r} is still on its way; "
                "give each message its own"
            )
        return receipt

    def withdraw(self, receipt: Receipt) -> None:
        """Remove the receipt of a message that wasn't accepted."""
        self._unsettled.pop(receipt.client_id, None)

    def settle(self, settle: Settle) -> Receipt | None:
        """Apply a message's new state from the machine, and return its receipt, if there is one."""
        receipt = self._unsettled.get(settle.client_id)
        if receipt is not None:
            if receipt.ends(settle.state):  # First: a waiter may send the same id again.
                del self._unsettled[settle.client_id]
            receipt.settle(settle)
        return receipt

    def gave_up(self, value: bool) -> None:
        """Set whether the transport has given up."""
        self._gave_up.set(value)

    def give_up(self, reason: str) -> None:
        """Settle all receipts as dropped, since their states will no longer change."""
        for client_id in tuple(self._unsettled):
            self.settle(Settle(client_id, _DROPPED, reason))

    def messages(self) -> list[OutgoingMessage]:
        """Return the messages."""
        return [receipt.message for receipt in tuple(self._unsettled.values())]
