"""The requests of a probe: what came back, and when, without following redirects or trying again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress

import httpx
from msgspec import Struct
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.uri import parse_uri

from chatlab.live.ascii_urls import with_query
from chatlab.live.client.body import pieces
from chatlab.live.client.http_client import ClientTransport
from chatlab.live.client.http_session import read_address, unlogged
from chatlab.live.client.network_failures import (
    BrokenAnswer,
    closing_failure,
    opening_failure,
    request_failure,
)
from chatlab.live.client.tls import shared_tls, tls_context, with_authorities
from chatlab.live.client.websocket_client import WebSocketClient
from chatlab.live.client.websocket_opening import connect_websocket
from chatlab.settings import TransportConfig, WebSocketConfig
from chatlab.transports.machine import Failure

MAX_REQUESTS = 10
"""Requests of a probe, of all kinds together."""
MAX_BODY = 4096
"""Bytes of an answer that are read."""
PATIENCE = 2.0
"""Seconds for which a probe waits for the first byte of a stream, or for a WebSocket's first frame."""
_FROM_PROXY = frozenset({502, 503, 504})


class Seen(Struct, frozen=True):
    """The outcome of one request: a `failure`, or an HTTP `status` (101 for a WebSocket that opened).

    `seconds` is the time until the answer's headers, and `first` until the first bytes of its body, or the
    first frame; None if none came. `body` is their beginning. `headers` has lower-case names. `failure` of a
    WebSocket that opened says how it ended. `reached` is whether a GET has opened a connection, or used one.
    """

    what: str
    status: int | None = None
    headers: dict[str, str] = {}
    body: bytes = b""
    seconds: float = 0.0
    first: float | None = None
    protocol: str = ""
    failure: Failure | None = None
    reached: bool = True

    @property
    def kind(self) -> str:
        """The answer's content type, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def from_proxy(self) -> bool:
        """Whether a proxy answered, since the server behind it didn't."""
        return self.status in _FROM_PROXY


