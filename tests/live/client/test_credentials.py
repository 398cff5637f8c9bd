"""A dialect puts tokens where its server expects them, and no step, log or repr shows them (SPEC §1)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from websockets.asyncio.server import ServerConnection, serve

from chatlab.dialects.base import (
    Ack,
    Answer,
    Credentials,
    Dialect,
    HttpDialect,
    Incoming,
    Opening,
    Page,
    Request,
)
from chatlab.messages import ChatMessage, ConnectionStatus, DeliveryState, OutgoingMessage
from chatlab.settings import TransportConfig
from chatlab.trace import Step
from tests.live.watch import talking, until

TOKEN = "s3cret-t0ken"
CSRF = "c5rf-t0ken"


class GateHttp(HttpDialect):
    streams = False
    csrf = Request("GET", "/gate/csrf")
    csrf_header = "X-Gate"

    def csrf_token(self, body: bytes) -> str:
        return body.decode()

    def poll(self, config: TransportConfig, cursor: str | None, hold: float | None) -> Request:
        return Request("GET", "/gate")

    def page(self, answer: Answer) -> Page | None:
        return Page(()) if answer.status == 200 else None

    def post(self, config: TransportConfig, message: OutgoingMessage) -> Request:
        return Request("PUT", "/gate", body=message.text)

    def posted(self, answer: Answer, client_id: str) -> Ack | None:
        return Ack(client_id) if answer.body == b"let in" else None


class Gate(Dialect):
    """A gate that expects the token in the query and, on a WebSocket, also as the first frame."""

    name = "gate"

    @property
    def http(self) -> HttpDialect:
        return GateHttp()

    def credentials(self, headers: Mapping[str, str]) -> Credentials:
        token = headers["Authorization"]

        def sign(frame: str | bytes) -> str | bytes:
            return frame.replace("TOKEN", token) if isinstance(frame, str) else frame

        return Credentials({"X-Kind": "gate"}, {"token": token}, frames=(f"I am {token}",), sign=sign)

    def opening(self, config: TransportConfig, cursor: str | None) -> Opening:
        return Opening("/gate", {"room": config.room}, {"X-Opening": "yes"}, frames=("hello TOKEN",))

    def encode(self, config: TransportConfig, message: OutgoingMessage) -> str:
        return message.text

    def decode(self, frame: str | bytes) -> Sequence[Incoming]:
        return (ChatMessage("", text=str(frame)),)


async def test_on_a_websocket_credentials_go_first(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []

    async def gate(connection: ServerConnection) -> None:
        assert connection.request is not None
        headers = connection.request.headers
        seen.append(connection.request.path)
        seen.append(f"{headers['X-Kind']} {headers['X-Opening']} {headers.get('Authorization')}")
        async for frame in connection:
            seen.append(str(frame))
            await connection.send("heard")

    steps: list[Step] = []
    async with serve(gate, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        headers = {"Authorization": TOKEN}
        with (
            caplog.at_level(logging.DEBUG, logger="chatlab"),
            talking("websocket", url, dialect=Gate(), headers=headers, record=steps.append) as (ada, watch),
        ):
            await ada.connect()
            await ada.send("hi")
            await until(lambda: len(watch.texts) == 3)
            assert seen == [
                f"/gate?room=lobby&token={TOKEN}",
                "gate yes None",
                f"I am {TOKEN}",
                f"hello {TOKEN}",
                "hi",
            ]
            await ada.disconnect()
            assert TOKEN not in repr(steps) + repr(ada.config) + repr(ada) + caplog.text


class Keeper(BaseHTTPRequestHandler):
    server: Door

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        right = asked.get("token") == [TOKEN] and self.headers["X-Kind"] == "gate"
        self.answer(200 if right else 401, CSRF if self.path.startswith("/gate/csrf") else "")

    def do_PUT(self) -> None:
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.posted.append((text, self.headers["X-Gate"], self.headers["X-CSRF-Token"]))
        self.answer(*((201, "let in") if self.headers["X-Gate"] == CSRF else (403, "")))

    def answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *words: object) -> None:
        pass


class Door(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Keeper)
        self.posted: list[tuple[str, str | None, str | None]] = []


@pytest.fixture
def door() -> Iterator[Door]:
    with Door() as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


async def test_requests_carry_credentials_and_the_csrf_token_in_the_dialects_header(door: Door) -> None:
    steps: list[Step] = []
    url = f"http://127.0.0.1:{door.server_port}"
    headers = {"Authorization": TOKEN}
    with talking("short_polling", url, dialect=Gate(), headers=headers, record=steps.append) as (ada, watch):
        await ada.connect()
        assert await (await ada.send("hi TOKEN")).settled() is DeliveryState.ACKED
        assert door.posted == [(f"hi {TOKEN}", CSRF, None)]
        await ada.disconnect()
        assert not watch.of("unreadable")
    for secret in (TOKEN, CSRF):
        assert secret not in repr(steps) + repr(ada.config)


class Faulty(Gate):
    """A gate's dialect whose `sign` or `credentials` has a mistake, which quotes the token."""

    def __init__(self, mistake: str) -> None:
        self.mistake = mistake

    def credentials(self, headers: Mapping[str, str]) -> Credentials:
        if self.mistake == "credentials raises":
            raise ValueError(headers["Authorization"])
        if self.mistake == "credentials returns a dict":
            return {"X": TOKEN}  # type: ignore[return-value]
        made = super().credentials(headers)

        def sign(frame: str | bytes) -> str | bytes:
            if frame == "bad" and self.mistake == "sign raises":
                raise KeyError(TOKEN)
            return None if frame == "bad" else frame  # type: ignore[return-value]

        return Credentials(made.headers, made.query, sign=sign)


