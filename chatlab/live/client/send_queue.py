"""The senders that wait for space in a full outbox, first come, first served."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from chatlab.errors import OutboxFull
from chatlab.live.client.receipt import Receipt


class SendQueue:
    """A queue of senders, on one loop. The first one holds the lock `turn`."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self._space = asyncio.Event()

    async def send(self, submit: Callable[[], Receipt]) -> Receipt:
        """Submit a message once the outbox has space for it; return its receipt. Errors: those of
        `submit`."""
        async with self.turn:
            while True:
                self._space.clear()
                try:
                    return submit()
                except OutboxFull:
                    await self._space.wait()

    def try_again(self) -> None:
        """Wake the first sender, since a message has left the outbox."""
        self._space.set()
