"""The HTTP client of all requests: httpx, on connections opened by `chatlab.live.client.connecting`."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpcore
import httpx

from chatlab.live.client.connecting import Stream
from chatlab.live.client.proxies import Proxy, proxy_for
from chatlab.live.client.routes import connect_proxy, open_stream
from chatlab.live.client.tunnels import authorization, refusal

KEEP_ALIVE = 4.0
"""Seconds for which an idle connection is kept. Many servers close it after 5, perhaps just as a request is
sent."""


class ClientTransport(httpx.AsyncBaseTransport):
    """A transport of httpx that sends requests on kept connections, with one pool for each proxy.

    A request's extension `target` is its request target, byte for byte. `proxy` is the config's setting of
    that name.
    """

    def __init__(self, tls: ssl.SSLContext, proxy: str | None = None) -> None:
        self._tls = tls
        self._proxy = proxy
        self._pools: dict[tuple[Proxy | None, bool], httpcore.AsyncConnectionPool] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; return its answer as soon as its headers have arrived.

        Errors: httpx's, `OSError` and `BrokenAnswer`.
        """
        url = request.url
        secure = url.scheme == "https"
        port = url.port or (443 if secure else 80)
        proxy = proxy_for(secure, url.raw_host.decode(), port, self._proxy)
        forwards = proxy is not None and not secure and not proxy.kind.startswith("socks")
        assert isinstance(request.stream, httpx.AsyncByteStream)
        asked = httpcore.Request(
            request.method,
            httpcore.URL(
                scheme=url.raw_scheme,
                host=url.raw_host,
                port=url.port,
                target=request.extensions.get("target", url.raw_path),
            ),
            headers=request.headers.raw,
            content=request.stream,
            extensions={name: value for name, value in request.extensions.items() if name != "target"},
        )
        with _as_httpx():
            answer = await self._pool(proxy, forwards).handle_async_request(asked)
        if forwards and answer.status == 407:
            assert proxy is not None
            await answer.aclose()
            raise refusal(proxy, 407, "Proxy Authentication Required", answer.headers)
        return httpx.Response(
            answer.status, headers=answer.headers, stream=_Body(answer), extensions=answer.extensions
        )

    def _pool(self, proxy: Proxy | None, forwards: bool) -> httpcore.AsyncConnectionPool:
        key = proxy, forwards
        pool = self._pools.get(key)
        if pool is None:
            options: dict[str, Any] = {
                "ssl_context": self._tls,
                "max_connections": None,
                "max_keepalive_connections": 8,
                "keepalive_expiry": KEEP_ALIVE,
                "network_backend": _Backend(self._tls, proxy, forwards),
            }
            if proxy is not None and forwards:
                address = httpcore.URL(scheme=b"http", host=proxy.host.encode(), port=proxy.port, target=b"/")
                options["proxy_headers"] = authorization(proxy)
                pool = httpcore.AsyncHTTPProxy(address, **options)
            else:
                pool = httpcore.AsyncConnectionPool(**options)
            self._pools[key] = pool
        return pool

    async def aclose(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            await pool.aclose()


class _Backend(httpcore.AsyncNetworkBackend):
    """The network backend of a pool: it opens the connections."""

    def __init__(self, tls: ssl.SSLContext, proxy: Proxy | None, forwards: bool) -> None:
        self._tls = tls
        self._proxy = proxy
        self._forwards = forwards

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> Stream:
        if self._proxy is not None and self._forwards:
            return await connect_proxy(self._proxy, self._tls)
        return await open_stream(host, port, self._proxy, self._tls)


class _Body(httpx.AsyncByteStream):
    """An answer's body with the interface that httpx needs."""

    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx():
            async for piece in self._answer.aiter_stream():
                yield piece

    async def aclose(self) -> None:
        await self._answer.aclose()


@contextmanager
def _as_httpx() -> Iterator[None]:
    """Convert httpcore's exceptions to httpx's of the same names."""
    try:
        yield
    except (
        httpcore.TimeoutException,
        httpcore.NetworkError,
        httpcore.ProtocolError,
        httpcore.ProxyError,
        httpcore.UnsupportedProtocol,
    ) as error:
        raise getattr(httpx, type(error).__name__)(str(error)) from error
