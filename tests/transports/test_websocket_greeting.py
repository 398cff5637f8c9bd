"""WebSockets of a dialect that greets: replies, refusals, the greeting's heartbeat, and state of a link."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from chatlab.dialects.base import Ack, Dialect, Incoming, Opening, Refused, Reply, ServerPing, Welcome
from chatlab.messages import ConnectionStatus, OutgoingMessage
from chatlab.settings import HeartbeatConfig, TransportConfig
from chatlab.transports.machine import (
    Close,
    Disconnect,
    Pinged,
    Pong,
    Send,
    SendBytes,
    Tick,
    Typing,
)
from tests.dialects.greeting import GreetingDialect
from tests.transports.websocket_chat import (
    ACKED,
    CONNECTED,
    CONNECTING,
    DISCONNECTED,
    ERROR,
    RECONNECTING,
    SENT,
    Chat,
    changes,
    delivered,
    frames,
    message,
    sent_ids,
    settled,
)

WELCOME = {"type": "welcome", "cursor": "7"}
PONG = {"type": "pong", "id": 0}


def greeting(**settings: Any) -> Chat:
    """Return a chat whose link is open, and whose server hasn't let it in."""
    chat = Chat(dialect=GreetingDialect(), **settings)
    chat.connect()
    chat.open()
    return chat


def test_a_dialect_that_greets_is_connected_and_sends_only_after_the_welcome() -> None:
    chat = Chat(dialect=GreetingDialect())
    chat.connect()
    chat.submit("m1")
    assert chat.open() == []
    assert (chat.state, chat.machine.status) == ("greeting", CONNECTING)
    chat.submit("m2")
    assert chat.do(Typing()) == []
    assert frames(chat.hear(WELCOME)) == ['{"type":"ping","id":0}']
    effects = chat.hear(PONG)
    assert [change.status for change in changes(effects)] == [CONNECTED]
    assert sent_ids(effects) == ["m1", "m2"]
    assert settled(effects) == [("m1", SENT), ("m2", SENT)]
    assert (chat.state, chat.machine.cursor.last_id) == ("online", "7")


def test_a_second_welcome_connects_nobody_again() -> None:
    chat = Chat(dialect=Invited())
    chat.connect()
    chat.open()
    assert [change.status for change in changes(chat.hear({}))] == [CONNECTED]
    assert changes(chat.hear({})) == []


class Invited(GreetingDialect):
    """A dialect in which each frame is a welcome."""

    def for_connection(self) -> Invited:
        return self

    def decode(self, frame: str | bytes) -> Sequence[Incoming]:
        return (Welcome(),)


def test_items_that_come_before_the_welcome_are_read() -> None:
    chat = greeting()
    assert frames(chat.hear({"type": "ping", "id": 3})) == ['{"type":"pong","id":3}']
    chat.hear(WELCOME)
    assert chat.hear(message("8")) == []
    assert [event.message.id for event in delivered(chat.hear(PONG)) if event.message] == ["8"]


@pytest.mark.parametrize(
    ("came", "what"),
    [
        ([], "it sent no frame"),
        (["hello\n"], r"it sent 1 frame: hello\n"),
        (["x" * 100, "y"], f"it sent 2 frames, the first: {'x' * 80}…"),
    ],
)
def test_a_server_that_lets_nobody_in_is_left_at_the_attempts_connect_timeout(
    came: list[str], what: str
) -> None:
    chat = Chat(dialect=GreetingDialect(), connect_timeout=4.0)
    chat.connect()
    chat.open(at=3.0)
    assert chat.machine.deadline == 4.0
    assert chat.do(Tick(woke=True), 3.5) == []
    for frame in came:
        chat.hear(frame)
    effects = chat.tick()
    assert effects[0] == Close(1, 1006, "connect timeout")
    reason = f"timeout: the server let nobody in within 4 s; {what}"
    assert [change.reason for change in changes(effects)] == [reason]
    assert chat.state == "waiting"


