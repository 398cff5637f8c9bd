"""Hints name a wrong dialect or a proxy as the cause, and say what to try (issue 8)."""

from __future__ import annotations

from typing import Any

import pytest

from chatlab.dialects.socketio import SocketIODialect
from chatlab.messages import StatusChange
from chatlab.settings import (
    HeartbeatConfig,
    LongPollingConfig,
    ReconnectConfig,
    ShortPollingConfig,
    SSEConfig,
    WebSocketConfig,
)
from chatlab.transports.hints import (
    BREACHES,
    GATEWAY,
    NOT_FOUND,
    heartbeat_refused,
    no_websocket,
    not_found,
    other_protocol,
)
from chatlab.transports.machine import Closed, Deliver, Failure, Notify, Received
from tests.transports.http_chat import Chat

ONCE = ReconnectConfig(max_attempts=0)


@pytest.mark.parametrize("code", sorted(BREACHES))
def test_a_refused_heartbeat_may_better_be_a_ping_frame(code: int) -> None:
    assert "try HeartbeatConfig(mode='ping')" in heartbeat_refused(Failure("close", code))


@pytest.mark.parametrize("failure", [Failure("close", 1000), Failure("close", 1006), Failure("http", 1008)])
def test_another_end_has_nothing_to_do_with_it(failure: Failure) -> None:
    assert heartbeat_refused(failure) == ""


def test_what_is_not_there_was_asked_for_by_a_dialect() -> None:
    config = SSEConfig(url="http://h", dialect="nchan")
    for code in NOT_FOUND:
        hint = not_found(Failure("http", code), config, "a thing", "/x")
        assert hint == "; the 'nchan' dialect asks for a thing at /x: try another dialect or address"
    assert " asks for a thing: " in not_found(Failure("http", 404), config, "a thing", "")
    for other in (Failure("http", 403), Failure("http", 503), Failure("close", 404), Failure("refused")):
        assert not_found(other, config, "a thing", "/x") == ""


def last_change(effects: object) -> StatusChange:
    assert isinstance(effects, list)
    (change,) = [effect.change for effect in effects if isinstance(effect, Notify)]
    assert isinstance(change, StatusChange)
    return change


@pytest.mark.parametrize(
    ("config", "purpose", "asked"),
    [
        (SSEConfig(url="http://h"), "stream", "'chatlab' dialect asks for an event stream at /stream"),
        (
            ShortPollingConfig(url="http://h", dialect="nchan"),
            "poll",
            "'nchan' dialect asks for messages at /poll/lobby",
        ),
        (LongPollingConfig(url="http://h"), "poll", "'chatlab' dialect asks for messages at /messages/poll"),
    ],
)
def test_requests(config: object, purpose: str, asked: str) -> None:
    chat = Chat(config)
    chat.connect()
    change = last_change(chat.answer(purpose, 404, b"no such page"))  # type: ignore[arg-type]
    assert change.status == "error"
    assert asked in change.reason
    assert change.code == 404
    assert change.reason.startswith("HTTP 404: no such page")


def test_a_stream_that_is_none() -> None:
    chat = Chat(SSEConfig(url="http://h", dialect="text"))
    chat.connect()
    change = last_change(chat.opened("text/html"))
    assert "content type is text/html" in change.reason
    assert "the 'text' dialect asks for an event stream: try another" in change.reason


def test_a_websocket_that_is_not_there() -> None:
    chat = Chat(WebSocketConfig(url="ws://h", dialect="nchan"))
    chat.connect()
    change = last_change(chat.do(Closed(chat.link("websocket"), Failure("http", 404, "nothing"))))
    assert "the 'nchan' dialect asks for a WebSocket at /lobby: try another dialect" in change.reason


@pytest.mark.parametrize("mode", ["json", "ping"])
@pytest.mark.parametrize("beaten", [True, False])
def test_only_an_open_heartbeat_in_json_is_blamed(mode: str, beaten: bool) -> None:
    heartbeat = HeartbeatConfig(interval=5.0, mode=mode)  # type: ignore[arg-type]
    chat = Chat(WebSocketConfig(url="ws://h", heartbeat=heartbeat, reconnect=ONCE))
    chat.connect()
    chat.opened("")
    if beaten:
        chat.tick()
    change = last_change(chat.do(Closed(chat.link("websocket"), Failure("close", 1008, "Publish"))))
    assert ("try HeartbeatConfig" in change.reason) == (beaten and mode == "json")


# Proxies


@pytest.mark.parametrize(
    ("failure", "hint"),
    [
        (Failure("http", 426, "this is a WebSocket"), "drops the Upgrade header"),
        (Failure("http", 400, 'Can "Upgrade" only to "WebSocket".'), "drops the Upgrade header"),
        (Failure("http", 400, '{"code":0,"message":"Transport unknown"}'), "speaks Socket.IO"),
        (Failure("http", 400, '{"code":5,"message":"Unsupported protocol version"}'), "speaks Socket.IO"),
        (Failure("http", 404), "asks for a WebSocket at /x"),
        (Failure("http", 400, "the room must have"), ""),
        (Failure("http", 403, "no upgrade for you"), ""),
        (Failure("close", 4026), ""),
        (Failure("refused"), ""),
    ],
)
def test_a_handshake_that_is_refused(failure: Failure, hint: str) -> None:
    told = no_websocket(failure, WebSocketConfig(url="ws://h"), "/x")
    assert hint in told
    assert bool(told) == bool(hint)


