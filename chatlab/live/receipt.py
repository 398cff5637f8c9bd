"""Receipts: where a sent message stands in the delivery ledger."""

from __future__ import annotations

import asyncio
import threading

from chatlab.errors import ChatError, ChatSendError
from chatlab.live.inbox import wake
from chatlab.messages import DeliveryState, OutgoingMessage
from chatlab.transports.machine import Settle


class Receipt:
    """An accepted message, and its state. May be read on any thread, and awaited on any loop."""

    __slots__ = ("_final_sent", "_lock", "_waiters", "error", "message", "state")

    def __init__(self, message: OutgoingMessage, lock: threading.Lock, *, acks: bool) -> None:
        self.message = message
        self.state = DeliveryState.QUEUED
        self.error: ChatError | None = None
        self._final_sent = not acks
        self._lock = lock
        self._waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

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
        return state.final or (self._final_sent and state is DeliveryState.SENT)

    async def settled(self) -> DeliveryState:
        """Wait for the final state and return it; where it isn't `acked` or `sent`, `error` says why."""
        loop = asyncio.get_running_loop()
        waiter = (loop, loop.create_future())
        with self._lock:
            if self.final:
                return self.state
            self._waiters.append(waiter)
        try:
            await waiter[1]
        except asyncio.CancelledError:
            with self._lock:
                self._waiters = [other for other in self._waiters if other is not waiter]
            raise
        return self.state

    def settle(self, settle: Settle) -> None:
        """Take a new state from the machine."""
        with self._lock:
            self.state = settle.state
            if settle.state is DeliveryState.FAILED:
                self.error = ChatSendError(settle.status or 0, settle.reason)
            elif settle.state in (DeliveryState.DROPPED, DeliveryState.EXPIRED):
                self.error = ChatError(f"{settle.state}: {settle.reason}")
            waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
            if self.final:
                waiters, self._waiters = self._waiters, waiters
        for waiter in waiters:
            wake(*waiter)

    def __repr__(self) -> str:
        return f"Receipt({self.client_id!r}, {self.state.value})"