class Prober:
    """Makes requests to one server, at most `MAX_REQUESTS`. `headers` go with each of them.

    `timeout` is the seconds until a request without an answer has failed.
    """

    def __init__(self, config: TransportConfig, headers: Mapping[str, str], timeout: float) -> None:
        self._config = config
        self._headers = dict(headers)
        self._timeout = timeout
        self._patience = min(PATIENCE, timeout)
        self.count = 0
        tls = tls_context(config.ca_file) if config.url.startswith("https") else shared_tls()
        self._client = httpx.AsyncClient(
            transport=ClientTransport(tls, config.proxy), trust_env=False, timeout=None
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _counted(self) -> None:
        if self.count >= MAX_REQUESTS:
            raise RuntimeError(f"a probe makes at most {MAX_REQUESTS} requests")
        self.count += 1

    async def get(
        self, path: str, query: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Seen:
        """Return the outcome of a GET request below the configured URL."""
        self._counted()
        what = f"GET {path or '/'}"
        begun = time.monotonic()
        steps: set[str] = set()

        async def trace(step: str, info: object) -> None:
            steps.add(step)

        try:
            address = read_address(with_query(self._config.url, query or {}, path))
            merged = {name.lower(): value for name, value in {**self._headers, **(headers or {})}.items()}
            if address.authorization:
                merged.setdefault("authorization", address.authorization)
            request = httpx.Request(
                "GET", address.url, headers=merged, extensions={"target": address.target, "trace": trace}
            )
            request.headers.setdefault("accept-encoding", "gzip")
            with unlogged():
                async with asyncio.timeout(self._timeout):
                    response = await self._client.send(request, stream=True, follow_redirects=False)
        except TimeoutError:
            reached = (
                "connection.connect_tcp.complete" in steps or "http11.send_request_headers.started" in steps
            )
            return Seen(what, seconds=time.monotonic() - begun, failure=_SILENT, reached=reached)
        except Exception as error:
            failure = error.failure if isinstance(error, BrokenAnswer) else request_failure(error)
            failure = with_authorities(failure, self._config.ca_file)
            return Seen(what, seconds=time.monotonic() - begun, failure=failure)
        seen = Seen(what, response.status_code, dict(response.headers), seconds=time.monotonic() - begun)
        body, first = bytearray(), None
        try:
            async with asyncio.timeout(self._patience):
                async for piece in pieces(response):
                    first = first or time.monotonic() - begun
                    body += piece
                    if len(body) >= MAX_BODY or seen.kind == "text/event-stream":
                        break
        except (TimeoutError, httpx.HTTPError, BrokenAnswer, ValueError):
            pass
        finally:
            await response.aclose()
        return _with(seen, bytes(body[:MAX_BODY]), first)

    async def open(
        self,
        url: str,
        path: str = "",
        query: Mapping[str, str] | None = None,
        protocols: tuple[str, ...] = (),
        say: str = "",
    ) -> Seen:
        """Return the outcome of opening a WebSocket, sending the frame `say`, if there is one, and waiting
        for the first frame."""
        self._counted()
        what = f"WebSocket {path}" if path else "WebSocket"
        config = WebSocketConfig(url=url, ca_file=self._config.ca_file, proxy=self._config.proxy)
        begun = time.monotonic()
        connection: WebSocketClient | None = None
        try:
            async with asyncio.timeout(self._timeout):
                uri = parse_uri(with_query(config.url, query or {}, path))
                connection = await connect_websocket(uri, config, protocols)
                await connection.handshake(self._headers or None)
            opened = time.monotonic() - begun
            frame, first, failure = await _first_frame(connection, say, begun, self._patience)
        except TimeoutError:
            return Seen(what, seconds=time.monotonic() - begun, failure=_SILENT)
        except InvalidStatus as refusal:
            answer = refusal.response
            headers = {name.lower(): value for name, value in answer.headers.raw_items()}
            body = bytes(answer.body or b"")[:MAX_BODY]
            return Seen(what, answer.status_code, headers, body, time.monotonic() - begun)
        except Exception as error:
            failure = with_authorities(opening_failure(error), config.ca_file)
            return Seen(what, seconds=time.monotonic() - begun, failure=failure)
        finally:
            if connection is not None:
                await _end(connection)
        assert connection.response is not None
        headers = {name.lower(): value for name, value in connection.response.headers.raw_items()}
        return Seen(what, 101, headers, frame, opened, first, connection.subprotocol or "", failure)


_SILENT = Failure("timeout", reason="no answer in time")


def _with(seen: Seen, body: bytes, first: float | None) -> Seen:
    return Seen(seen.what, seen.status, seen.headers, body, seen.seconds, first)


async def _first_frame(
    connection: WebSocketClient, say: str, begun: float, patience: float
) -> tuple[bytes, float | None, Failure | None]:
    """Return the first frame, the seconds until it came, and how the connection ended, if it did."""
    frames: list[str | bytes] = []
    came = asyncio.Event()

    def take(messages: list[str | bytes]) -> None:
        frames.extend(messages)
        came.set()

    connection.listen(take, lambda: None)
    if say:
        connection.push(say)
    waits = [asyncio.ensure_future(came.wait()), asyncio.ensure_future(connection.recv())]
    try:
        await asyncio.wait(waits, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        first = time.monotonic() - begun if frames else None
        failure = None
        if waits[1].done() and isinstance(error := waits[1].exception(), ConnectionClosed):
            failure = closing_failure(error)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
    frame = frames[0] if frames else b""
    return (frame.encode(errors="replace") if isinstance(frame, str) else frame)[:MAX_BODY], first, failure


async def _end(connection: WebSocketClient) -> None:
    """Close a WebSocket, politely if it is open."""
    connection.end(1000, "")
    with suppress(TimeoutError):
        async with asyncio.timeout(connection.close_timeout or 0.5):
            await connection.wait_closed()
    connection.transport.abort()
