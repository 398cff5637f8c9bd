"""The `matrix` dialect: one room of a Matrix homeserver, by long or short polling of /sync.

    poll    GET /_matrix/client/v3/sync?since=…&timeout=…&filter=…
            the filter lets only this room's messages and typing through; `next_batch` is the cursor
    send    PUT /_matrix/client/v3/rooms/{room}/send/m.room.message/{txn}
            the server drops a duplicate: the same transaction id from the same device
    typing  PUT /_matrix/client/v3/rooms/{room}/typing/{user}

`room` is the id (`!…`) of a room that the account has joined; `sender` is the account's user id (`@ada:b`).
The token goes into `headers` (`Authorization: Bearer …`); `chatlab.MatrixLogin` gets one by password.

A `limited` timeline has a gap: there were more than `MAX_TIMELINE` messages, so some were left out. A
message's bytes are in the key `chatlab.data` of its content, as base64.

An edit is an event `edit`, whose `message` has the new content, and a redaction an event `redaction` of the
person who removed the message; the `payload` of both is `{"id": …}` of the earlier message. A message that
was removed before it came is a `redaction` in its place.

Source: Matrix specification v1.11, client-server API, "Syncing", "Transaction identifiers", "Redactions" and
"Event replacements"; tested with synapse 1.163.
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
_MESSAGE, _REDACTION, _TYPING = "m.room.message", "m.room.redaction", "m.typing"


class _Text(Struct, omit_defaults=True, tag_field="msgtype", tag="m.text"):
    body: str
    data: bytes | None = field(default=None, name="chatlab.data")


class _NewContent(Struct):
    body: str = ""
    data: bytes | None = field(default=None, name="chatlab.data")


class _Relation(Struct):
    rel_type: str = ""
    event_id: str = ""


class _Content(Struct):
    body: str = ""
    data: bytes | None = field(default=None, name="chatlab.data")
    user_ids: list[str] = []
    new: _NewContent | None = field(default=None, name="m.new_content")
    relation: _Relation | None = field(default=None, name="m.relates_to")
    redacts: str = ""
    reason: str = ""


class _Unsigned(Struct):
    transaction_id: str = ""
    redacted_because: Raw = field(default_factory=Raw)


class _Event(Struct):
    type: str
    content: _Content
    event_id: str = ""
    sender: str = ""
    origin_server_ts: float | None = None
    unsigned: _Unsigned = field(default_factory=_Unsigned)
    redacts: str = ""


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
            items += _once([item for item in read_each(pieces, _read) if not _is_empty(item)])
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
    reuses_ids = False

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
        "timeline": {"limit": limit, "types": [_MESSAGE, _REDACTION]},
        "ephemeral": {"types": [_TYPING]},
        "state": nothing,
        "account_data": nothing,
    }
    return _encode({"room": only, "presence": nothing, "account_data": nothing}).decode()


def _read(piece: bytes) -> Incoming:
    event = _decode_event(piece)
    content, because = event.content, bytes(event.unsigned.redacted_because)
    if event.type == _TYPING:
        return ChatEvent("typing", sender=", ".join(content.user_ids), payload=content.user_ids)
    if event.type == _REDACTION:  # Since version 11 of rooms, the content says which message.
        return _redaction(event, content.redacts or event.redacts)
    if because not in (b"", b"null"):
        return _redaction(_redactor(because), event.event_id)
    new, relation = content.new, content.relation
    if new is not None and relation is not None and relation.rel_type == "m.replace":
        edited = _message(event, new.body, new.data)
        return ChatEvent("edit", edited, event.sender, payload={"id": relation.event_id})
    return _message(event, content.body, content.data)


def _message(event: _Event, body: str, data: bytes | None) -> ChatMessage:
    return ChatMessage(
        event.event_id,
        event.sender,
        "" if data is not None else body,
        event.unsigned.transaction_id,
        _timestamp(event.origin_server_ts),
        data,
    )


def _redactor(piece: bytes) -> _Event:
    """Return the redaction of a message; one without sender and reason if it can't be decoded."""
    try:
        return _decode_event(piece)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _Event(_REDACTION, _Content())


def _redaction(redaction: _Event, of: str) -> ChatEvent:
    reason = redaction.content.reason
    return ChatEvent("redaction", sender=redaction.sender, reason=reason, payload={"id": of})


def _once(items: list[Incoming]) -> list[Incoming]:
    """Return the items without the second redaction of a message: in its own place, and where it came."""
    kept: list[Incoming] = []
    removed: set[str] = set()
    for item in items:
        if isinstance(item, ChatEvent) and item.type == "redaction":
            if item.payload["id"] in removed:
                continue
            removed.add(item.payload["id"])
        kept.append(item)
    return kept


def _is_empty(item: Incoming) -> bool:
    """Return whether an item is a message without content."""
    return isinstance(item, ChatMessage) and not item.text and item.data is None


def _timestamp(milliseconds: float | None) -> datetime | None:
    """Return the time that the author's server gives; None if it is missing or out of range."""
    try:
        return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
