"""Mistakes in a dialect of the user's own: each is said in a sentence, and the transport lives on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from chatlab.dialects import ChatlabDialect
from chatlab.dialects.chatlab import ChatlabHttp
from chatlab.errors import ConnectError
from chatlab.live.client.dialect_mistakes import mistake
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.messages import ConnectionStatus
from tests.live.watch import talking, until


class OwnHttp(ChatlabHttp):
    pass


class Own(ChatlabDialect):
    """A dialect whose function is replaced until it is mended."""

    name = "own"

    def __init__(self, function: str, made: Callable[..., Any]) -> None:
        self.part = OwnHttp()
        self.owner = self.part if hasattr(self.part, function) and function != "for_connection" else self
        self.function = function
        setattr(self.owner, function, made)

    @property
    def http(self) -> OwnHttp:
        return self.part

    def mend(self) -> None:
        delattr(self.owner, self.function)


def raising(*_: object) -> None:
    raise KeyError("s3cret")


@pytest.mark.parametrize(
    ("kind", "function", "made", "said"),
    [
        ("websocket", "opening", lambda *_: None, "Own.opening returned None: return an Opening"),
        ("websocket", "decode", lambda *_: None, "Own.decode returned None: return a tuple of items"),
        ("websocket", "decode", lambda *_: {"a": 1}, "Own.decode returned a dict: return a tuple of items"),
        ("websocket", "decode", lambda: (), "Own.decode raised TypeError"),
        ("websocket", "for_connection", lambda *_: None, "Own.for_connection returned None: return self"),
        ("sse", "stream", lambda *_: "/stream", "OwnHttp.stream returned a str: return a Request"),
        ("sse", "event", lambda *_: None, "OwnHttp.event returned None: return a tuple of items"),
        ("long_polling", "page", lambda *_: [], "OwnHttp.page returned a list: return a Page, or None"),
        ("short_polling", "poll", lambda *_: None, "OwnHttp.poll returned None: return a Request"),
        ("fallback", "decode", lambda *_: "hi", "Own.decode returned a str: return a tuple of items"),
    ],
)
async def test_a_wrong_result_ends_the_transport_with_a_sentence_until_it_is_mended(
    kind: str, function: str, made: Callable[..., Any], said: str
) -> None:
    own = Own(function, made)
    async with EmbeddedServer() as server:
        with talking(kind, server.url, dialect=own) as (ada, watch):
            with suppress(ConnectError):  # Some mistakes come after it is connected.
                await ada.connect()
            ended = await watch.ended()
            assert ended.status is ConnectionStatus.ERROR
            assert ended.reason.startswith(said)
            own.mend()
            await ada.connect()
            await ada.send("mended")
            await until(lambda: watch.texts == ["mended"])


@pytest.mark.parametrize("kind", ["websocket", "short_polling"])
async def test_a_wrong_frame_or_post_fails_its_message(kind: str) -> None:
    function = "encode" if kind == "websocket" else "post"
    async with EmbeddedServer() as server:
        with talking(kind, server.url, dialect=Own(function, lambda *_: 7)) as (ada, watch):
            receipt = ada.submit("hi")
            ada.start()
            assert "returned an int: return " in (await watch.ended()).reason
            await until(lambda: receipt.final)
            assert f".{function} returned an int" in str(receipt.error)


def error_of(call: Callable[[], object]) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011  # any
        call()
    return caught.value


class Half(ChatlabDialect):
    def ping(self, id: int) -> str:
        raise KeyError("s3cret")

    def pong(self, id: int | None) -> str:
        raise NotImplementedError


def test_a_mistake_is_said_with_class_function_and_place_and_without_its_text() -> None:
    said = mistake(error_of(lambda: Half().ping(1)))
    assert said.startswith("Half.ping raised KeyError (test_dialect_mistakes.py, line ")
    assert "s3cret" not in said
    assert mistake(error_of(lambda: Half().pong(1))) == "Half.pong is missing: this transport needs it"
    assert mistake(error_of(raising)) == "the dialect raised KeyError"
