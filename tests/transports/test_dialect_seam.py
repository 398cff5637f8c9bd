"""The machines' use of a dialect: how a link opens, how the cursor moves, verdicts on failures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import pytest

from chatlab.dialects.base import Answer, Dialect, HttpDialect, Incoming, Opening, Page, Request
from chatlab.errors import SettingsError
from chatlab.messages import ChatMessage, ConnectionStatus, DeliveryState, OutgoingMessage
from chatlab.settings import (
    FallbackConfig,
    LongPollingConfig,
    ReconnectConfig,
    ShortPollingConfig,
    SSEConfig,
    TransportConfig,
    Verdict,
    WebSocketConfig,
)
from chatlab.transports.machine import (
    Closed,
    Deliver,
    Effect,
    Failure,
    Notify,
    OpenWebSocket,
    Received,
    Send,
    SendBytes,
    Settle,
    Typing,
    Unencodable,
)
from tests.transports.http_chat import Chat

_, _, CONNECTED, RECONNECTING, ERROR = ConnectionStatus


class MorseHttp(HttpDialect):
    """The HTTP part: a page is `cursor[!]:word word …`; `!` is a gap."""

    def poll(self, config: TransportConfig, cursor: str | None, hold: float | None) -> Request:
        return Request("GET", f"/{cursor}")

    def page(self, answer: Answer) -> Page:
        cursor, _, words = answer.body.decode().partition(":")
        items = [ChatMessage("", text=word) for word in words.split()]
        return Page(items, cursor=cursor.removesuffix("!") or None, gap=cursor.endswith("!"))

    def stream(self, config: TransportConfig, cursor: str | None) -> Request:
        return Request("GET", "/stream")

    def event(self, kind: str, data: str, id: str) -> Sequence[Incoming]:
        return (ChatMessage(id, text=data),)

    def post(self, config: TransportConfig, message: OutgoingMessage) -> Request:
        return Request("PUT", f"/send/{message.client_id}")


class Morse(Dialect):
    """A dialect whose messages are `sender.number.client_id.text`."""

    name = "morse"
    acks = True
    idempotent = False
    failures: Mapping[str, Verdict] = MappingProxyType({"close 1000": "retry", "http 404": "retry"})

    def __init__(self, **opening: object) -> None:
        self._opening = opening
        self.gap = lambda before, after: int(after) > int(before) + 1

    @property
    def http(self) -> HttpDialect:
        return MorseHttp()

    def opening(self, config: TransportConfig, cursor: str | None) -> Opening:
        return Opening(**self._opening)  # type: ignore[arg-type]

    def encode(self, config: TransportConfig, message: OutgoingMessage) -> str | bytes:
        return f"{config.room} {config.sender} {message.text}"

    def decode(self, frame: str | bytes) -> Sequence[Incoming]:
        assert isinstance(frame, str)
        sender, number, client_id, text = frame.split(".")
        return (ChatMessage(number, sender, text, client_id),)

    def typing(self, config: TransportConfig) -> str:
        return f"{config.sender} types"


PLAIN = ReconnectConfig(jitter="none", max_attempts=3)


def socket(dialect: Dialect | None = None) -> Chat:
    return Chat(
        WebSocketConfig(
            url="ws://h/ws", room="attic", sender="ada", dialect=dialect or Morse(), reconnect=PLAIN
        )
    )


def online(dialect: Dialect | None = None) -> Chat:
    chat = socket(dialect)
    chat.connect()
    chat.opened("")
    return chat


def told(effects: Sequence[Effect]) -> list[str]:
    """Return the events delivered to the application: texts, and the types of others."""
    events = [effect.event for effect in effects if isinstance(effect, Deliver)]
    return [event.message.text if event.message else event.type for event in events]


def heard(chat: Chat, *frames: str) -> list[str]:
    """Receive frames; return the events delivered."""
    link = chat.link("websocket")
    return told([effect for frame in frames for effect in chat.do(Received(link, frame))])


def test_a_websocket_opens_as_the_dialect_says_and_its_frames_go_first() -> None:
    dialect = Morse(
        path="/p", query={"a": "b"}, headers={"X": "y"}, protocols=("m1", "m2"), frames=("hello", b"\0")
    )
    chat = socket(dialect)
    effect = chat.connect()[-1]
    assert effect == OpenWebSocket(1, {"a": "b"}, path="/p", headers={"X": "y"}, protocols=("m1", "m2"))
    chat.submit("c1")
    sent = [effect for effect in chat.opened("m2") if isinstance(effect, Send | SendBytes)]
    assert sent == [Send(1, "hello"), SendBytes(1, b"\0"), Send(1, "attic ada hi")]


@pytest.mark.parametrize("chosen", ["", "m3"])
def test_a_server_that_chooses_none_of_the_protocols_is_given_up(chosen: str) -> None:
    chat = socket(Morse(protocols=("m1", "m2")))
    chat.connect()
    change = chat.opened(chosen)[-1]
    assert isinstance(change, Notify)
    assert change.change.status is ERROR
    assert "the server doesn't speak m1 or m2" in change.change.reason
    assert not chat.open


def test_the_dialect_encodes_typing() -> None:
    assert online().do(Typing()) == [Send(1, "ada types")]


def test_ids_that_leave_a_hole_are_a_possible_gap() -> None:
    chat = online()
    assert heard(chat, "bob.3..a", "bob.4..b", "bob.6..c", "bob.4..b", "bob.7..d") == [
        "a",
        "b",
        "resync",
        "c",
        "d",
    ]


def test_what_a_server_has_twice_is_shown_once_and_moves_the_cursor() -> None:
    chat = online()
    assert heard(chat, "bob.1.x.a", "ada.2.x.b", "bob.3.x.a", "bob.4..c", "bob.5..c") == ["a", "b", "c", "c"]
    assert chat.machine._ledger.cursor.last_id == "5"


def test_an_own_message_that_comes_back_twice_settles_once() -> None:
    chat = online()
    chat.submit("x")
    chat.do(Closed(chat.link("websocket"), Failure("reset")))
    chat.tick()
    chat.opened("")
    assert heard(chat, "ada.1.x.hi", "ada.2.x.hi") == ["hi"]
    assert not chat.machine.unsettled


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (Failure("close", 1000), RECONNECTING),
        (Failure("http", 404), RECONNECTING),
        (Failure("http", 403), ERROR),
    ],
)
def test_the_dialects_verdicts_are_used(failure: Failure, status: ConnectionStatus) -> None:
    chat = online()
    chat.do(Closed(chat.link("websocket"), failure))
    assert chat.machine.status is status


def test_the_settings_override_the_dialects_verdicts() -> None:
    config = WebSocketConfig(url="ws://h/", dialect=Morse(), failures={"close 1000": "stop"})
    chat = Chat(config)
    chat.connect()
    chat.opened("")
    chat.do(Closed(chat.link("websocket"), Failure("close", 1000)))
    assert chat.machine.status is ConnectionStatus.DISCONNECTED


def polling(**settings: object) -> Chat:
    config = ShortPollingConfig(url="http://h", dialect=Morse(), reconnect=PLAIN, **settings)  # type: ignore[arg-type]
    chat = Chat(config)
    chat.connect()
    return chat


def test_a_page_sets_the_cursor_and_reports_a_gap() -> None:
    chat = polling()
    assert chat.request("poll").path == "/None"
    assert told(chat.answer("poll", 200, b"7: a b")) == ["a", "b"]
    chat.tick()
    assert chat.request("poll").path == "/7"
    assert told(chat.answer("poll", 200, b"9!: c")) == ["resync", "c"]
    chat.tick()
    assert chat.request("poll").path == "/9"
    chat.answer("poll", 200, b":")
    chat.tick()
    assert chat.request("poll").path == "/9", "a page without a cursor leaves it"


def test_a_reader_without_a_cursor_misses_nothing() -> None:
    chat = polling()
    assert told(chat.answer("poll", 200, b"7!: a")) == ["a"]


def test_posts_are_judged_by_the_dialects_table_too() -> None:
    chat = polling()
    chat.answer("poll", 200, b"7:")
    chat.submit("c1")
    assert chat.request("post").method == "PUT"
    assert not [e for e in chat.answer("post", 404) if isinstance(e, Settle)]
    chat.tick(chat.machine._poster.deadline)
    assert chat.request("post").path == "/send/c1"


@pytest.mark.parametrize(
    ("config", "missing"),
    [
        (WebSocketConfig(url="ws://h/"), "websocket"),
        (SSEConfig(url="http://h/"), "sse"),
        (LongPollingConfig(url="http://h/"), "long_polling"),
        (ShortPollingConfig(url="http://h/"), "short_polling"),
    ],
)
def test_a_transport_that_a_dialect_has_not_is_refused(config: TransportConfig, missing: str) -> None:
    class Half(Dialect):
        name = "half"
        websocket = missing != "websocket"

        @property
        def http(self) -> HttpDialect:
            half = HttpDialect()
            half.streams, half.polls = missing != "sse", "polling" not in missing
            return half

    with pytest.raises(SettingsError, match=f"'half' has no {missing}; choose one of "):
        Chat(config.replace(dialect=Half()))


class Picky(Morse):
    """A dialect that can't encode some messages."""

    def encode(self, config: TransportConfig, message: OutgoingMessage) -> str | bytes:
        if message.text == "bad":
            raise ValueError
        return super().encode(config, message)

    @property
    def http(self) -> MorseHttp:
        return PickyHttp()


