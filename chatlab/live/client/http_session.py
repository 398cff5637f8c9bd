"""State shared by the requests of one transport: kept connections, cookies, the CSRF token."""

from __future__ import annotations

import asyncio
import logging
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx

from chatlab.dialects.base import Dialect
from chatlab.live.ascii_urls import with_query
from chatlab.live.client.cookies import Cookies
from chatlab.live.client.http_client import ClientTransport
from chatlab.live.client.links import Port
from chatlab.live.client.tls import shared_tls, tls_context
from chatlab.live.client.user_headers import UserHeaders
from chatlab.live.redaction import Redaction
from chatlab.settings import HttpConfig

_unlogged = ContextVar("_unlogged", default=False)


@contextmanager
def unlogged() -> Iterator[None]:
    """Disable httpx's logging in this task: it would log addresses and headers, with the tokens in them."""
    before = _unlogged.set(True)
    try:
        yield
    finally:
        _unlogged.reset(before)


def _may_be_logged(record: logging.LogRecord) -> bool:
    return not _unlogged.get()


for _name in ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy", "httpcore.socks"):
    logging.getLogger(_name).addFilter(_may_be_logged)


class Address(NamedTuple):
    """A URL, its request target byte for byte, and the `Authorization` from its user and password, or ""."""

    url: httpx.URL
    target: bytes
    authorization: str


class HttpSession:
    """State shared by the requests of one transport: connections, cookies and the CSRF token."""

    def __init__(
        self,
        config: HttpConfig,
        dialect: Dialect,
        redaction: Redaction | None = None,
        cookies: Cookies | None = None,
    ) -> None:
        assert dialect.http is not None  # The machine has checked it.
        self.config = config
        self.redaction = redaction or Redaction([config])
        self.cookies = cookies or Cookies(config.url)
        self.user_headers = UserHeaders(config, self.redaction)
        self.dialect = dialect.http
        self.credentials = dialect.credentials
        self.csrf_token = ""
        self._pool: _Pool | None = None
        self._addresses: dict[str, tuple[str, dict[str, str], Address]] = {}

    def address(self, purpose: str, path: str, query: dict[str, str]) -> Address:
        """Return the configured address with a path and a query added; the last one of each purpose is
        cached.

        Errors: `httpx.InvalidURL` and `ValueError` if the address is invalid.
        """
        last = self._addresses.get(purpose)
        if last is None or last[0] != path or last[1] != query:
            last = self._addresses[purpose] = (
                path,
                query,
                read_address(with_query(self.config.url, query, path)),
            )
        return last[2]

    def client(self, port: Port) -> httpx.AsyncClient:
        """Return the client on the port's loop."""
        if self._pool is None or self._pool.loop is not port.loop:
            self._pool = _Pool(port, self.config, self.cookies)
        return self._pool.client

    def close(self) -> None:
        """Close connections in the background; further requests open new ones."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.closing.set()


def read_address(address: str) -> Address:
    """Return the parts of a URL that a request needs. Errors: `httpx.InvalidURL` and `ValueError`."""
    url = httpx.URL(address)
    parts = urlsplit(address)
    target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}".encode("ascii")
    if not url.userinfo:
        return Address(url, target, "")
    basic = b64encode(f"{url.username}:{url.password}".encode()).decode()
    return Address(url.copy_with(userinfo=b""), target, f"Basic {basic}")


class _Pool:
    """A client, and the task that closes it: on `closing`, or when its loop is being closed."""

    def __init__(self, port: Port, config: HttpConfig, cookies: Cookies) -> None:
        url = config.url
        self.loop = port.loop
        tls = tls_context(config.ca_file) if url.startswith("https") or config.ca_file else shared_tls()
        self.client = httpx.AsyncClient(
            headers={"Accept-Encoding": "gzip"},
            cookies=cookies.jar,
            transport=ClientTransport(tls, config.proxy),
            trust_env=False,
            timeout=None,  # Time-outs are the machine's.
        )
        self.closing = asyncio.Event()
        port.spawn(self._keep(port))

    async def _keep(self, port: Port) -> None:
        try:
            await self.closing.wait()
        except asyncio.CancelledError:
            port.hold_off()
            raise
        finally:
            await self.client.aclose()
