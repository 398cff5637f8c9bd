"""A WebSocket link on the `websockets` library: how each effect is carried out, and which failures it
reports."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from chatlab.dialects.base import Credentials
from chatlab.live.ascii_urls import with_query
from chatlab.live.client.cookies import Cookies
from chatlab.live.client.dialect_secrets import credentials_of, signed
from chatlab.live.client.links import CHECK_INTERVAL, MAX_CHECKS, Port
from chatlab.live.client.network_failures import LOOP_ENDS, BrokenAnswer, closing_failure, opening_failure
from chatlab.live.client.tls import with_authorities
from chatlab.live.client.user_headers import UserHeaders
from chatlab.live.client.websocket_client import WebSocketClient
from chatlab.live.client.websocket_opening import open_websocket
from chatlab.settings import WebSocketConfig
from chatlab.transports.machine import (
    Closed,
    Event,
    Failure,
    Opened,
    OpenWebSocket,
    Pinged,
    Pong,
    Received,
    ReceivedBytes,
)


class WebSocketLink:
    """One WebSocket connection, from its opening handshake to its end."""

    def __init__(
        self,
        port: Port,
        config: WebSocketConfig,
        effect: OpenWebSocket,
        credentials: Callable[[dict[str, str]], Credentials] = Credentials,
        user_headers: UserHeaders | None = None,
        cookies: Cookies | None = None,
    ) -> None:
        self._port = port
        self._config = config
        self._credentials = credentials
        self._user_headers = user_headers or UserHeaders(config)
        self._cookies = cookies or Cookies(config.url)
        self._effect = effect
        self._link = effect.link
        self._connection: WebSocketClient | None = None
        self._task: asyncio.Task[None] | None = None
        self._abandoned = False
        self._sign: Callable[[str | bytes], str | bytes] | None = None

    async def run(self) -> None:
        """Open, read to the end, and report all events."""
        if self._abandoned:  # Closed before this task began to run.
            return
        self._task = asyncio.current_task()
        try:
            await self._work()
        except asyncio.CancelledError:
            if not self._abandoned:
                self._port.hold_off()
            self._report(Closed(self._link, LOOP_ENDS))
            raise
        finally:
            if self._connection is not None:
                self._connection.transport.abort()

    async def _work(self) -> None:
        try:
            headers = await self._user_headers.get(self._effect.failure, latin1=True)
            if isinstance(headers, Failure):
                self._report(Closed(self._link, headers))
                return
            if self._abandoned:  # The headers function ignored its cancellation.
                return
            credentials = credentials_of(self._credentials, headers)
            connection, own = await self._open(credentials)
            self._connection = connection
            self._sign = credentials.sign if own else None
            for frame in credentials.frames if own else ():
                await connection.send(frame)
        except Exception as error:
            failure = with_authorities(opening_failure(error), self._config.ca_file)
            self._report(Closed(self._link, failure))
            return
        try:
            self._report(Opened(self._link, connection.subprotocol or ""))
            connection.listen(self._receive, self._on_ping)
            await connection.recv()  # Raises at the end; messages go to `_receive`.
        except ConnectionClosed as error:
            self._report(Closed(self._link, closing_failure(error)))

    async def _open(self, credentials: Credentials) -> tuple[WebSocketClient, bool]:
        config, effect = self._config, self._effect
        url = with_query(config.url, {**effect.query, **credentials.query}, effect.path)
        headers = {**credentials.headers, **effect.headers}
        return await open_websocket(url, config, effect.protocols, headers, self._cookies)

    def _receive(self, messages: list[str | bytes]) -> None:
        link = self._link
        self._report(
            *[
                Received(link, message) if isinstance(message, str) else ReceivedBytes(link, message)
                for message in messages
            ]
        )
        if self._port.pressure() and not self._abandoned and self._connection is not None:
            self._pause(self._connection, 1)

    def _on_ping(self) -> None:
        self._report(Pinged(self._link))

    def _pause(self, connection: WebSocketClient, checks: int) -> None:
        """Pause reading for a while: the handlers are slower than the server."""
        pressure = self._port.pressure()
        if pressure and not self._abandoned and (pressure > 1 or checks <= MAX_CHECKS):
            connection.transport.pause_reading()
            self._port.loop.call_later(CHECK_INTERVAL, self._pause, connection, checks + 1)
        elif not connection.transport.is_closing():
            connection.transport.resume_reading()

    def _report(self, *events: Event) -> None:
        if not self._abandoned:
            self._port.feed(*events)

    def send(self, data: str | bytes) -> None:
        """Send a frame, after all earlier ones; a broken connection is reported by the reader.

        A frame that the dialect can't sign ends the connection.
        """
        if self._connection is None or self._abandoned:
            return
        try:
            frame = signed(self._sign, data)
        except BrokenAnswer as error:
            self._report(Closed(self._link, error.failure))
            self.close(1000, "")
            return
        self._connection.push(frame)

    def ping(self, number: int) -> None:
        """Send a Ping frame, and report its Pong."""
        if self._connection is not None:
            self._port.spawn(self._ping(self._connection, number))

    async def _ping(self, connection: ClientConnection, number: int) -> None:
        with contextlib.suppress(ConnectionClosed):
            await (await connection.ping(str(number)))
            self._report(Pong(self._link, number))

    def close(self, code: int, reason: str) -> None:
        """Close in the background, within a bounded time, and report nothing more."""
        self._abandoned = True
        connection = self._connection
        if connection is None or code == 1006:
            if self._task is not None:
                self._task.cancel()
        else:
            connection.end(code, reason)