MISTAKES = {
    "sign raises": "the dialect's sign raised KeyError in sign (test_credentials.py, line ",
    "sign returns None": "the dialect's sign returned a NoneType: it must return text or bytes",
    "credentials raises": "Faulty.credentials raised ValueError in credentials (test_credentials.py, line ",
    "credentials returns a dict": "Faulty.credentials returned a dict: it must return Credentials",
}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("mistake", MISTAKES)
async def test_a_mistake_in_the_part_of_a_dialect_that_gets_secrets_ends_a_websocket_for_good(
    mistake: str, when: str, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []

    async def gate(connection: ServerConnection) -> None:
        nonlocal heard
        async for frame in connection:
            heard += [str(frame)]

    steps: list[Step] = []
    async with serve(gate, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        settings: dict[str, Any] = {
            "dialect": Faulty(mistake),
            "headers": {"Authorization": TOKEN},
            "record": steps.append,
        }
        with talking("websocket", url, **settings) as (ada, watch):
            if when == "before":
                ada.submit("bad")
            ada.start()
            if when == "after" and mistake.startswith("sign"):
                await until(lambda: ada.status is ConnectionStatus.CONNECTED)
                ada.submit("bad")
                ada.submit("after")
            ended = await watch.ended()
            assert ended.status is ConnectionStatus.ERROR
            assert ended.reason.startswith(f"protocol: {MISTAKES[mistake]}")
            if mistake.startswith("sign"):
                await until(lambda: not server.connections)  # It doesn't leave the connection open.
    assert "bad" not in heard
    assert "after" not in heard
    assert not caplog.records
    assert TOKEN not in repr(steps) + ended.reason


@pytest.mark.parametrize("mistake", MISTAKES)
async def test_over_http_such_a_mistake_fails_the_message_or_ends_the_transport(
    mistake: str, door: Door
) -> None:
    settings: dict[str, Any] = {"dialect": Faulty(mistake), "headers": {"Authorization": TOKEN}}
    with talking("short_polling", f"http://127.0.0.1:{door.server_port}", **settings) as (ada, watch):
        bad = ada.submit("bad")
        ada.start()
        if mistake.startswith("sign"):
            await until(lambda: bad.final)
            assert bad.state is DeliveryState.FAILED
            said = str(bad.error)
        else:
            ended = await watch.ended()
            assert ended.status is ConnectionStatus.ERROR
            said = ended.reason
    assert MISTAKES[mistake] in said
    assert TOKEN not in said
    assert not door.posted
