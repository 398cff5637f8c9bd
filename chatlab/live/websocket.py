"""A WebSocket link on the `websockets` library: what becomes of each effect, and of each way to fail."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from urllib.parse import urljoin

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidStatus,
    InvalidURI,
    SecurityError,
)
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from chatlab.dialects.base import Credentials
from chatlab.live.failures import LOOP_ENDS, BrokenAnswer, closing_failure, opening_failure, printable
from chatlab.live.request import MAX_REDIRECTS, Port, UserHeaders, is_loopback, with_query
from chatlab.live.websocket_client import WebSocketClient
from chatlab.settings import WebSocketConfig
from chatlab.transports.machine import (
    Closed,
    Event,
    Failure,
    Opened,
    OpenWebSocket,
    Pong,
    Received,
    ReceivedBytes,
)

REDIRECTS = frozenset({300, 301, 302, 303, 307, 308})
CLOSE_TIMEOUT = 0.5
"""Seconds that a closing handshake may take, in the background."""

_library_log = logging.getLogger(f"{__name__}.library")
_library_log.setLevel(logging.INFO)  # Below, it would write down requests and frames, and the tokens in them.


class WebSocketLink:
    """One WebSocket connection, from its opening handshake to its end."""

    def __init__(
        self,
        port: Port,
        config: WebSocketConfig,
        effect: OpenWebSocket,
        credentials: Callable[[dict[str, str]], Credentials] = Credentials,
        user_headers: UserHeaders | None = None,
    ) -> None:
        self._port = port
        self._config = config
        self._credentials = credentials
        self._user_headers = user_headers or UserHeaders(config)
        self._effect = effect
        self._link = effect.link
        self._connection: WebSocketClient | None = None
        self._task: asyncio.Task[None] | None = None
        self._left = False

    async def run(self) -> None:
        """Open, read to the end, and report all of it."""
        if self._left:  # Closed before this task had its first turn.
            return
        self._task = asyncio.current_task()
        try:
            await self._work()
        except asyncio.CancelledError:
            if not self._left:
                self._port.hold_off()
            self._report(Closed(self._link, LOOP_ENDS))
            raise

    async def _work(self) -> None:
        try:
            headers = await self._user_headers.get(self._effect.failure, latin1=True)
            if isinstance(headers, Failure):
                self._report(Closed(self._link, headers))
                return
            credentials = self._credentials(headers)
            connection = self._connection = await self._open(credentials)
            for frame in credentials.frames:
                await connection.send(frame)
        except Exception as error:
            self._report(Closed(self._link, opening_failure(error)))
            return
        try:
            self._report(Opened(self._link, connection.subprotocol or ""))
            connection.listen(self._receive)
            await connection.recv()  # Which only tells the end.
        except ConnectionClosed as error:
            self._report(Closed(self._link, closing_failure(error)))
        finally:
            connection.transport.abort()

    async def _open(self, credentials: Credentials) -> WebSocketClient:
        config, effect = self._config, self._effect
        url = with_query(config.url, {**effect.query, **credentials.query}, effect.path)
        protocols = (*effect.protocols, *config.protocols)
        connection = await _Connect(
            url,
            subprotocols=[Subprotocol(protocol) for protocol in protocols] or None,
            additional_headers={**credentials.headers, **effect.headers},
            compression=None,
            proxy=None if is_loopback(url) else True,
            open_timeout=None,
            ping_interval=None,
            close_timeout=CLOSE_TIMEOUT,
            max_size=config.max_frame_size,
            logger=_library_log,
            create_connection=WebSocketClient,
        ).connect()
        assert isinstance(connection, WebSocketClient)
        return connection

    def _receive(self, messages: list[str | bytes]) -> None:
        link = self._link
        self._report(
            *[
                Received(link, message) if isinstance(message, str) else ReceivedBytes(link, message)
                for message in messages
            ]
        )

    def _report(self, *events: Event) -> None:
        if not self._left:
            self._port.feed(*events)

    def send(self, data: str | bytes) -> None:
        """Send a frame, behind all that was sent before; a broken connection is the reader's to report."""
        if self._connection is not None:
            self._connection.push(data)

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
        self._left = True
        connection = self._connection
        if connection is None or code == 1006:
            if self._task is not None:
                self._task.cancel()
        else:
            self._port.spawn(self._shut(connection, code, reason))

    async def _shut(self, connection: ClientConnection, code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await connection.close(code, reason)
        except (TimeoutError, ConnectionClosed):
            pass
        finally:
            if self._task is not None:
                self._task.cancel()
            connection.transport.abort()


class _Connect(connect):
    """`connect`, with our redirects: at most five, and no header of the user's goes to another origin.

    A server that redirects an upgrade often names the http form of its address, which stands for the ws form.
    """

    redirects = 0

    def process_redirect(self, exc: Exception) -> Exception | str:
        if not (isinstance(exc, InvalidStatus) and exc.response.status_code in REDIRECTS):
            return exc
        locations = exc.response.headers.get_all("Location")
        if len(locations) != 1:
            return exc
        old, target = self.ws_uri, urljoin(self.uri, locations[0])
        scheme, colon, rest = target.partition(":")
        target = {"http": "ws", "https": "wss"}.get(scheme.lower(), scheme) + colon + rest
        try:
            new = parse_uri(target)
        except (InvalidURI, ValueError):
            return SecurityError("the server redirects to something that is no WebSocket's address")
        if old.secure and not new.secure:
            where = printable(new.host)
            return BrokenAnswer("answer", f"the server redirects to an address without TLS, at {where}")
        self.redirects += 1
        if self.redirects > MAX_REDIRECTS:
            return BrokenAnswer("answer", f"more than {MAX_REDIRECTS} redirects")
        if (new.secure, new.host, new.port) != (old.secure, old.host, old.port):
            self.additional_headers = None
        return target
