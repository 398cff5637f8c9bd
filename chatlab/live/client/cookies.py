"""Cookies that a server sets.

A transport sends them with all its requests and WebSocket handshakes to that origin, as a browser does, for
as long as the transport exists. A load balancer may use a cookie to find the session's node.

Source: RFC 6265.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from email.message import Message
from functools import cached_property
from http.client import HTTPResponse
from http.cookiejar import Cookie, CookieJar, DefaultCookiePolicy
from typing import cast
from urllib.parse import urlsplit, urlunsplit
from urllib.request import Request

import httpx

MAX_COOKIES = 50
MAX_COOKIE_SIZE = 4096
"""Bytes of a cookie's name and value. Source: RFC 6265 §6.1, the least that browsers should accept."""


class Cookies:
    """The cookies of one origin. A cookie in the user's own headers replaces one of the same name."""

    def __init__(self, url: str) -> None:
        self._url = url

    @cached_property
    def jar(self) -> CookieJar:
        """The cookies. Errors: `httpx.InvalidURL` if the origin's host isn't a valid name."""
        return CookieJar(_OwnCookies(httpx.URL(_http(self._url))))

    def add_to(self, headers: Mapping[str, str], url: str) -> dict[str, str]:
        """Return the headers of a request to `url` with its cookies added after the user's own."""
        request = Request(_http(url))  # nothing is opened
        self.jar.add_cookie_header(request)
        own = request.get_header("Cookie", "")
        with_own = dict(headers)
        if own:
            name = next((name for name in headers if name.lower() == "cookie"), "cookie")
            given = [pair for pair in headers.get(name, "").split("; ") if pair]
            names = {pair.partition("=")[0] for pair in given}
            further = [pair for pair in own.split("; ") if pair.partition("=")[0] not in names]
            with_own[name] = "; ".join([*given, *further])
        return with_own

    def take(self, set_cookies: Iterable[str], url: str) -> None:
        """Store the cookies of an answer from `url`, given its `Set-Cookie` headers."""
        answer = Message()
        for value in set_cookies:
            answer["Set-Cookie"] = value
        self.jar.extract_cookies(cast(HTTPResponse, _Answer(answer)), Request(_http(url)))


def cookies_of(urls: Iterable[str]) -> list[Cookies]:
    """Return the cookies of each URL's origin; a WebSocket shares them with its server's root."""
    parts = [urlsplit(_http(url)) for url in urls]
    origins = [(part.scheme, part.netloc.lower()) for part in parts]
    cookies = {origin: Cookies("://".join(origin)) for origin in origins}
    return [cookies[origin] for origin in origins]


class _Answer:
    """An HTTP answer with the interface that a cookie jar needs."""

    def __init__(self, headers: Message) -> None:
        self._headers = headers

    def info(self) -> Message:
        return self._headers


class _OwnCookies(DefaultCookiePolicy):
    """A policy that accepts a bounded number of cookies, and only from the configured origin.

    Cookies don't distinguish ports; origins do.
    """

    def __init__(self, url: httpx.URL) -> None:
        super().__init__()
        self._origin = origin(url)
        self._taken: set[tuple[str, str, str]] = set()

    def set_ok(self, cookie: Cookie, request: Request) -> bool:
        key = (cookie.domain, cookie.path, cookie.name)
        room = key in self._taken or len(self._taken) < MAX_COOKIES
        small = len(cookie.name) + len(cookie.value or "") <= MAX_COOKIE_SIZE
        ok = room and small and origin(httpx.URL(request.full_url)) == self._origin
        if ok and super().set_ok(cookie, request):
            self._taken.add(key)
            return True
        return False


def origin(url: httpx.URL) -> tuple[str, bytes, int | None]:
    """Return the parts of a URL that two addresses of one origin share. Source: RFC 6454 §4."""
    return url.scheme, url.raw_host, url.port


def _http(url: str) -> str:
    """Return an address without its user, with http instead of ws, since a WebSocket shares the cookies of
    that address.

    Source: RFC 6455 §4.1.
    """
    parts = urlsplit(url)
    scheme = parts.scheme.replace("ws", "http", 1)
    return urlunsplit(parts._replace(scheme=scheme, netloc=parts.netloc.rpartition("@")[2]))
