"""A headers function that fails is called again if the failure may be temporary; otherwise it is final (SPEC
§12)."""

from __future__ import annotations

import asyncio
import errno
import http.client
import json
import socket
import ssl
import urllib.error
from collections.abc import Callable, Iterator
from email.message import Message
from typing import Any

import httpx
import msgspec
import pytest

from chatlab.errors import ConnectError, LoginRefused, TryAgain
from chatlab.live.client.headers_failures import headers_failure
from chatlab.live.client.kinds import make_transport
from chatlab.live.client.user_headers import UserHeaders, user_headers
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.settings import (
    LongPollingConfig,
    ReconnectConfig,
    ShortPollingConfig,
    SSEConfig,
    TransportConfig,
    WebSocketConfig,
)
from chatlab.transports.failures import FAILURES
from chatlab.transports.machine import Failure

REQUEST = httpx.Request("GET", "http://auth/?token=hush")


def refused(status: int, **headers: str) -> httpx.HTTPStatusError:
    return httpx.HTTPStatusError("hush", request=REQUEST, response=httpx.Response(status, headers=headers))


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


def named(module: str, name: str) -> Exception:
    """Return an exception like one of a library that isn't installed here."""
    base = type(name, (Exception,), {"__module__": module})
    error: Exception = type("Special", (base,), {})("hush")
    return error


class WithStatus(Exception):
    """An exception like that of aiohttp for a status."""

    status = 502


PASSING: dict[str, tuple[BaseException, str]] = {
    "ConnectionError": (ConnectionError("hush"), "refused"),
    "ConnectionResetError": (ConnectionResetError("hush"), "reset"),
    "TimeoutError": (TimeoutError("hush"), "timeout"),
    "no route": (OSError(errno.ENETUNREACH, "hush"), "refused"),
    "gaierror": (socket.gaierror(-3, "hush"), "dns"),
    "urllib: no connection": (urllib.error.URLError("hush"), "refused"),
    "urllib: 503": (urllib.error.HTTPError("http://hush", 503, "hush", Message(), None), "http"),
    "TLS handshake broken off": (ssl.SSLEOFError(8, "hush"), "reset"),
    "httpx.ConnectError": (httpx.ConnectError("hush"), "refused"),
    "httpx.ReadTimeout": (httpx.ReadTimeout("hush"), "timeout"),
    "httpx.ProxyError": (httpx.ProxyError("hush"), "reset"),
    "httpx.RemoteProtocolError": (httpx.RemoteProtocolError("hush"), "reset"),
    "httpx: 502": (refused(502), "http"),
    "httpx: 429": (refused(429, **{"Retry-After": "7"}), "http"),
    "aiohttp: 502": (WithStatus("hush"), "http"),
    "aiohttp: no connection": (named("aiohttp.client_exceptions", "ClientConnectionError"), "reset"),
    "urllib3": (named("urllib3.exceptions", "HTTPError"), "reset"),
    "httpcore": (named("httpcore", "NetworkError"), "reset"),
    "http.client": (http.client.IncompleteRead(b"hush"), "reset"),
    "broken off": (asyncio.IncompleteReadError(b"hush", 9), "reset"),
    "a page for JSON": (json.JSONDecodeError("hush", "<html>", 0), "reset"),
    "a page for JSON, by msgspec": (msgspec.DecodeError("hush"), "reset"),
    "raised from one": (caused(RuntimeError("hush"), ConnectionResetError("hush")), "reset"),
    "a group of one": (ExceptionGroup("hush", [TimeoutError("hush")]), "timeout"),
    "TryAgain": (TryAgain("the vault is sealed", 3.0), "timeout"),
}
FINAL: dict[str, BaseException] = {
    "TypeError": TypeError("hush"),
    "KeyError": KeyError("hush"),
    "ValueError": ValueError("hush"),
    "RuntimeError": RuntimeError("hush"),
    "a file that isn't there": FileNotFoundError(2, "hush"),
    "a file that mustn't be read": PermissionError(13, "hush"),
    "refused, in words": LoginRefused("ask for an account"),
    "refused": LoginRefused(),
    "refused, as before": PermissionError("hush"),
    "httpx: 403": refused(403),
    "httpx: 401": refused(401),
    "urllib: 404": urllib.error.HTTPError("http://hush", 404, "hush", Message(), None),
    "httpx.UnsupportedProtocol": httpx.UnsupportedProtocol("hush"),
    "JSON of another shape": msgspec.ValidationError("hush"),
    "a certificate": ssl.SSLCertVerificationError(1, "hush"),
    "while another was handled": RuntimeError("hush"),
}
FINAL["while another was handled"].__context__ = ConnectionError()


@pytest.mark.parametrize("name", PASSING)
def test_A88_a_failure_that_may_pass_is_retried(name: str) -> None:
    error, kind = PASSING[name]
    failure = headers_failure(error)
    assert failure.kind == kind
    key = kind if failure.code is None else f"{kind} {failure.code}"
    assert FAILURES[key] == "retry"
    assert "the headers function" in failure.reason
    assert "hush" not in failure.reason


