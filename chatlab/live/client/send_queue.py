"""The senders that wait for room in a full outbox, first come, first served."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from chatlab.errors import OutboxFull
from chatlab.live.client.receipt import Receipt


class SendQueue:
    """A queue of senders, on one loop."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self._room = asyncio.Event()

    async def send(self, submit: Callable[[], Receipt]) -> Receipt:
        """Submit a message once there is room for it; return its receipt. Errors: those of `submit`."""
        async with self.turn:
            while True:
                self._room.clear()
                try:
                    return submit()
                except OutboxFull:
                    await self._room.wait()

    def try_again(self) -> None:
        """Wake the first sender, since a message has left the outbox."""
        self._room.set()
