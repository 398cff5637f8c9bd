"""ASGI middleware that makes the embedded server as slow, refusing and silent as the faults say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import ceil, log1p

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatlab.dialects.base import ServerPing
from chatlab.dialects.chatlab import decode_client_frame
from chatlab.live.server.answers import problem
from chatlab.sim.capacity import ServerConfig, WorkQueue
from chatlab.sim.path import Path
from chatlab.transports.backoff import Uniform

Address = tuple[str, int]
PathOf = Callable[[Address], Path | None]
"""Tells which path a connection comes by, from the client's address."""


class Ailing:
    """An application in which every request and frame takes the server's time, and meets its path's trouble.

    `loaded`: its work takes time.
    """

    def __init__(self, config: ServerConfig, path_of: PathOf, uniform: Uniform) -> None:
        self.loaded = config.service_time > 0
        self.work = WorkQueue()
        self._config = config
        self._path_of = path_of
        self._uniform = uniform
        self._app: ASGIApp

    def around(self, app: ASGIApp) -> ASGIApp:
        """Ail from now on for this application, which may be that of a later life of the server."""
        self._app = app
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope["client"]  # None if the connection has been reset since it sent this.
        path = None if client is None else self._path_of(tuple(client))
        if path is None:
            await self._app(scope, receive, send)
            return
        connection = scope["state"]["connection"]
        connection.mute = lambda: path.trouble.mute
        if (delay := self._effort(path)) > 0:
            await asyncio.sleep(delay)
            if connection.transport.is_closing():
                return
        if path.trouble.error is not None:
            status, retry_after = path.trouble.error
            headers = {} if retry_after is None else {"Retry-After": f"{ceil(retry_after)}"}
            await problem(status, "a fault of the scenario", headers)(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._converse(path, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _effort(self, path: Path) -> float:
        """Take a place in the queue of the server's work; return the seconds until it is done."""
        if not self.loaded:
            return 0.0
        effort = self._config.service_time
        if self._config.service == "exponential":
            effort *= -log1p(-self._uniform())
        now = asyncio.get_running_loop().time()
        return self.work.enter(now, effort + path.trouble.work) - now

    async def _converse(self, path: Path, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a WebSocket's frames on as the server gets round to them, whoever else's came in between."""
        loop = asyncio.get_running_loop()
        taken: asyncio.Queue[Message] = asyncio.Queue()

        async def take() -> None:
            while True:
                message = await receive()
                if message["type"] != "websocket.receive":
                    taken.put_nowait(message)
                elif path.trouble.mute and isinstance(decode_client_frame(_frame(message)), ServerPing):
                    pass
                elif (delay := self._effort(path)) > 0:
                    loop.call_later(delay, taken.put_nowait, message)
                else:
                    taken.put_nowait(message)

        taken.put_nowait(await receive())  # Its beginning, without which the application would have to wait.
        taking = loop.create_task(take())
        try:
            await self._app(scope, taken.get, send)
        finally:
            taking.cancel()


def _frame(message: Message) -> str | bytes:
    text: str | None = message.get("text")
    return message["bytes"] if text is None else text
