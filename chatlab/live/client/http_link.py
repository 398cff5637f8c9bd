"""Requests over HTTP, made with httpx: how each `Fetch` is carried out, and which failures it reports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from math import ceil
from typing import Any, NamedTuple

import anyio
import httpx
from anyio.lowlevel import checkpoint_if_cancelled
from msgspec.structs import replace

from chatlab.dialects.base import Answer, Credentials
from chatlab.live.client.body import beginning, pieces, whole
from chatlab.live.client.cookies import origin
from chatlab.live.client.dialect_secrets import credentials_of, signed
from chatlab.live.client.http_session import HttpSession, unlogged
from chatlab.live.client.links import Port, pressure_gone
from chatlab.live.client.network_failures import (
    LOOP_ENDS,
    BrokenAnswer,
    moment,
    request_failure,
    retry_after,
)
from chatlab.live.client.redirects import MAX_REDIRECTS, check_tls, too_many_redirects
from chatlab.live.client.tls import with_authorities
from chatlab.live.client.user_headers import headers_problem
from chatlab.transports.failures import STREAM_ENDED
from chatlab.transports.machine import Answered, Closed, Event, Failure, Fetch, Opened, ReceivedBytes

SAME_METHOD = frozenset({307, 308})
"""Statuses after which any request is repeated elsewhere; others turn a POST into a GET and lose its body."""
GET_REDIRECTS = SAME_METHOD | {301, 302, 303}
"""Statuses after which a GET is repeated elsewhere."""
MAX_BODY = 8 << 20
"""Size of the largest answer, in bytes."""
MAX_REFUSAL = 1024
"""Bytes of a refusal's body that are kept."""
REFUSAL_TIMEOUT = 1.0
"""Seconds for reading a refusal's body; its status is known by then."""
PUBLIC_HEADERS = frozenset({"accept", "cache-control"})
"""Headers that another origin may see."""


class Target(NamedTuple):
    """A request's method, URL, headers, request target and body. `own` is False once it was redirected to
    another origin."""

    method: str
    url: httpx.URL
    headers: Mapping[str, str]
    own: bool = True
    target: bytes = b""
    body: bytes | None = None

    def redirected(self, response: httpx.Response) -> Target | None:
        """Return the target of a redirect; None if the response is an answer.

        Errors: `BrokenAnswer` for a redirect that is malformed or not allowed.
        """
        locations = response.headers.get_list("location")
        repeated = GET_REDIRECTS if self.method == "GET" else SAME_METHOD
        if response.status_code not in repeated or len(locations) != 1:
            return None
        try:
            url = self.url.join(locations[0]).copy_with(userinfo=b"", fragment=None)
        except (httpx.InvalidURL, ValueError):
            raise BrokenAnswer("answer", "the server redirects to an invalid URL") from None
        if url.scheme not in ("http", "https") or not url.host:
            raise BrokenAnswer("answer", "the server redirects to a URL that isn't http:// or https://")
        check_tls(url.host, before=self.url.scheme == "https", after=url.scheme == "https")
        if origin(url) == origin(self.url):
            return self._replace(url=url, target=url.raw_path)
        if self.method != "GET":
            return None
        public = {name: value for name, value in self.headers.items() if name in PUBLIC_HEADERS}
        return Target(self.method, url, public, own=False, target=url.raw_path)


def target_of(
    session: HttpSession, effect: Fetch, credentials: Credentials, csrf: Mapping[str, str]
) -> Target | Failure:
    """Return a request's first target; a `Failure` if the request can't be sent."""
    request = effect.request
    try:
        address = session.address(effect.purpose, request.path, {**request.query, **credentials.query})
    except (httpx.InvalidURL, ValueError):
        return Failure("protocol", reason="the URL's host is not a valid name: check the setting `url`")
    merged = {}
    if address.authorization:
        merged["authorization"] = address.authorization
    for some in (credentials.headers, request.headers, csrf):
        merged.update((name.lower(), value.strip(" \t")) for name, value in some.items())
    if problem := headers_problem(merged, latin1=False):
        return Failure("protocol", reason=problem)
    body: str | bytes = request.body
    if effect.purpose == "post":
        body = signed(credentials.sign, body)
    sent = None if request.method == "GET" else body.encode() if isinstance(body, str) else body
    return Target(request.method, address.url, merged, target=address.target, body=sent)


