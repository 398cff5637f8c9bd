"""A password becomes a token, which is kept, renewed when refused, and never shown (SPEC §1, "Who may")."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from chatlab.live.matrix_login import MatrixLogin
from chatlab.settings import HttpConfig


class Homeserver(ThreadingHTTPServer):
    """Lets in who knows the password, each time with another token."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Door)
        self.asked: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Door(BaseHTTPRequestHandler):
    server: Homeserver

    def do_POST(self) -> None:
        wish = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(wish)
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


async def test_a_wrong_password_is_refused_and_nothing_secret_is_told(
    homeserver: Homeserver, caplog: pytest.LogCaptureFixture
) -> None:
    login = MatrixLogin(homeserver.url, "ada", "wr0ng", device="D1")
    with caplog.at_level(logging.DEBUG), pytest.raises(PermissionError, match="HTTP 403") as error:
        await login()
    assert homeserver.asked[0]["device_id"] == "D1"
    assert "wr0ng" not in caplog.text + repr(login) + str(error.value)
