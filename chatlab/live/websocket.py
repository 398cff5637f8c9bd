"""A WebSocket link on the `websockets` library: what becomes of each effect, and of each way to fail."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import socket
import ssl
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
    InvalidURI,
    SecurityError,
)
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

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

MAX_REDIRECTS = 5
CLOSE_TIMEOUT = 0.5
"""Seconds that a closing handshake may take, in the background."""
MAX_REASON = 200
"""Characters of a server's explanation that are kept."""


class Port(Protocol):
    """What a link needs of its driver."""

    loop: asyncio.AbstractEventLoop

    def feed(self, event: Event) -> object:
        """Give the machine an event."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine that belongs to the link."""


class WebSocketLink:
    """One WebSocket connection, from its opening handshake to its end."""

    def __init__(self, port: Port, config: WebSocketConfig, effect: OpenWebSocket) -> None:
        self._port = port
        self._config = config
        self._effect = effect
        self._link = effect.link
        self._frames: asyncio.Queue[str | bytes | int] = asyncio.Queue()
        self._connection: ClientConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._left = False

    async def run(self) -> None:
        """Open, read to the end, and report all of it."""
        self._task = asyncio.current_task()
        try:
            headers = await self._headers()
            if headers is None:
                return
            connection = self._connection = await self._open(headers)
        except Exception as error:
            self._report(Closed(self._link, opening_failure(error)))
            return
        writer = self._port.spawn(self._write(connection))
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
            writer.cancel()
            connection.transport.abort()

    async def _headers(self) -> dict[str, str] | None:
        """Ask the user's function, whose failure is final: it would only fail again."""
        try:
            headers = self._config.headers(self._effect.failure)
            return dict(await headers if inspect.isawaitable(headers) else headers)
        except Exception as error:
            # The text of the error may hold a token, so only its kind is told.
            reason = f"the headers function raised {type(error).__name__}"
            self._report(Closed(self._link, Failure("protocol", reason=reason)))
            return None

    async def _open(self, headers: dict[str, str]) -> ClientConnection:
        config = self._config
        url = with_query(config.url, self._effect.query)
        return await _Connect(
            url,
            subprotocols=[Subprotocol(protocol) for protocol in config.protocols] or None,
            additional_headers=headers,
            compression=None,
            proxy=None if is_loopback(url) else True,
            open_timeout=None,
            ping_interval=None,
            close_timeout=CLOSE_TIMEOUT,
            max_size=config.max_frame_size,
        ).connect()

    def _report(self, event: Event) -> None:
        if not self._left:
            self._port.feed(event)

    async def _write(self, connection: ClientConnection) -> None:
        """Send in order; a broken connection is the reader's to report."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                item = await self._frames.get()
                if isinstance(item, int):
                    answered = await connection.ping(str(item))
                    asyncio.ensure_future(answered).add_done_callback(self._pong(item))
                else:
                    await connection.send(item)

    def _pong(self, id: int) -> Callable[[asyncio.Future[float]], None]:
        def answered(waiter: asyncio.Future[float]) -> None:
            if not waiter.cancelled() and waiter.exception() is None:
                self._report(Pong(self._link, id))

        return answered

    def send(self, data: str | bytes) -> None:
        """Send a frame, behind all that was sent before."""
        self._frames.put_nowait(data)

    def ping(self, id: int) -> None:
        """Send a Ping frame, and report its Pong."""
        self._frames.put_nowait(id)

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
    """`connect`, with our bounds on redirects: at most five, and no header of the user's goes to another origin."""

    redirects = 0

    def process_redirect(self, exc: Exception) -> Exception | str:
        old = self.ws_uri
        target = super().process_redirect(exc)
        if isinstance(target, Exception):
            return target
        self.redirects += 1
        if self.redirects > MAX_REDIRECTS:
            return SecurityError(f"more than {MAX_REDIRECTS} redirects")
        new = parse_uri(target)
        if (new.secure, new.host, new.port) != (old.secure, old.host, old.port):
            self.additional_headers = None
        return target


def with_query(url: str, query: dict[str, str]) -> str:
    """Return the URL with the query's parameters in the place of its own ones of those names."""
    parts = urlsplit(url)
    own = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in query]
    return urlunsplit(parts._replace(query=urlencode(own + list(query.items()))))


def is_loopback(url: str) -> bool:
    """Whether a URL's host is this machine, which no proxy should be asked for."""
    host = urlsplit(url).hostname or ""
    return host == "localhost" or host == "::1" or host.startswith("127.")


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Return the seconds that a `Retry-After` header asks for; None where there is none, or it makes no sense.

    Source: RFC 9110 §10.2.3.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - (now or datetime.now(UTC))).total_seconds())


def printable(text: str, limit: int = MAX_REASON) -> str:
    """Return a server's words with control characters made visible, and cut at the limit."""
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:limit])
    return shown + ("…" if len(text) > limit else "")


def opening_failure(error: Exception) -> Failure:
    """Say how an opening handshake failed."""
    match error:
        case InvalidStatus():
            response = error.response
            body = (response.body or b"")[: 2 * MAX_REASON].decode("utf-8", "replace").strip()
            reason = printable(body or response.reason_phrase)
            return Failure("http", response.status_code, reason, retry_after(response.headers.get("Retry-After")))
        case InvalidMessage() if isinstance(error.__cause__, EOFError | ConnectionError):
            return Failure("reset", reason="the connection ended before the server answered")
        case InvalidHandshake() | InvalidURI():
            return Failure("protocol", reason=printable(str(error)))
        case ssl.SSLError():
            return Failure("tls", reason=printable(getattr(error, "verify_message", "") or error.reason or str(error)))
        case socket.gaierror():
            return Failure("dns", reason="the host's name can't be resolved")
        case TimeoutError():
            return Failure("timeout", reason="the server can't be reached in time")
        case ConnectionResetError() | BrokenPipeError() | EOFError() | ConnectionClosed():
            return Failure("reset", reason="the connection was reset")
        case OSError():
            return Failure("refused", reason="nobody accepts connections there")
        case _:
            return Failure("protocol", reason=f"{type(error).__name__}: {printable(str(error))}")


def closing_failure(error: ConnectionClosed) -> Failure:
    """Say how an open connection ended: by the server's close frame, by our own protest, or by neither.

    Source: RFC 6455 §7.1.5.
    """
    if error.rcvd is not None and not (error.sent is not None and error.rcvd_then_sent is False):
        return Failure("close", error.rcvd.code, printable(error.rcvd.reason))
    if error.sent is not None:
        return Failure("close", error.sent.code, printable(error.sent.reason))
    return Failure("close", 1006, "the connection was lost")
