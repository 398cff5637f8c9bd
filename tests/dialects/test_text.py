"""The `text` dialect: bare frames and events, no acks on a WebSocket, Ping frames (SPEC §7)."""

from __future__ import annotations

import pytest

from chatlab.dialects.base import Ack, Answer, Opening, Request
from chatlab.dialects.text import TextDialect
from chatlab.messages import ChatMessage, OutgoingMessage
from chatlab.settings import SSEConfig, WebSocketConfig

DIALECT = TextDialect()
SOCKET = WebSocketConfig(url="ws://h/")
STREAM = SSEConfig(url="http://h/", room="a b", sender="ada")


def test_frames_are_the_content_itself() -> None:
    assert DIALECT.encode(SOCKET, OutgoingMessage("hé", client_id="c1")) == "hé"
    assert DIALECT.encode(SOCKET, OutgoingMessage(data=b"\0")) == b"\0"
    assert DIALECT.decode('{"type":"ping"}') == (ChatMessage("", "server", '{"type":"ping"}'),)
    assert DIALECT.decode(b"\xff") == (ChatMessage("", "server", data=b"\xff"),)


def test_nothing_is_asked_of_the_server() -> None:
    assert not DIALECT.acks
    assert DIALECT.heartbeat == "ping"
    assert DIALECT.opening(SOCKET, "cursor") == Opening()
    assert DIALECT.typing(SOCKET) is None


def test_an_event_is_its_data_and_its_id_the_cursor() -> None:
    http = DIALECT.http
    assert http.event("whatever", "hi", "7") == (ChatMessage("7", "server", "hi"),)
    assert http.stream(STREAM, None).headers == {"Accept": "text/event-stream", "Cache-Control": "no-store"}
    assert http.stream(STREAM, "7").headers["Last-Event-ID"] == "7"
    assert http.stream(STREAM, "7").path == ""
    assert DIALECT.transports == ("websocket", "sse")


def test_texts_are_posted_as_they_are() -> None:
    http = TextDialect(stream="/rooms/{channel}", post="/say/{channel}?as={sender}&id={txn}").http
    plain = {"Content-Type": "text/plain; charset=utf-8"}
    assert http.stream(STREAM, None).path == "/rooms/a%20b"
    assert http.post(STREAM, OutgoingMessage("hé", client_id="c1")) == Request(
        "POST", "/say/a%20b", {"as": "ada", "id": "c1"}, plain, "hé"
    )
    assert http.post(STREAM, OutgoingMessage(data=b"\xffa", client_id="c1")).body == "\ufffda"
    assert http.posted(Answer(204), "c1") == Ack("c1")
    assert http.posted(Answer(404), "c1") is None


@pytest.mark.parametrize(
    ("answer", "accepted"),
    [
        (Answer(200, b"ok", {"content-type": "text/plain"}), True),
        (Answer(202, b"{}", {"content-type": "application/json"}), True),
        (Answer(200, b"ok", {"content-type": "text/html"}), False),
        (Answer(201, b"", {"content-type": " Text/HTML ;charset=utf-8"}), False),
        (Answer(200, b"ok", {"content-type": "text/plain"}, redirected=True), False),
        (Answer(304), False),
        (Answer(102), False),
        (Answer(409), False),
    ],
    ids=["text", "JSON", "page", "typed", "elsewhere", "304", "102", "409"],
)
def test_A90_a_page_or_another_address_accepts_nothing(answer: Answer, accepted: bool) -> None:
    assert TextDialect().http.posted(answer, "c1") == (Ack("c1") if accepted else None)