@pytest.mark.parametrize("name", FINAL)
def test_A88_a_mistake_is_final(name: str) -> None:
    failure = headers_failure(FINAL[name])
    assert failure.kind in ("protocol", "tls")
    assert FAILURES[failure.kind] == "give up"
    assert "hush" not in failure.reason


def test_texts_of_failures() -> None:
    say = {name: headers_failure(error) for name, (error, _) in PASSING.items()}
    assert say["TryAgain"].reason == "the headers function asks to try again: the vault is sealed"
    assert say["TryAgain"].retry_after == 3.0
    assert headers_failure(TryAgain()).reason == "the headers function asks to try again"
    assert str(say["httpx: 429"]) == "HTTP 429: the headers function raised HTTPStatusError (HTTP 429)"
    assert say["httpx: 429"].retry_after == 7.0
    assert say["httpx: 502"].retry_after is None
    final = {name: headers_failure(error).reason for name, error in FINAL.items()}
    assert final["httpx: 403"].endswith("HTTPStatusError (HTTP 403): check its user, password or token")
    assert final["urllib: 404"].endswith("HTTPError (HTTP 404): check the URL that it requests")
    assert final["httpx.UnsupportedProtocol"].endswith("check the URL that it requests")
    assert final["a file that mustn't be read"].endswith("PermissionError: check the file that it opens")
    assert final["KeyError"].endswith("raised KeyError: correct it, then connect again")
    assert final["refused, in words"] == "the headers function gets no token: ask for an account"
    assert final["refused"].endswith("gets no token: check the user and the password, then connect again")
    assert final["refused, as before"].endswith("raised PermissionError: correct it, then connect again")


@pytest.mark.parametrize("style", ["plain", "async", "in a cell"])
async def test_A88_a_mistake_is_reported_with_its_place_and_without_its_text(style: str) -> None:
    code = "async def token():\n    return {'X': secrets['hush']}\n"
    code = code.removeprefix("async ") if style == "plain" else code
    file = "ipykernel_7/77.py" if style == "in a cell" else "ada/auth.py"
    names: dict[str, Any] = {"secrets": {}}
    exec(compile(code, file, "exec"), names)
    failure = await user_headers(TransportConfig(url="http://h", headers=names["token"]), None, latin1=True)
    place = "a notebook's cell" if style == "in a cell" else "auth.py"
    reason = (
        f"the headers function raised KeyError in token ({place}, line 2): correct it, then connect again"
    )
    assert failure == Failure("protocol", reason=reason)


@pytest.mark.parametrize("returned", [None, "Bearer hush", 7, [("hush",)]])
async def test_A88_a_result_other_than_headers_is_reported_by_its_type(returned: Any) -> None:
    config = TransportConfig(url="http://h", headers=lambda: returned)
    failure = await user_headers(config, None, latin1=True)
    kind = type(returned).__name__
    reason = f"the headers function returned {kind}: it must return a dict of names and values"
    assert failure == Failure("protocol", reason=reason)


async def test_A88_a_refusal_is_passed_again_after_the_function_has_failed() -> None:
    told: list[Any] = []
    new = {"X": "new"}
    answers: Iterator[Exception | dict[str, str]] = iter([TimeoutError(), TimeoutError(), new, new])

    def renew(failure: Any) -> dict[str, str]:
        told.append(failure)
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    headers = UserHeaders(TransportConfig(url="http://h", headers=renew))
    refusal = Failure("http", 401)
    for failure in (refusal, None, None, None):
        await headers.get(failure, latin1=False)
    assert told == [refusal, refusal, refusal, None]


QUICK = ReconnectConfig(base_delay=0.01, max_delay=0.02, jitter="none")
CONFIGS: dict[str, Callable[..., TransportConfig]] = {
    "websocket": lambda server, **more: WebSocketConfig(url=server.ws_url, **more),
    "sse": lambda server, **more: SSEConfig(url=server.url, **more),
    "long polling": lambda server, **more: LongPollingConfig(url=server.url, error_delay=0.01, **more),
    "short polling": lambda server, **more: ShortPollingConfig(url=server.url, interval=0.05, **more),
}


@pytest.mark.parametrize("kind", CONFIGS)
async def test_A88_every_transport_outlives_a_token_server_that_is_down(kind: str) -> None:
    failing = iter([ConnectionError(), httpx.ConnectError(""), refused(503)])

    async def token() -> dict[str, str]:
        for error in failing:
            raise error
        return {"Authorization": "Bearer t"}

    async with EmbeddedServer() as server:
        config = CONFIGS[kind](server, sender="ada", headers=token, reconnect=QUICK)
        chat = make_transport(config, loop="current")
        receipt = chat.submit("written meanwhile")
        async with chat:
            assert (await receipt.settled()).value == "acked"
        assert list(failing) == []


@pytest.mark.parametrize("kind", CONFIGS)
async def test_A88_a_programming_error_ends_every_transport(kind: str) -> None:
    calls: list[int] = []

    def token() -> dict[str, str]:
        calls.append(1)
        raise KeyError("hush")

    async with EmbeddedServer() as server:
        chat = make_transport(CONFIGS[kind](server, headers=token, reconnect=QUICK), loop="current")
        with pytest.raises(ConnectError, match="the headers function raised KeyError"):
            await chat.connect()
        await chat.disconnect()
    assert len(calls) == 1
