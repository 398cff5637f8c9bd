"""The HTTP answers of a server of the `chatlab` dialect, in every world: pages, events, refusals. Pure."""

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
"""The comment that keeps an idle stream open. Source: WHATWG HTML §9.2.7."""
STALE_TOKEN = "send the token of GET /csrf as X-CSRF-Token; a restart makes it stale"
UPGRADE_REQUIRED = "this path is a WebSocket: connect with ws://, and let proxies forward the Upgrade header"
UPGRADE_FIELDS = {"Upgrade": "websocket", "Connection": "Upgrade"}
"""Header fields of the refusal of a plain request for the path of WebSockets. Source: RFC 9110 §15.5.22."""
TOO_FAST = "you post too fast; slow down"
TOO_MANY = "the server has too many connections; come back later"
RESTARTING = "the server is about to restart; come back later"
RETRY_AFTER = 2
"""Seconds after which a client may retry if there are too many clients, the server is about to restart, or a
message can't be stored."""

POSITION_PARAMETERS = frozenset({"after", "history", "hold"})
"""Parameters of a poll's position or hold. Every client sends one or more, except the original document's."""

_encode = msgspec.json.Encoder().encode
_LINE_END = re.compile(r"[\r\n]")


class Health(Struct, frozen=True):
    """The answer to `GET /health`."""

    epoch: str
    people: int
    rooms: int
    status: str = "ok"


class Problem(Struct, frozen=True, omit_defaults=True):
    """The body of a refusal; `error` says what is wrong and what to do."""

    error: str
    client_id: str = ""


class Token(Struct, frozen=True):
    """The token that a POST must send as `X-CSRF-Token`."""

    token: str


@lru_cache(maxsize=4)
def encode_event(frame: str | bytes) -> bytes:
    """Return a server's frame as the bytes of an event. It is the same for all members of a room, so cached.

    Line ends are removed, so that a frame can't forge another field; in JSON they are only white space.
    Source: WHATWG HTML §9.2.5.
    """
    kind, data, message_id = (_LINE_END.sub("", part) for part in stream_event(frame))
    head = f"id: {message_id}\n" if message_id else ""
    return f"{head}event: {kind}\ndata: {data}\n\n".encode()


def encode_retry(reconnection_time: float) -> bytes:
    """Return the bytes that set a stream's reconnection time, given in seconds."""
    return f"retry: {round(reconnection_time * 1000)}\n\n".encode()


def wants_only_new(query: Collection[str]) -> bool:
    """Return whether to answer a long poll with these parameters only with messages that come after it.

    The original document's `longPoll` has no cursor, so it would get any earlier messages again in each
    answer.
    """
    return POSITION_PARAMETERS.isdisjoint(query)


def page(start: str, messages: Sequence[ChatMessage], *, more: bool) -> Answer:
    """Answer a poll with the messages after the cursor `start`; `more`: further ones follow."""
    headers = {"chat-cursor": messages[-1].id if messages else start}
    if more:
        headers["chat-more"] = "1"
    return Answer(200, _encode(messages), headers)


def unknown_cursor(start: str) -> Answer:
    """Answer a poll whose cursor the server doesn't have; it has all messages after `start`."""
    gone = problem(410, "the server doesn't have that cursor; ask again without after")
    return Answer(gone.status, gone.body, {"chat-cursor": start})


def accepted(client_id: str, id: str, *, new: bool) -> Answer:
    """Answer the POST of a message that is in the log under that id; `new`: since this POST."""
    return Answer(201 if new else 200, _encode(Accepted(client_id, id)))


def refused(nack: Nack) -> Answer:
    """Answer the POST of an invalid message, or of one that can't be stored at present."""
    headers = {"retry-after": f"{RETRY_AFTER}"} if nack.status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    return Answer(nack.status, _encode(Problem(nack.reason, nack.client_id)), headers)


def token(value: str) -> Answer:
    """Answer the request for a CSRF token."""
    return Answer(200, _encode(Token(value)))


def health(epoch: str, people: int, rooms: int) -> Answer:
    """Answer a health check."""
    return Answer(200, _encode(Health(epoch, people, rooms)))


def upgrade_required() -> Answer:
    """Return the refusal of a plain request for the path of WebSockets."""
    answer = problem(426, UPGRADE_REQUIRED)
    return Answer(answer.status, answer.body, UPGRADE_FIELDS)


def problem(status: int, error: str, retry_after: float | None = None) -> Answer:
    """Return the refusal of a request; `retry_after` is seconds."""
    headers = {} if retry_after is None else {"retry-after": f"{retry_after:g}"}
    return Answer(status, _encode(Problem(error)), headers)
