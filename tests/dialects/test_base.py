"""The base of dialects. Unreadable frames are quoted: printable, and bounded (A02, A75)."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from chatlab.dialects.base import (
    EXCERPT,
    REASON,
    Answer,
    Credentials,
    Dialect,
    HttpDialect,
    Opening,
    unreadable,
)
from chatlab.errors import SettingsError
from chatlab.messages import ChatMessage, OutgoingMessage
from chatlab.settings import WebSocketConfig


@pytest.mark.parametrize(
    ("frame", "shown"),
    [
        ("hi", "hi"),
        ("", ""),
        ("é😀", "é😀"),
        ("a\r\nb\x1b[31m\0", "a\\r\\nb\\x1b[31m\\x00"),
        ("\ud800\u202e", "\\ud800\\u202e"),
        (b"ok\n", "ok\\n"),
        (b"\xff\xfe", "\\xff\\xfe"),
        ("é".encode(), "é"),
        ("a" * EXCERPT, "a" * EXCERPT),
        ("a" * (EXCERPT + 1), "a" * EXCERPT + "…"),
        (b"a" * 1_000_000, "a" * EXCERPT + "…"),
    ],
)
def test_excerpt(frame: str | bytes, shown: str) -> None:
    assert unreadable("why", frame).excerpt == shown


def test_reason_is_bounded_and_printable_too() -> None:
    assert unreadable("why", "").reason == "why"
    assert unreadable("Invalid value '\n\x1b'", "").reason == "Invalid value '\\n\\x1b'"
    assert unreadable("a" * 100_000, "").reason == "a" * REASON + "…"


class Telegraph(Dialect):
    name = "telegraph"


CONFIG = WebSocketConfig(url="ws://h/")


def test_a_dialect_says_only_what_is_different() -> None:
    plain = Telegraph()
    assert (plain.transports, plain.http) == (("websocket",), None)
    assert (plain.acks, plain.idempotent, plain.heartbeat, plain.gap) == (False, True, "ping", None)
    assert plain.failures == {}
    assert not plain.greets
    assert plain.for_connection() is plain
    http = HttpDialect()
    assert http.for_connection() is http
    assert plain.opening(CONFIG, "7") == Opening()
    assert (plain.typing(CONFIG), plain.last_frame()) == (None, None)
    assert json.loads(plain.ping(3)) == {"type": "ping", "id": 3}
    assert json.loads(plain.pong(3)) == {"type": "pong", "id": 3}
    assert repr(plain) == "<dialect telegraph>"


def test_A90_over_http_nothing_is_an_ack_unless_the_dialect_says_so_and_nothing_else_is_there() -> None:
    http = HttpDialect()
    assert [http.posted(Answer(status), "c1") for status in (200, 201, 204, 302, 409)] == [None] * 5
    assert (http.csrf, http.csrf_token(b"{}"), http.csrf_header) == (None, None, "X-CSRF-Token")
    assert http.post_typing(CONFIG) is None
    assert http.retry_after(Answer(429, b'{"retry_after_ms":1}')) is None


MISSING: dict[str, Callable[[], object]] = {
    "encode": lambda: Telegraph().encode(CONFIG, OutgoingMessage("x")),
    "decode": lambda: Telegraph().decode("x"),
    "stream": lambda: HttpDialect().stream(CONFIG, None),
    "event": lambda: HttpDialect().event("message", "x", ""),
    "poll": lambda: HttpDialect().poll(CONFIG, None, None),
    "page": lambda: HttpDialect().page(Answer(200)),
    "post": lambda: HttpDialect().post(CONFIG, OutgoingMessage("x")),
    "post_reply": lambda: HttpDialect().post_reply(CONFIG, "x"),
}


@pytest.mark.parametrize("name", MISSING)
def test_a_dialect_without_a_claimed_method_raises(name: str) -> None:
    with pytest.raises(NotImplementedError):
        MISSING[name]()


def test_a_server_may_hold_every_poll() -> None:
    class Held(Telegraph):
        @property
        def http(self) -> HttpDialect:
            held = HttpDialect()
            held.short_polls = False
            return held

    assert Held().transports == ("websocket", "sse", "long_polling")


def test_a_transport_that_it_has_not_is_refused() -> None:
    Telegraph().require("websocket")
    with pytest.raises(SettingsError, match="'telegraph' has no sse; choose one of websocket"):
        Telegraph().require("sse")
    silent = Telegraph()
    silent.websocket = False
    with pytest.raises(
        SettingsError, match=r"'telegraph' has no sse; set its `websocket` or give it an `http` part"
    ):
        silent.require("sse")


@pytest.mark.parametrize(
    ("text", "data", "same"), [("hi", None, True), ("hi!", None, False), ("hi", b"x", False)]
)
def test_a_message_that_came_is_ones_own_only_with_the_same_content(
    text: str, data: bytes | None, same: bool
) -> None:
    came = ChatMessage("1", "ada", text, "c1", datetime(2026, 11, 29, tzinfo=UTC), data)
    assert Dialect().is_echo(OutgoingMessage(client_id="c1", text="hi"), came) is same


def test_credentials_go_as_headers_and_are_never_printed() -> None:
    credentials = Telegraph().credentials({"Authorization": "Bearer secret"})
    assert credentials == Credentials({"Authorization": "Bearer secret"})
    assert "secret" not in repr(credentials) + str(credentials) + f"{credentials}"