class HttpLink:
    """One request, with its redirects, to the end of its answer."""

    def __init__(self, port: Port, session: HttpSession, effect: Fetch) -> None:
        self._port = port
        self._session = session
        self._effect = effect
        self._link = effect.link
        self._posts = effect.purpose in ("post", "csrf")
        self._scope: anyio.CancelScope | None = None
        self._abandoned = False

    async def run(self) -> None:
        """Make the request, and report its answer, piece by piece if it is a stream."""
        if self._abandoned:  # Closed before this task began to run.
            return
        try:
            # Cancel a scope, not the task: httpcore can shield its clean-up only from a scope.
            with anyio.CancelScope() as self._scope:
                try:
                    end = await self._work()
                except BrokenAnswer as error:
                    end = Closed(self._link, error.failure)
                except Exception as error:
                    failure = request_failure(error, posts=self._posts)
                    end = Closed(self._link, with_authorities(failure, self._session.config.ca_file))
                self._report(end)
        except asyncio.CancelledError:
            self._report(Closed(self._link, LOOP_ENDS))
            raise

    def close(self, code: int, reason: str) -> None:
        """Abandon the request and its connection at once, and report nothing more."""
        self._abandoned = True
        if self._scope is not None:
            self._scope.cancel()

    def _report(self, event: Event) -> None:
        if not self._abandoned:
            self._port.feed(event)

    async def _work(self) -> Answered | Closed:
        effect, session = self._effect, self._session
        if effect.purpose == "poll" and self._port.pressure():
            await pressure_gone(self._port)
        headers = await session.user_headers.get(effect.failure, latin1=False)
        if isinstance(headers, Failure):
            return Closed(self._link, headers)
        posts = effect.purpose == "post" and session.csrf_token
        csrf = {session.dialect.csrf_header: session.csrf_token} if posts else {}
        target = target_of(session, effect, credentials_of(session.credentials, headers), csrf)
        if isinstance(target, Failure):
            return Closed(self._link, target)
        for redirects in range(1 + MAX_REDIRECTS):
            async with self._sent(target) as response:
                further = target.redirected(response)
                if further is None:
                    return await self._read(response, redirected=redirects > 0)
                await beginning(response, MAX_REFUSAL, REFUSAL_TIMEOUT)  # To reuse the connection.
                target = further
        raise too_many_redirects()

    @asynccontextmanager
    async def _sent(self, target: Target) -> AsyncIterator[httpx.Response]:
        """Send the request; at the end close its response, even if it wasn't read."""
        # A link may be closed just before it gets here. Then it must not open a connection.
        await checkpoint_if_cancelled()
        client = self._session.client(self._port)
        opened: list[Any] = []

        async def trace(event: str, info: Mapping[str, Any]) -> None:
            if event == "connection.connect_tcp.complete":
                opened.append(info["return_value"])

        # Not `client.build_request`, which would parse the URL and all headers twice more.
        headers = {**client.headers, **target.headers}
        if target.own:
            headers = self._session.cookies.add_to(headers, str(target.url))
        request = httpx.Request(
            target.method,
            target.url,
            headers=[(name.encode(), value.encode()) for name, value in headers.items()],
            content=target.body,
            extensions={"trace": trace, "target": target.target},
        )
        try:
            with unlogged():
                response = await client.send(request, stream=True, follow_redirects=False, auth=None)
        except BaseException:
            # httpcore leaks the connection if it is cancelled during the TLS handshake.
            with anyio.CancelScope(shield=True):
                for stream in opened:
                    await stream.aclose()
            raise
        try:
            yield response
        finally:
            await response.aclose()

    async def _read(self, response: httpx.Response, *, redirected: bool) -> Answered | Closed:
        status = response.status_code
        if self._effect.purpose == "stream" and status == 200:
            return await self._stream(response)
        if 200 <= status < 300:
            body = await whole(response, MAX_BODY)
        else:
            body = await beginning(response, MAX_REFUSAL, REFUSAL_TIMEOUT)
        if self._effect.purpose == "csrf" and status == 200:
            return self._take_token(body)
        return Answered(self._link, self._kept(Answer(status, body, redirected=redirected), response))

    async def _stream(self, response: httpx.Response) -> Closed:
        self._report(Opened(self._link, response.headers.get("content-type", "")))
        async for piece in pieces(response):
            self._report(ReceivedBytes(self._link, piece))
            if self._port.pressure():
                await pressure_gone(self._port)
        return Closed(self._link, STREAM_ENDED)

    def _take_token(self, body: bytes) -> Answered | Closed:
        """Store the token in the session, where no step, log or `repr` shows it."""
        token = self._session.dialect.csrf_token(body)
        if not token or headers_problem({"x": token}, latin1=False):
            raise BrokenAnswer("answer", "the server's answer holds no CSRF token")
        self._session.csrf_token = token
        self._session.redaction.learn({self._session.dialect.csrf_header: token})
        return Answered(self._link, Answer(200))

    def _kept(self, answer: Answer, response: httpx.Response) -> Answer:
        """Return the answer with the headers that a machine may need."""
        headers, dialect = response.headers, self._session.dialect
        names = dialect.answer_headers - {"retry-after"} | {"content-type"}
        kept = {name: headers[name] for name in sorted(names) if name in headers}
        waits = headers.get_list("retry-after")
        seconds = retry_after(waits[0], moment(headers.get("date"))) if len(waits) == 1 else None
        if seconds is None and answer.status >= 400:
            seconds = dialect.retry_after(answer)
        if seconds is not None:
            kept["retry-after"] = str(ceil(seconds))  # Never a date: a machine doesn't know the date.
        return replace(answer, headers=kept)