def test_no_heartbeat_begins_before_the_welcome() -> None:
    chat = greeting(heartbeat=HeartbeatConfig(interval=1.0), connect_timeout=9.0)
    assert chat.do(Pong(chat.link, 1)) == chat.do(Pinged(chat.link)) == []
    assert chat.machine.deadline == 9.0
    chat.hear(WELCOME, at=5.0)
    chat.hear(PONG)
    assert chat.machine.deadline == 6.0


@pytest.mark.parametrize("drain", [True, False])
def test_a_disconnect_during_the_greeting_closes_at_once(drain: bool) -> None:
    chat = greeting()
    chat.submit("m1")
    effects = chat.do(Disconnect(drain))
    assert effects[0] == Close(1, 1000)
    assert [change.status for change in changes(effects)] == [DISCONNECTED]
    assert chat.machine.unsettled == 1


def test_a_connect_during_the_greeting_changes_nothing() -> None:
    assert greeting().connect() == []


def test_a_lost_link_during_the_greeting_is_a_failed_attempt() -> None:
    chat = greeting(reconnect={"stable_after": 0.0})
    (change,) = changes(chat.close("reset", at=9.0))
    assert (change.status, change.attempt, change.retry_at) == (RECONNECTING, 1, 10.0)
    chat.tick()
    chat.open()
    (change,) = changes(chat.close("reset"))
    assert change.attempt == 2, "a greeting isn't a stable connection"


@pytest.mark.parametrize(
    ("refusal", "status", "reason"),
    [
        ({"status": 403, "reason": "not you"}, ERROR, "refused by the server: not you (judged as HTTP 403)"),
        (
            {"status": 503, "reason": "full", "retry_after": 7.0},
            RECONNECTING,
            "refused by the server: full (judged as HTTP 503)",
        ),
        (
            {"reason": "full", "retry_after": 7.0},
            RECONNECTING,
            "refused by the server: full (judged as close code 1013)",
        ),
        (
            {"reason": "go\naway"},
            RECONNECTING,
            r"refused by the server: go\naway (judged as close code 1013)",
        ),
        (
            {"status": 403, "reason": "x" * 1000},
            ERROR,
            f"refused by the server: {'x' * 200}… (judged as HTTP 403)",
        ),
    ],
)
@pytest.mark.parametrize("let_in", [False, True])
def test_the_failure_table_judges_a_refusal(
    refusal: dict[str, object], status: ConnectionStatus, reason: str, let_in: bool
) -> None:
    chat = greeting()
    if let_in:
        chat.hear(WELCOME)
        chat.hear(PONG)
    effects = chat.hear({"type": "refused", **refusal})
    assert effects[0] == Close(1, 1000)
    (change,) = changes(effects)
    assert (change.status, change.reason) == (status, reason)
    if "retry_after" in refusal:
        assert change.retry_at == 7.0


def test_a_refusal_while_draining_ends_it() -> None:
    chat = greeting()
    chat.hear(WELCOME)
    chat.hear(PONG)
    chat.submit("m1")
    chat.do(Disconnect())
    (change,) = changes(chat.hear({"type": "refused", "reason": "bye"}))
    assert (change.status, change.reason) == (
        DISCONNECTED,
        "refused by the server: bye (judged as close code 1013)",
    )


def test_a_refusal_with_401_renews_the_headers_once() -> None:
    chat = greeting(headers=lambda failure: {})
    chat.hear({"type": "refused", "reason": "who", "status": 401})
    assert (chat.state, chat.link) == ("connecting", 2)
    chat.open()
    (change,) = changes(chat.hear({"type": "refused", "reason": "who", "status": 401}))
    assert change.status is ERROR


