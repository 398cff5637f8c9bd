"""A WebSocket link on the `websockets` library: what becomes of each effect, and of each way to fail."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
    InvalidURI,
    SecurityError,
)
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from chatlab.dialects.base import Credentials
from chatlab.live.failures import closing_failure, opening_failure, printable
from chatlab.live.request import MAX_REDIRECTS, Port, is_loopback, user_headers, with_query
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
TLS_RECORDS = frozenset({0x15, 0x16})
"""First bytes of an alert and of a handshake. Source: RFC 8446 §5.1."""
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
    ) -> None:
        self._port = port
        self._config = config
        self._credentials = credentials
        self._effect = effect
        self._link = effect.link
        self._connection: _Connection | None = None
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
            self._report(Closed(self._link, Failure("close", 1006, "the event loop is being closed")))
            raise

    async def _work(self) -> None:
        try:
            headers = await user_headers(self._config, self._effect.failure, latin1=True)
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
            while True:
                data = await connection.recv()
                self._report(
                    Received(self._link, data) if isinstance(data, str) else ReceivedBytes(self._link, data)
                )
        except ConnectionClosed as error:
            self._report(Closed(self._link, closing_failure(error)))
        finally:
            connection.transport.abort()

    async def _open(self, credentials: Credentials) -> _Connection:
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
            create_connection=_Connection,
        ).connect()
        assert isinstance(connection, _Connection)
        return connection

    def _report(self, event: Event) -> None:
        if not self._left:
            self._port.feed(event)

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


class _Connection(ClientConnection):
    """A connection that also writes bursts as one, bounds the end that it leaves to the server, and knows
    what can't be HTTP.
    """

    _head = b""
    _corked = False
    _end: asyncio.TimerHandle | None = None

    async def handshake(self, *args: Any, **options: Any) -> None:
        try:
            await super().handshake(*args, **options)
        except InvalidMessage as error:
            if b"HTTP/".startswith(self._head):
                raise
            tls = self._head[0] in TLS_RECORDS
            what = "TLS: try wss:// in the URL" if tls else "something else than HTTP"
            raise InvalidHandshake(f"the server speaks {what}") from error

    def push(self, frame: str | bytes) -> None:
        """Send a frame, without waiting: the first of a turn of the loop at once, the others as one write.

        One that can't be sent any more is dropped, since the reader reports how the connection ended.
        """
        if self.protocol.state is not State.OPEN:
            return
        if isinstance(frame, str):
            self.protocol.send_text(frame.encode())
        else:
            self.protocol.send_binary(frame)
        if not self._corked:
            self._corked = True
            self.loop.call_soon(self._uncork)
            self.send_data()

    def _uncork(self) -> None:
        self._corked = False
        self._flush()

    def _flush(self) -> None:
        if frames := self.protocol.data_to_send():
            self.transport.write(b"".join(frames))

    def data_received(self, data: bytes) -> None:
        if self.response is None:
            self._head = (self._head + data)[:5]
        self._flush()  # The library would write frame by frame.
        super().data_received(data)
        if self._end is None and self.protocol.state is State.CLOSING:
            self._end = self.loop.call_later(CLOSE_TIMEOUT, self.transport.abort)
            if self.protocol.close_rcvd is not None and self.protocol.close_sent is not None:
                self.transport.close()  # All is said. Source: RFC 6455 §7.1.1 ("MAY … at any time").

    def connection_lost(self, exc: Exception | None) -> None:
        if self._end is not None:
            self._end.cancel()
        super().connection_lost(exc)


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
            return SecurityError(f"the server redirects to an address without TLS, at {printable(new.host)}")
        self.redirects += 1
        if self.redirects > MAX_REDIRECTS:
            return SecurityError(f"more than {MAX_REDIRECTS} redirects")
        if (new.secure, new.host, new.port) != (old.secure, old.host, old.port):
            self.additional_headers = None
        return target
