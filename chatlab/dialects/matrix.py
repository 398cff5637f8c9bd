"""The `matrix` dialect: one room of a Matrix homeserver, by long or short polling of /sync.

    poll    GET /_matrix/client/v3/sync?since=…&timeout=…&filter=…
            the filter lets only this room's messages and typing through; `next_batch` is the cursor
    send    PUT /_matrix/client/v3/rooms/{room}/send/m.room.message/{txn}
            the server drops a duplicate: the same transaction id from the same device
    typing  PUT /_matrix/client/v3/rooms/{room}/typing/{user}

`room` is the id (`!…`) of a room that the account has joined; `sender` is the account's user id (`@ada:b`).
The token goes into `headers` (`Authorization: Bearer …`); `chatlab.MatrixLogin` gets one by password.

A `limited` timeline has a gap: there were more than `MAX_TIMELINE` messages, so some were left out. A
message's bytes are in the key `chatlab.data` of its content, as base64. A redacted message is skipped, as it
is empty; an edit is a message of its own.

Source: Matrix specification v1.11, client-server API, "Syncing" and "Transaction identifiers"; tested with
synapse 1.163.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct, field

from chatlab.dialects.base import Ack, Answer, Dialect, HttpDialect, Incoming, Page, Request, unreadable
from chatlab.dialects.bodies import read_each
from chatlab.dialects.templates import request_to
from chatlab.messages import ChatEvent, ChatMessage, OutgoingMessage
from chatlab.settings import TransportConfig

API = "/_matrix/client/v3"
MAX_TIMELINE = 100
"""Maximum messages of a sync; servers allow no more."""
TYPING_TIME = 5000
"""Milliseconds for which a typing notification is valid."""

_encode = msgspec.json.Encoder().encode
_JSON = {"Content-Type": "application/json"}
_TYPING = "m.typing"


class _Text(Struct, omit_defaults=True, tag_field="msgtype", tag="m.text"):
    body: str
    data: bytes | None = field(default=None, name="chatlab.data")


class _Content(Struct):
    body: str = ""
    data: bytes | None = field(default=None, name="chatlab.data")
    user_ids: list[str] = []


class _Unsigned(Struct):
    transaction_id: str = ""


class _Event(Struct):
    type: str
    content: _Content
    event_id: str = ""
    sender: str = ""
    origin_server_ts: float | None = None
    unsigned: _Unsigned = field(default_factory=_Unsigned)


class _Events(Struct):
    events: list[Raw] = []
    limited: bool = False


class _Room(Struct):
    timeline: _Events | None = None
    ephemeral: _Events | None = None


class _Rooms(Struct):
    join: dict[str, _Room] | None = None


class _Sync(Struct):
    next_batch: str
    rooms: _Rooms | None = None


class _Limited(Struct):
    retry_after_ms: Annotated[float, Meta(ge=0, le=1e12)]


class _Refusal(Struct):
    errcode: str = ""
    error: str = ""


class _Sent(Struct):
    event_id: str


class _Token(Struct):
    access_token: str


_decode_sync = msgspec.json.Decoder(_Sync).decode
_decode_sent = msgspec.json.Decoder(_Sent).decode
_decode_event = msgspec.json.Decoder(_Event).decode


class MatrixHttp(HttpDialect):
    """One room, by polls of /sync."""

    streams = False

    def poll(self, config: TransportConfig, cursor: str | None, hold: float | None) -> Request:
        first = MAX_TIMELINE if config.history is None else min(config.history, MAX_TIMELINE)
        return request_to(
            "GET",
            f"{API}/sync?since={{since}}&timeout={{timeout}}&filter={{filter}}",
            since=cursor,
            timeout=f"{(hold or 0.0) * 1000:.0f}",
            filter=_filter(config.room, first if cursor is None else MAX_TIMELINE),
        )

    def page(self, answer: Answer) -> Page | None:
        if answer.status != 200:
            return None
        try:
            sync = _decode_sync(answer.body)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            return Page((unreadable(str(error), answer.body),))
        items: list[Incoming] = []
        gap = False
        for room in ((sync.rooms or _Rooms()).join or {}).values():
            timeline, ephemeral = room.timeline or _Events(), room.ephemeral or _Events()
            pieces = [bytes(event) for event in (*timeline.events, *ephemeral.events)]
            items += [item for item in read_each(pieces, _read) if not _is_empty(item)]
            gap = gap or timeline.limited
        return Page(items, cursor=sync.next_batch, gap=gap)

    def post(self, config: TransportConfig, message: OutgoingMessage) -> Request:
        data = message.data
        body = message.text or f"({len(data or b'')} bytes)"
        where = {"room": config.room, "txn": message.client_id}
        path = f"{API}/rooms/{{room}}/send/m.room.message/{{txn}}"
        return request_to("PUT", path, _JSON, _encode(_Text(body, data)).decode(), **where)

    def retry_after(self, answer: Answer) -> float | None:
        return retry_after_of(answer)

    def posted(self, answer: Answer, client_id: str) -> Ack | None:
        try:
            sent = _decode_sent(answer.body)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return None
        return Ack(client_id) if 200 <= answer.status < 300 and sent.event_id else None

    def post_typing(self, config: TransportConfig) -> Request:
        body = _encode({"typing": True, "timeout": TYPING_TIME}).decode()
        where = {"room": config.room, "user": config.sender}
        return request_to("PUT", f"{API}/rooms/{{room}}/typing/{{user}}", _JSON, body, **where)


class MatrixDialect(Dialect):
    """One room of a homeserver."""

    name = "matrix"
    websocket = False
    acks = True

    def __init__(self) -> None:
        self._http = MatrixHttp()

    @property
    def http(self) -> HttpDialect:
        return self._http


def login(user: str, password: str, device: str) -> Request:
    """Return the login request, which gets a token for a password. A transaction id is valid for one
    `device`."""
    body = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": user},
        "password": password,
        "device_id": device,
    }
    return request_to("POST", f"{API}/login", _JSON, _encode(body).decode())


def token_of(body: bytes) -> str | None:
    """Return the token in the answer to a login; None: there is none."""
    try:
        return msgspec.json.decode(body, type=_Token).access_token
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def retry_after_of(answer: Answer) -> float | None:
    """Return the delay in seconds that a refusal asks for; None: it asks for none.

    Source: Matrix specification v1.9, "Rate limiting"; since v1.10 there is a `Retry-After` header, too.
    """
    try:
        return msgspec.json.decode(answer.body, type=_Limited).retry_after_ms / 1000
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def refusal_of(answer: Answer) -> tuple[str, str]:
    """Return the error code and text of a refusal; empty if it has none.

    Source: Matrix specification v1.11, "Standard error response".
    """
    try:
        refusal = msgspec.json.decode(answer.body, type=_Refusal)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return "", ""
    return refusal.errcode, refusal.error


def _filter(room: str, limit: int) -> str:
    nothing: dict[str, Sequence[str]] = {"types": []}
    only = {
        "rooms": [room],
        "timeline": {"limit": limit, "types": ["m.room.message"]},
        "ephemeral": {"types": [_TYPING]},
        "state": nothing,
        "account_data": nothing,
    }
    return _encode({"room": only, "presence": nothing, "account_data": nothing}).decode()


def _read(piece: bytes) -> Incoming:
    event = _decode_event(piece)
    content = event.content
    if event.type == _TYPING:
        return ChatEvent("typing", sender=", ".join(content.user_ids), payload=content.user_ids)
    return ChatMessage(
        event.event_id,
        event.sender,
        "" if content.data is not None else content.body,
        event.unsigned.transaction_id,
        _timestamp(event.origin_server_ts),
        content.data,
    )


def _is_empty(item: Incoming) -> bool:
    """Return whether an item is a message without content, as a redacted one is."""
    return isinstance(item, ChatMessage) and not item.text and item.data is None


def _timestamp(milliseconds: float | None) -> datetime | None:
    """Return the time that the author's server gives; None if it is missing or out of range."""
    try:
        return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
