"""Receipts: where a sent message stands in the delivery ledger."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future

from chatlab.errors import ChatError, ChatSendError
from chatlab.messages import DeliveryState, OutgoingMessage
from chatlab.transports.machine import Settle


class Receipt:
    """An accepted message, and its state. May be read on any thread, and awaited on any loop."""

    __slots__ = ("_done", "_final_sent", "_lock", "error", "message", "state")

    def __init__(self, message: OutgoingMessage, lock: threading.Lock, *, acks: bool) -> None:
        self.message = message
        self.state = DeliveryState.QUEUED
        self.error: ChatError | None = None
        self._final_sent = not acks
        self._lock = lock
        self._done: Future[DeliveryState] | None = None

    @property
    def client_id(self) -> str:
        """The id that identifies the message at the server."""
        return self.message.client_id

    @property
    def final(self) -> bool:
        """Whether the state can't change any more."""
        return self.state.final or (self._final_sent and self.state is DeliveryState.SENT)

    async def settled(self) -> DeliveryState:
        """Wait for the final state and return it; where it is `failed`, `error` holds the server's refusal."""
        with self._lock:
            if self.final:
                return self.state
            done = self._done = self._done or Future()
        return await asyncio.shield(asyncio.wrap_future(done))

    def settle(self, settle: Settle) -> None:
        """Take a new state from the machine."""
        with self._lock:
            self.state = settle.state
            if settle.state is DeliveryState.FAILED:
                self.error = ChatSendError(settle.status or 0, settle.reason)
            elif settle.state in (DeliveryState.DROPPED, DeliveryState.EXPIRED):
                self.error = ChatError(f"{settle.state}: {settle.reason}")
            done = self._done if self.final else None
        if done is not None and not done.done():
            done.set_result(self.state)

    def __repr__(self) -> str:
        return f"Receipt({self.client_id!r}, {self.state.value})"
