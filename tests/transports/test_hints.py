"""A wrong dialect is told in words that say what to try (issue 8)."""

from __future__ import annotations

import pytest

from chatlab.messages import StatusChange
from chatlab.settings import (
    HeartbeatConfig,
    LongPollingConfig,
    ReconnectConfig,
    ShortPollingConfig,
    SSEConfig,
    WebSocketConfig,
)
from chatlab.transports.hints import BREACHES, NOT_THERE, heartbeat_refused, not_there
from chatlab.transports.machine import Closed, Failure, Notify
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
    for code in NOT_THERE:
        hint = not_there(Failure("http", code), config, "a thing", "/x")
        assert hint == "; the 'nchan' dialect asks for a thing at /x: try another dialect or address"
    assert " asks for a thing: " in not_there(Failure("http", 404), config, "a thing", "")
    for other in (Failure("http", 403), Failure("http", 503), Failure("close", 404), Failure("refused")):
        assert not_there(other, config, "a thing", "/x") == ""


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