class PickyHttp(MorseHttp):
    def post(self, config: TransportConfig, message: OutgoingMessage) -> Request:
        if message.text == "bad":
            raise ValueError
        return super().post(config, message)


@pytest.mark.parametrize("inside", ["alone", "fallback"])
def test_A84_an_unencodable_message_is_removed_and_the_others_are_kept(inside: str) -> None:
    config = WebSocketConfig(url="ws://h/ws", sender="ada", dialect=Picky(), reconnect=PLAIN)
    chat = Chat(config if inside == "alone" else FallbackConfig(transports=(config,)))
    chat.connect()
    chat.submit("c1")
    chat.submit("c2", text="bad")
    chat.submit("c3")
    with pytest.raises(Unencodable) as caught:
        chat.opened("")
    assert (caught.value.client_id, type(caught.value.__cause__)) == ("c2", ValueError)
    kinds = [type(effect) for effect in caught.value.effects]
    assert kinds == [Notify, Send, Settle]
    assert caught.value.effects[-1] == Settle("c1", DeliveryState.SENT)
    assert chat.machine.cursor.last_id is None


def test_A84_an_unencodable_post_is_removed() -> None:
    chat = Chat(SSEConfig(url="http://h", sender="ada", dialect=Picky(), reconnect=PLAIN))
    chat.connect()
    chat.opened()
    with pytest.raises(Unencodable) as caught:
        chat.submit("c1", text="bad")
    assert (caught.value.client_id, list(caught.value.effects)) == ("c1", [])
    assert chat.machine.unsettled == 0
