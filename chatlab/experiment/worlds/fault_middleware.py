"""ASGI middleware that applies a scenario's server faults: service time, HTTP errors, missing pongs.

It also stands for a proxy that answers connections beyond the accept queue with 503, and blocked ones with
403.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from math import ceil, log1p
from weakref import WeakSet

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatlab.dialects.base import ServerPing
from chatlab.dialects.chatlab import decode_client_frame
from chatlab.dialects.serving import RETRY_AFTER, TOO_MANY
from chatlab.live.server.answers import problem
from chatlab.live.server.http_connection import HttpConnection
from chatlab.live.server.websocket_connection import WebSocketConnection
from chatlab.messages import OutgoingMessage
from chatlab.settings import HeartbeatConfig
from chatlab.sim.blocking import BLOCKED_REASON, BLOCKED_STATUS, transport_of
from chatlab.sim.capacity import Need, ServerConfig, WorkQueue
from chatlab.sim.needs import Needs, cause_of, nack, refusal_of
from chatlab.sim.path import Path
from chatlab.transports.backoff import Uniform

Address = tuple[str, int]
ServedConnection = HttpConnection | WebSocketConnection
PathOf = Callable[[Address], Path | None]
"""Returns the path of the connection from this client address; None: the connection has ended."""


class FaultMiddleware:
    """An ASGI application that applies the faults of each connection's path to its requests and frames.

    They also wait for the server's `needs`.

    While it is `loaded`, they also take service time. Requests of connections that have `overflowed` the
    accept queue are answered with 503. `heartbeat_of` returns the server's heartbeat on a path's WebSockets.
    """

    def __init__(
        self,
        config: ServerConfig,
        path_of: PathOf,
        uniform: Uniform,
        needs: Needs,
        overflowed: Callable[[Address], bool] = lambda client: False,
        heartbeat_of: Callable[[Path], HeartbeatConfig | None] = lambda path: None,
    ) -> None:
        self.loaded = config.service_time > 0
        self.work = WorkQueue()
        self.needs = needs
        self._let_in: WeakSet[ServedConnection] = WeakSet()
        self._config = config
        self._path_of = path_of
        self._uniform = uniform
        self._overflowed = overflowed
        self._heartbeat_of = heartbeat_of
        self._app: ASGIApp

    def wrap(self, app: ASGIApp) -> ASGIApp:
        """Use this application from now on; a restarted server has a new one."""
        self._app = app
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope["client"]  # None if the connection was reset after it sent the request.
        path = None if client is None else self._path_of(tuple(client))
        if path is None:
            await self._app(scope, receive, send)
            return
        if self._overflowed(tuple(client)):
            headers = {"Retry-After": f"{RETRY_AFTER}", "Connection": "close"}
            await problem(503, TOO_MANY, headers)(scope, receive, send)
            return
        if _is_forbidden(path, scope):
            await problem(BLOCKED_STATUS, BLOCKED_REASON)(scope, receive, send)
            return
        connection = scope["state"]["connection"]
        connection.mute = lambda: path.impairment.mute
        if scope["type"] == "websocket" and (heartbeat := self._heartbeat_of(path)) is not None:
            connection.ping_every(heartbeat.interval, heartbeat.timeout)
        if (delay := self._service_delay(path)) > 0:
            await asyncio.sleep(delay)
            if connection.transport.is_closing():
                return
        if path.impairment.error is not None:
            status, retry_after = path.impairment.error
            headers = {} if retry_after is None else {"Retry-After": f"{ceil(retry_after)}"}
            await problem(status, "a fault of the scenario", headers)(scope, receive, send)
        elif (need := await self._unmet(connection, scope)) is not None:
            status, reason, retry_after = refusal_of(need)
            headers = {} if retry_after is None else {"Retry-After": f"{retry_after}"}
            await problem(status, reason, headers)(scope, receive, send)
        elif self.needs.queues and connection.transport.is_closing():
            return
        elif scope["type"] == "websocket":
            await self._serve_websocket(path, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _unmet(self, connection: ServedConnection, scope: Scope) -> Need | None:
        """Wait for the services that this request needs; return the one that refuses it, or None."""
        is_websocket = scope["type"] == "websocket"
        cause = "connect" if is_websocket else cause_of(scope["method"], scope["path"])
        if cause is None or not self.needs.queues or (cause == "connect" and connection in self._let_in):
            return None
        answer: asyncio.Future[Need | None] = asyncio.get_running_loop().create_future()

        def give(need: Need | None = None) -> None:
            if not answer.done():  # It is cancelled if the server has stopped.
                answer.set_result(need)

        def is_alive() -> bool:
            if connection.transport.is_closing():
                give()
            return not answer.done()

        self.needs.wait(cause, is_alive, give, give)
        need = await answer
        if need is None and cause == "connect":
            self._let_in.add(connection)
        return need

    def _service_delay(self, path: Path) -> float:
        """Enter the server's work queue; return the seconds until the work is done."""
        if not self.loaded:
            return 0.0
        work = self._config.service_time
        if self._config.service == "exponential":
            work *= -log1p(-self._uniform())
        now = asyncio.get_running_loop().time()
        return self.work.enter(now, work + path.impairment.work) - now

    async def _serve_websocket(self, path: Path, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a WebSocket. Each frame enters the work queue when it arrives."""
        loop = asyncio.get_running_loop()
        served: asyncio.Queue[Message] = asyncio.Queue()
        admit = (
            self._admission(scope["state"]["connection"], served)
            if self.needs.messages
            else served.put_nowait
        )

        async def take() -> None:
            while True:
                message = await receive()
                if message["type"] != "websocket.receive":
                    served.put_nowait(message)
                elif path.impairment.mute and isinstance(decode_client_frame(_frame(message)), ServerPing):
                    pass
                elif (delay := self._service_delay(path)) > 0:
                    loop.call_later(delay, admit, message)
                else:
                    admit(message)

        served.put_nowait(await receive())  # The connect event.
        taking = loop.create_task(take())
        try:
            await self._app(scope, served.get, send)
        finally:
            taking.cancel()

    def _admission(
        self, connection: WebSocketConnection, served: asyncio.Queue[Message]
    ) -> Callable[[Message], None]:
        """Return a function that queues each frame once all services have answered that it needs."""

        def admit(message: Message) -> None:
            if not connection.open:  # It was closed while the frame waited to be served.
                return
            decoded = decode_client_frame(_frame(message))
            if not isinstance(decoded, OutgoingMessage):
                served.put_nowait(message)
                return

            def refuse(need: Need) -> None:
                connection.write(nack(need, decoded))

            go_on = partial(served.put_nowait, message)
            self.needs.pass_message(connection, lambda: connection.open, go_on, refuse)

        return admit


def _is_forbidden(path: Path, scope: Scope) -> bool:
    """Return whether a proxy answers this request with 403."""
    blocked = path.impairment.blocked
    if not blocked:
        return False
    is_websocket = scope["type"] == "websocket"
    transport = "websocket" if is_websocket else transport_of(scope["method"], scope["path"])
    return transport is not None and blocked.get(transport) == "403"


def _frame(message: Message) -> str | bytes:
    text: str | None = message.get("text")
    return message["bytes"] if text is None else text