class Numbered(Dialect):
    """A dialect with numbered messages and acks, and a packet that spans two frames."""

    name = "numbered"
    acks = True
    heartbeat = "server"

    def __init__(self, interval: float | None = None, timeout: float | None = None) -> None:
        self._stated = interval, timeout
        self._ids: list[str] = []
        self._first = b""

    def for_connection(self) -> Numbered:
        return Numbered(*self._stated)

    def opening(self, config: TransportConfig, cursor: str | None) -> Opening:
        return Opening(frames=(b"open",))

    def encode(self, config: TransportConfig, message: OutgoingMessage) -> bytes:
        self._ids.append(message.client_id)
        return f"{len(self._ids)} {message.text}".encode()

    def decode(self, frame: str | bytes) -> Sequence[Incoming]:
        if isinstance(frame, str):
            return (Welcome(None, False, *self._stated),)
        self._first += frame
        if not self._first.endswith(b"."):
            return ()
        word, self._first = self._first[:-1].decode(), b""
        if word == "ping":
            return (ServerPing(),)
        return (Ack(self._ids[int(word) - 1]),)

    def ping(self, id: int) -> bytes:
        return b"ping"

    def pong(self, id: int | None) -> bytes:
        return b"pong"

    def typing(self, config: TransportConfig) -> bytes:
        return b"typing"


def numbered(*stated: float | None, **settings: Any) -> Chat:
    return Chat(dialect=Numbered(*stated), **settings).online()


def test_heartbeats_and_typing_may_be_bytes() -> None:
    chat = numbered(heartbeat=HeartbeatConfig(mode="json", interval=1.0))
    assert chat.do(Typing()) == [SendBytes(1, b"typing")]
    assert chat.hear(b"ping.") == [SendBytes(1, b"pong")]
    assert chat.tick() == [SendBytes(1, b"ping")]


def test_a_packet_may_span_frames_and_acks_are_numbered_for_each_link() -> None:
    chat = numbered()
    assert chat.submit("a", "b")[::2] == [SendBytes(1, b"1 hi"), SendBytes(1, b"2 hi")]
    assert chat.hear(b"2") == []
    assert settled(chat.hear(b".")) == [("b", ACKED)]
    chat.hear(b"1")
    chat.close()
    chat.tick()
    assert [e.data for e in chat.open() if isinstance(e, SendBytes)] == [b"open", b"1 hi"]
    assert settled(chat.hear(b"1.")) == [("a", ACKED)], "half a packet of the lost link is forgotten"


@pytest.mark.parametrize(
    ("stated", "silence"),
    [
        ((None, None), 40.0),
        ((5.0, 2.0), 7.0),
        ((5.0, None), 15.0),
        ((None, 2.0), 32.0),
        ((0.0, -1.0), 40.0),
        ((float("nan"), 1e300), 40.0),
    ],
)
def test_the_greeting_states_the_servers_heartbeat(
    stated: tuple[float | None, float | None], silence: float
) -> None:
    chat = numbered(*stated)
    assert chat.machine.deadline == 40.0
    chat.hear("hello", at=1.0)
    assert chat.machine.deadline == 1.0 + silence
    effects = chat.tick()
    assert effects[0] == Close(1, 4000, "Heartbeat timeout")


def test_a_stated_heartbeat_is_not_used_by_a_client_that_sends_its_own() -> None:
    chat = numbered(5.0, 2.0, heartbeat=HeartbeatConfig(mode="ping"))
    chat.hear("hello")
    assert chat.machine.deadline == 30.0


class Challenged(Dialect):
    """A dialect whose replies are binary."""

    name = "challenged"
    greets = True

    def decode(self, frame: str | bytes) -> Sequence[Incoming]:
        return (Reply(b"answer"), Reply("text")) if frame == "challenge" else (Refused("no"), Welcome())


def test_replies_are_sent_as_they_are_and_nothing_after_a_refusal_is_read() -> None:
    chat = Chat(dialect=Challenged())
    chat.connect()
    chat.open()
    assert chat.hear("challenge") == [SendBytes(1, b"answer"), Send(1, "text")]
    assert [change.status for change in changes(chat.hear("no"))] == [RECONNECTING]
