"""What a server of the `chatlab` dialect answers over HTTP, in every world: pages, events, refusals. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from http import HTTPStatus

import msgspec
from msgspec import Struct

from chatlab.dialects.base import Answer, Nack
from chatlab.dialects.chatlab import Accepted, stream_event
from chatlab.messages import ChatMessage

STREAM_TYPE = "text/event-stream; charset=utf-8"
KEEP_ALIVE = b": \n\n"
"""The comment that shows a stream's reader that it lives. Source: WHATWG HTML §9.2.7."""
STALE_TOKEN = "send the token of GET /csrf as X-CSRF-Token; a restart makes it stale"
TOO_FAST = "you post too fast; slow down"
TOO_MANY = "the server has too many connections; come back later"
RETRY_AFTER = 2
"""Seconds after which a client may come back when there are too many, or a message can't be kept."""

PLACES = frozenset({"after", "history", "hold"})
"""Parameters of a poll of which every client gives one, except the original document's."""

_encode = msgspec.json.Encoder().encode
_LINE_END = re.compile(r"[\r\n]")


class Health(Struct, frozen=True):
    """How a server is, and for whom."""

    epoch: str
    people: int
    rooms: int
    status: str = "ok"


class Problem(Struct, frozen=True, omit_defaults=True):
    """Why a request is refused, in words that say what to do."""

    error: str
    client_id: str = ""


class Token(Struct, frozen=True):
    """What a POST wants as `X-CSRF-Token`."""

    token: str


@lru_cache(maxsize=4)
def encode_event(frame: str | bytes) -> bytes:
    """Return a server's frame as the bytes of an event: the same for all of a room's members, so made once.

    Nothing in a frame can end a line, and so forge another field: in JSON a line end is only white space.
    Source: WHATWG HTML §9.2.5.
    """
    kind, data, message_id = (_LINE_END.sub("", part) for part in stream_event(frame))
    head = f"id: {message_id}\n" if message_id else ""
    return f"{head}event: {kind}\ndata: {data}\n\n".encode()


def encode_retry(reconnection_time: float) -> bytes:
    """Return the bytes that tell a stream's reader its reconnection time, in seconds."""
    return f"retry: {round(reconnection_time * 1000)}\n\n".encode()


def asks_for_news(query: Collection[str]) -> bool:
    """Whether a held poll with these parameters is to get only what comes after it, as the original
    document's `longPoll` must: it never says what it has, so any answer at once would come again and again.
    """
    return PLACES.isdisjoint(query)


def page(start: str, messages: Sequence[ChatMessage], *, more: bool) -> Answer:
    """Answer a poll with the messages after the cursor `start`; whether there are `more` behind them."""
    headers = {"chat-cursor": messages[-1].id if messages else start}
    if more:
        headers["chat-more"] = "1"
    return Answer(200, _encode(messages), headers)


def unknown_cursor(start: str) -> Answer:
    """Answer a poll whose cursor the server doesn't have; it has all that comes after `start`."""
    gone = problem(410, "the server doesn't have that cursor; ask again without after")
    return Answer(gone.status, gone.body, {"chat-cursor": start})


def accepted(client_id: str, id: str, *, new: bool) -> Answer:
    """Answer the POST of a message that is in the log by that id."""
    return Answer(201 if new else 200, _encode(Accepted(client_id, id)))


def refused(nack: Nack) -> Answer:
    """Answer the POST of what is no message, or can't be kept at present."""
    headers = {"retry-after": f"{RETRY_AFTER}"} if nack.status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    return Answer(nack.status, _encode(Problem(nack.reason, nack.client_id)), headers)


def token(value: str) -> Answer:
    """Answer the request for a CSRF token."""
    return Answer(200, _encode(Token(value)))


def health(epoch: str, people: int, rooms: int) -> Answer:
    """Answer the question whether the server lives."""
    return Answer(200, _encode(Health(epoch, people, rooms)))


def problem(status: int, error: str, retry_after: float | None = None) -> Answer:
    """Refuse a request; `retry_after` is seconds."""
    headers = {} if retry_after is None else {"retry-after": f"{retry_after:g}"}
    return Answer(status, _encode(Problem(error)), headers)
