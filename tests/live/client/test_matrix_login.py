"""A password is exchanged for a token, which is kept, renewed when refused, and never shown (SPEC §1, "Who
may")."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import tracemalloc
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from chatlab.errors import ConnectError, LoginRefused, TryAgain
from chatlab.live.client.concrete_transports import LongPollingTransport
from chatlab.live.client.headers_failures import headers_failure
from chatlab.live.client.matrix_login import MAX_ANSWER, MatrixLogin
from chatlab.settings import HttpConfig, LongPollingConfig


class Homeserver(ThreadingHTTPServer):
    """A server that accepts one password, each time with a new token."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Door)
        self.asked: list[dict[str, Any]] = []
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        """The first answers, to any request."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Door(BaseHTTPRequestHandler):
    server: Homeserver

    def do_POST(self) -> None:
        wish = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(wish)
        if self.server.answers:
            status, headers, body = self.server.answers.pop(0)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                for _ in range(1 if len(body) < 65536 else 4000):
                    self.wfile.write(body)
            return
        right = self.path == "/_matrix/client/v3/login" and wish["password"] == "s3cret"
        answer = {"access_token": f"token-{len(self.server.asked)}"} if right else {"errcode": "M_FORBIDDEN"}
        self.send_response(200 if right else 403)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def homeserver() -> Iterator[Homeserver]:
    with Homeserver() as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


async def test_it_logs_in_once_and_again_after_a_failure_as_the_same_device(homeserver: Homeserver) -> None:
    source = HttpConfig(url=homeserver.url, headers=MatrixLogin(homeserver.url, "ada", "s3cret")).headers
    assert source.renewable
    assert [await source(), await source(None)] == [{"Authorization": "Bearer token-1"}] * 2
    assert await source("HTTP 401") == {"Authorization": "Bearer token-2"}
    assert await source() == {"Authorization": "Bearer token-2"}
    first, second = homeserver.asked
    assert first == second
    assert first["device_id"].startswith("chatlab-")


async def test_a_wrong_password_is_refused_and_nothing_secret_is_shown(
    homeserver: Homeserver, caplog: pytest.LogCaptureFixture
) -> None:
    login = MatrixLogin(homeserver.url, "ada", "wr0ng", device="D1")
    with caplog.at_level(logging.DEBUG), pytest.raises(LoginRefused, match="HTTP 403") as error:
        await login()
    assert isinstance(error.value, PermissionError), "as before"
    assert homeserver.asked[0]["device_id"] == "D1"
    assert "wr0ng" not in caplog.text + repr(login) + str(error.value)


REFUSALS: dict[str, tuple[int, str, str]] = {
    "a wrong password": (
        403,
        '{"errcode": "M_FORBIDDEN", "error": "Invalid username or password"}',
        "(HTTP 403, M_FORBIDDEN: Invalid username or password): check the user and the password",
    ),
    "it is quoted": (
        403,
        '{"errcode": "M_FORBIDDEN", "error": "wr0ng isn\'t ada\'s password"}',
        "(HTTP 403, M_FORBIDDEN: *** isn't ada's password): check the user and the password",
    ),
    "an account that is gone": (
        403,
        '{"errcode": "M_USER_DEACTIVATED"}',
        "(HTTP 403, M_USER_DEACTIVATED): check whether the account is still there",
    ),
    "no homeserver": (404, "<html>", "(HTTP 404): check the URL"),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_A88_a_refused_login_says_why_and_what_to_check(homeserver: Homeserver, name: str) -> None:
    status, body, said = REFUSALS[name]
    homeserver.answers.append((status, {}, body.encode()))
    config = LongPollingConfig(
        url=homeserver.url, dialect="matrix", headers=MatrixLogin(homeserver.url, "ada", "wr0ng")
    )
    with pytest.raises(ConnectError) as caught:
        await LongPollingTransport(config, loop="current").connect()
    whole = f"the headers function gets no token: the login was refused {said}, then connect again"
    assert whole in caught.value.reason


async def test_A79_a_password_too_short_to_be_redacted_is_not_quoted(homeserver: Homeserver) -> None:
    homeserver.answers.append((403, {}, b'{"errcode": "M_FORBIDDEN", "error": "abc is wrong"}'))
    with pytest.raises(LoginRefused, match=r"refused \(HTTP 403, M_FORBIDDEN\): check"):
        await MatrixLogin(homeserver.url, "ada", "abc")()


PASSING: dict[str, tuple[int, dict[str, str], bytes]] = {
    "502": (502, {}, b"<html>bad gateway"),
    "429 with a header": (429, {"Retry-After": "4"}, b"{}"),
    "429 as before v1.10": (429, {}, b'{"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 4000}'),
    "a portal's page": (200, {"Content-Type": "text/html"}, b"<html>log in"),
    "a portal's redirect": (302, {"Location": "http://portal.test/"}, b""),
    "an answer without end": (200, {}, b'"' * 65536),
    "a zip that is none": (200, {"Content-Encoding": "gzip"}, b"no zip"),
}


@pytest.mark.parametrize("name", PASSING)
async def test_A88_a_login_that_may_succeed_later(homeserver: Homeserver, name: str) -> None:
    homeserver.answers.append(PASSING[name])
    login = MatrixLogin(homeserver.url, "ada", "s3cret")
    with pytest.raises(TryAgain, match=r"^the login was answered (with HTTP|without a token)") as caught:
        await login()
    assert caught.value.retry_after == (4.0 if "429" in name else None)
    assert await login() == {"Authorization": "Bearer token-2"}


async def test_A88_a_token_that_was_refused_is_not_tried_again(homeserver: Homeserver) -> None:
    login = MatrixLogin(homeserver.url, "ada", "s3cret")
    await login()
    homeserver.answers.append(PASSING["502"])
    with pytest.raises(TryAgain):
        await login("HTTP 401")
    assert await login() == {"Authorization": "Bearer token-3"}


async def test_A88_an_answer_without_end_is_read_to_a_bound(homeserver: Homeserver) -> None:
    homeserver.answers.append(PASSING["an answer without end"])
    tracemalloc.start()
    try:
        with pytest.raises(TryAgain):
            await MatrixLogin(homeserver.url, "ada", "s3cret")()
        assert tracemalloc.get_traced_memory()[1] < 20 * MAX_ANSWER, "of 262 MB"
    finally:
        tracemalloc.stop()


async def test_A88_a_homeserver_that_is_down_is_a_failure_that_may_pass(homeserver: Homeserver) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(OSError) as caught:  # noqa: PT011  # the message of a network error varies
        await MatrixLogin(url, "ada", "s3cret")()
    assert headers_failure(caught.value).kind == "refused"