def test_another_protocol_is_named_with_the_frame_and_with_the_end() -> None:
    chat = Chat(WebSocketConfig(url="ws://h"))
    chat.connect()
    chat.opened("")
    (effect,) = chat.do(Received(chat.link("websocket"), '0{"sid":"x","upgrades":[]}'))
    assert isinstance(effect, Deliver)
    assert "speaks Socket.IO" in effect.event.reason
    change = last_change(chat.do(Closed(chat.link("websocket"), Failure("close", 1005))))
    assert "speaks Socket.IO" in change.reason
    assert other_protocol(b'0{"sid"', SOCKET) == other_protocol('{"sid":0}', SOCKET) == ""


def test_a_dialect_in_use_is_not_advised() -> None:
    chat = Chat(WebSocketConfig(url="ws://h", dialect=SocketIODialect(path="/io"), reconnect=ONCE))
    chat.connect()
    chat.opened("")
    (effect,) = chat.do(Received(chat.link("websocket"), '0{"sid":5}'))
    assert isinstance(effect, Deliver)
    assert effect.event.reason == "the session's sid is no text"
    change = last_change(chat.do(Closed(chat.link("websocket"), Failure("close", 1005))))
    assert "Socket.IO" not in change.reason
    chat.connect()
    refused = Failure("http", 400, '{"code":0,"message":"Transport unknown"}')
    change = last_change(chat.do(Closed(chat.link("websocket"), refused)))
    assert "Socket.IO" not in change.reason


def test_a_buffered_stream_is_distinguished_from_a_silent_one() -> None:
    """Check that a dead path isn't taken for a proxy that buffers (HOSTILE A44)."""
    chat = Chat(SSEConfig(url="http://h"))
    chat.connect()
    chat.opened()
    assert "a proxy may buffer the stream" in last_change(chat.tick()).reason
    chat.tick()
    chat.submit("a")
    chat.answer("csrf", 200)
    chat.accept()
    change = last_change(chat.tick())  # No head, either.
    assert change.reason.startswith("timeout: no connection within 10 s; messages are acked, but none comes")
    chat.tick()
    chat.opened()
    assert "a proxy buffers the stream" in last_change(chat.tick()).reason
    chat.tick()
    chat.opened()
    chat.stream(": \n\n")
    chat.submit("b")
    chat.accept()
    assert last_change(chat.tick()).reason == "timeout: nothing received for 45 s"
    chat.tick()
    told = last_change(chat.tick()).reason
    assert told.startswith(
        "timeout: no connection within 10 s; if other requests are answered, a proxy buffers"
    )


SOCKET = WebSocketConfig(url="ws://h")


@pytest.mark.parametrize(
    ("config", "failure", "lasted", "hint"),
    [
        (
            SOCKET,
            Failure("close", 1006),
            (5.0, 5.2, 5.1),
            "ends after 5 s: a proxy may close idle connections; set he",
        ),
        (
            SOCKET,
            Failure("reset"),
            (60.0, 62.0, 61.0),
            "after 61 s: a proxy or the server may limit how long",
        ),
        (
            WebSocketConfig(url="ws://h", heartbeat=HeartbeatConfig(enabled=False)),
            Failure("close", 1001),
            (0.8, 0.9, 0.8),
            "0.8 s: a proxy may close idle connections; turn the heartbeat on, with an interval below 0.8",
        ),
        (
            SSEConfig(url="http://h"),
            Failure("reset"),
            (5.0, 5.0, 5.0),
            "after 5 s: a proxy may close idle conn",
        ),
        (
            WebSocketConfig(url="ws://h", heartbeat=HeartbeatConfig(mode="none")),
            Failure("close", 1006),
            (5.0, 5.0, 5.0),
            "after 5 s: a proxy may close idle connections; turn the heartbeat on",
        ),
        (
            WebSocketConfig(url="ws://h", heartbeat=HeartbeatConfig(mode="server")),
            Failure("close", 1006),
            (5.0, 5.0, 5.0),
            "close idle connections; let the server send pings at intervals below 5 s",
        ),
        (SOCKET, Failure("close", 1006), (5.0, 9.0, 5.0, 5.0), ""),
        (SOCKET, Failure("close", 1006), (0.1, 0.1, 0.1, 0.1), ""),  # Accepted and closed: another problem.
        (SOCKET, Failure("close", 1012), (5.0, 5.0, 5.0), ""),
        (SOCKET, Failure("tls"), (5.0, 5.0, 5.0), ""),
    ],
)
def test_connections_of_equal_lifetime_give_a_hint(
    config: Any, failure: Failure, lasted: tuple[float, ...], hint: str
) -> None:
    chat = Chat(config.replace(reconnect=ReconnectConfig(jitter="none"), failures={"tls": "retry"}))
    chat.connect()
    hints = []
    for seconds in lasted:
        purpose: Any = chat.purposes()[0]
        chat.opened()
        change = last_change(chat.fail(purpose, failure, chat.now + seconds))
        hints.append(change.reason)
        chat.tick()
    assert "always" not in "".join(hints[:2])
    assert hint in hints[-1]
    assert ("always" in hints[-1]) == bool(hint)


@pytest.mark.parametrize("hold", [25.0, 3.0])
@pytest.mark.parametrize("code", [*sorted(GATEWAY), None])
def test_polls_that_a_proxy_does_not_wait_for(code: int | None, hold: float) -> None:
    chat = Chat(LongPollingConfig(url="http://h", hold=hold))
    chat.connect()
    for _ in range(3):
        chat.answer("poll", 200, [], chat_cursor="e-0")
        chat.tick()
        at = chat.now + 5
        ended = chat.answer("poll", code, b"", at) if code else chat.fail("poll", at=at)
        reason = last_change(ended).reason
        chat.tick()
    cause = "set hold below 5 s" if hold > 5 else "may limit how long"
    assert "always ends after 5 s" in reason
    assert cause in reason
