"""The `text` dialect: bare frames, no acks, Ping frames (SPEC §7)."""

from __future__ import annotations

from chatlab.dialects.text import TextDialect
from chatlab.messages import ChatMessage, OutgoingMessage
from chatlab.settings import WebSocketConfig

DIALECT = TextDialect()


def test_frames_are_the_content_itself() -> None:
    assert DIALECT.encode(OutgoingMessage("hé", client_id="c1")) == "hé"
    assert DIALECT.encode(OutgoingMessage(data=b"\0")) == b"\0"
    assert DIALECT.decode('{"type":"ping"}') == (ChatMessage("", "server", '{"type":"ping"}'),)
    assert DIALECT.decode(b"\xff") == (ChatMessage("", "server", data=b"\xff"),)


def test_nothing_is_asked_of_the_server() -> None:
    assert not DIALECT.acks
    assert DIALECT.heartbeat == "ping"
    assert DIALECT.query(WebSocketConfig(url="ws://h/"), "cursor") == {}
    assert DIALECT.typing() is None
    assert (DIALECT.ping(1), DIALECT.pong(1)) == ("ping 1", "pong 1")
