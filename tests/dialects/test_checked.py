"""The check of what a user's dialect returns: each wrong result is named, and right ones pass unchanged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chatlab.dialects import TextDialect
from chatlab.dialects.base import (
    Answer,
    Dialect,
    HttpDialect,
    Nack,
    Opening,
    Page,
    Reply,
    Request,
    ServerPing,
    ServerPong,
    Welcome,
)
from chatlab.dialects.checked import WrongResult, checked
from chatlab.errors import SettingsError
from chatlab.messages import ChatEvent, ChatMessage, OutgoingMessage
from chatlab.settings import LongPollingConfig

CONFIG = LongPollingConfig(url="http://h")
MESSAGE = OutgoingMessage("hi", client_id="c1")
NOTE = ChatMessage("7", "bob", "hi")
CALLS: dict[str, tuple[Any, ...]] = {
    "opening": (CONFIG, None),
    "encode": (CONFIG, MESSAGE),
    "decode": ("frame",),
    "ping": (1,),
    "pong": (None,),
    "typing": (CONFIG,),
    "last_frame": (),
    "for_connection": (),
    "http.for_connection": (),
    "http.csrf_token": (b"",),
    "http.stream": (CONFIG, None),
    "http.event": ("message", "data", ""),
    "http.poll": (CONFIG, None, None),
    "http.page": (Answer(200),),
    "http.post": (CONFIG, MESSAGE),
    "http.posted": (Answer(200), "c1"),
    "http.post_reply": (CONFIG, "frame"),
    "http.retry_after": (Answer(503),),
    "http.post_typing": (CONFIG,),
}
"""The checked functions, and arguments for them."""


class BoardHttp(HttpDialect):
    pass


class Board(Dialect):
    name = "board"

    def __init__(self) -> None:
        self.part = BoardHttp()

    @property
    def http(self) -> HttpDialect:
        return self.part


def board(function: str, made: Any) -> tuple[Callable[..., Any], str]:
    """Return a checked function of a dialect in which it returns `made`, and its name."""
    dialect = Board()
    part, _, name = function.rpartition(".")
    setattr(dialect.part if part else dialect, name, lambda *_: made)
    whole = checked(dialect)
    return getattr(whole.http if part else whole, name), f"{'BoardHttp' if part else 'Board'}.{name}"


@pytest.mark.parametrize("function", CALLS)
def test_a_wrong_result_is_named_with_its_class_and_what_to_return(function: str) -> None:
    call, name = board(function, object())
    with pytest.raises(WrongResult, match=rf"^{name} returned an object: return \w+"):
        call(*CALLS[function])


TUPLE = r"return a tuple of items, such as \(ChatMessage\(...\),\), or \(\) for none"


@pytest.mark.parametrize(
    ("function", "made", "said"),
    [
        ("decode", None, f"Board.decode returned None: {TUPLE}"),
        ("decode", "hi", f"Board.decode returned a str: {TUPLE}"),
        ("decode", {"text": "hi"}, f"Board.decode returned a dict: {TUPLE}"),
        ("decode", NOTE, f"Board.decode returned a ChatMessage: {TUPLE}"),
        ("http.event", ["hi"], r"BoardHttp.event returned a list with a str in it: an item is ChatMessage, "),
        ("http.event", (NOTE, None), r"BoardHttp.event returned a tuple with None in it: an item is"),
        ("decode", (ChatMessage(7),), "a ChatMessage whose id is wrong: expected `str`, got `int`"),  # type: ignore[arg-type]
        ("decode", (Reply(7),), "a Reply whose frame is wrong: a frame is text or bytes, not an int"),  # type: ignore[arg-type]
        ("opening", Opening(frames=("a", None)), "an Opening whose frames is wrong: .* not None"),  # type: ignore[arg-type]
        ("opening", Opening(frames=7), "an Opening whose frames is wrong: expected `array`, got `int`"),  # type: ignore[arg-type]
        ("http.poll", Request("GET", "/", {"after": 7}), "query is wrong: expected `str`, got `int`"),  # type: ignore[dict-item]
        ("http.page", Page(None), f"BoardHttp.page returned a Page whose items are None: {TUPLE}"),  # type: ignore[arg-type]
        ("http.page", Page((), cursor=7), "a Page whose cursor is wrong: expected `str | null`"),  # type: ignore[arg-type]
        ("http.posted", Nack("c1", "no"), "a Nack whose status is wrong: expected `int`, got `str`"),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_part_of_a_result_is_named(function: str, made: Any, said: str) -> None:
    call, _ = board(function, made)
    with pytest.raises(WrongResult, match=said.replace("str | null", r"str \| null")):
        call(*CALLS[function])


@pytest.mark.parametrize(
    ("function", "made"),
    [
        ("opening", Opening("/ws", {"a": "b"}, protocols=("p",), frames=("hello", b"\0"))),
        ("encode", b"\0"),
        ("decode", [NOTE, ServerPing(), ServerPong(3), Reply("pong"), Welcome(heartbeat_interval=5)]),
        ("decode", (ChatEvent("own", payload=object()),)),
        ("typing", None),
        ("last_frame", b"bye"),
        ("http.page", None),
        ("http.page", Page([NOTE], more=True, cursor="7", gap=True)),
        ("http.poll", Request("GET", "/", {"after": "7"})),
        ("http.posted", None),
        ("http.retry_after", 3),
        ("http.csrf_token", "t"),
        ("http.post_typing", None),
    ],
)
def test_a_right_result_passes(function: str, made: Any) -> None:
    call, _ = board(function, made)
    assert call(*CALLS[function]) == made


def test_items_may_be_yielded() -> None:
    def items() -> Iterator[ChatMessage]:
        yield NOTE

    assert board("decode", items())[0]("frame") == (NOTE,)
    assert board("http.page", Page(items()))[0](Answer(200)) == Page((NOTE,))  # type: ignore[arg-type]


def test_chatlabs_own_dialects_are_not_checked_and_others_keep_what_they_say() -> None:
    text = TextDialect()
    assert checked(text) is text
    own = Board()
    own.greets = own.acks = True
    own.failures = {"close 4401": "retry"}
    own.part.streams = False
    own.part.csrf = Request("GET", "/token")
    whole = checked(own)
    assert (whole.name, whole.greets, whole.acks, whole.failures) == ("board", True, True, own.failures)
    assert repr(whole) == repr(own)
    assert whole.credentials({"a": "b"}).headers == {"a": "b"}
    assert whole.is_echo(OutgoingMessage("hi"), NOTE)
    with pytest.raises(SettingsError, match="has no sse"):
        whole.require("sse")
    whole.require("long_polling")
    assert whole.http is not None
    assert (whole.http.streams, whole.http.csrf) == (False, own.part.csrf)
    assert repr(whole.for_connection()) == repr(own)
    assert isinstance(whole.http.for_connection(), HttpDialect)


def test_a_dialect_without_requests_has_none() -> None:
    class Wire(Dialect):
        name = "wire"

    assert checked(Wire()).http is None


@pytest.mark.parametrize(("made", "got"), [({}, "a dict"), (len, r"a builtin.*; is it without @property\?")])
def test_a_part_for_requests_of_another_type_is_refused(made: Any, got: str) -> None:
    own = Board()
    own.part = made
    with pytest.raises(SettingsError, match=f"Board.http must be an HttpDialect or None, got {got}"):
        checked(own)
