"""The `chatlab` dialect: JSON frames with the seed's shapes, spoken by the embedded server and its clients.

    client → server   {"type":"message","client_id":…,"text":…}   {"type":"typing"}
                      {"type":"ping","id":n}   {"type":"pong","id":n}
    server → client   {"type":"welcome","cursor":…}
                      {"type":"message","id":…,"sender":…,"text":…,"client_id":…,"posted_at":…}
                      {"type":"ack","client_id":…}   {"type":"nack","client_id":…,"status":413,"reason":…}
                      {"type":"pong","id":n}   {"type":"ping","id":n}
                      {"type":"typing"|"presence",…}   any other {"type":…}

A message that carries bytes travels as a binary frame: MessagePack of the same shape. A message that comes
back to its sender is its ack; the server sends an `ack` of its own only for one that it had already. Where a
reader stands travels in the query: `room`, `sender`, then `after` (a message's id) or `history` (a number).

Over HTTP the same shapes are the data of `GET /stream`'s events, whose ids are the messages' (so
`Last-Event-ID` takes the place of `after`), the elements of the lists that `GET /messages` and `GET
/messages/poll` answer with (`Chat-Cursor` says where to go on, `Chat-More` that there is more), and the body
and answer of `POST /messages`, which wants the token of `GET /csrf` as `X-CSRF-Token`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from chatlab.dialects.base import (
    Ack,
    Answer,
    Incoming,
    Nack,
    Page,
    Request,
    ServerPing,
    ServerPong,
    Unreadable,
    Welcome,
    unreadable,
)
from chatlab.messages import MAX_CONTENT_SIZE, ChatEvent, ChatMessage, OutgoingMessage
from chatlab.settings import HeartbeatMode, TransportConfig

MAX_FRAME_SIZE = 512 * 1024
"""Bytes of the largest frame that a legal message can make: 64 KiB of text, each byte escaped in six, and
its envelope."""


class ClientTyping(Struct, frozen=True, gc=False, tag_field="type", tag="typing"):
    """The person types."""


ClientFrame = OutgoingMessage | ClientTyping | ServerPing | ServerPong
_ServerFrame = ChatMessage | Welcome | Ack | Nack | ServerPing | ServerPong

_encode_json = msgspec.json.Encoder().encode
_encode_msgpack = msgspec.msgpack.Encoder().encode
_decode_server_json = msgspec.json.Decoder(_ServerFrame).decode
_decode_server_msgpack = msgspec.msgpack.Decoder(_ServerFrame).decode
_decode_client_json = msgspec.json.Decoder(ClientFrame).decode
_decode_client_msgpack = msgspec.msgpack.Decoder(ClientFrame).decode
_decode_any_json = msgspec.json.Decoder().decode

_UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeError)
_OWN_TYPES = frozenset({"message", "welcome", "ack", "nack", "ping", "pong"})
_LOCAL_TYPES = frozenset({"connection", "resync", "unreadable", "overrun"})


def encode_frame(frame: Struct) -> str:
    """Return any frame of the dialect as the text of a JSON object."""
    return _encode_json(frame).decode()


def encode_message(message: ChatMessage) -> str | bytes:
    """Return the frame of a posted message: JSON text, or MessagePack where it carries bytes."""
    return encode_frame(message) if message.data is None else _encode_msgpack(message)


class ChatlabDialect:
    """The client's half: what to send, and what a server's frames say."""

    name = "chatlab"
    acks = True
    heartbeat: HeartbeatMode = "json"

    @property
    def http(self) -> ChatlabHttp:
        return _HTTP

    def query(self, config: TransportConfig, cursor: str | None) -> dict[str, str]:
        query = {"room": config.room, "sender": config.sender}
        if cursor is not None:
            query["after"] = cursor
        elif config.history is not None:
            query["history"] = str(config.history)
        return query

    def encode(self, message: OutgoingMessage) -> str | bytes:
        return encode_frame(message) if message.data is None else _encode_msgpack(message)

    def decode(self, frame: str | bytes) -> Sequence[Incoming]:
        try:
            if isinstance(frame, str):
                return (_decode_server_json(frame),)
            return (_decode_server_msgpack(frame),)
        except _UNREADABLE as error:
            return (_event(frame) or unreadable(_why(error), frame),)

    def ping(self, id: int) -> str:
        return f'{{"type":"ping","id":{id}}}'

    def pong(self, id: int) -> str:
        return f'{{"type":"pong","id":{id}}}'

    def typing(self) -> str | None:
        return '{"type":"typing"}'


_decode_page = msgspec.json.Decoder(list[ChatMessage]).decode
_decode_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
_NOTHING_NEW = frozenset({204, 304, 408})
PAGE_LIMIT = 200
"""Messages that a poll asks for at most."""
MAX_EVENT_ID = 4096
"""Bytes of the longest id that is sent as `Last-Event-ID`: servers refuse longer headers."""
_HEADER_VALUE = re.compile(r"(?! )[^\x00-\x1f\x7f]*(?<! )")
"""What a header can hold unchanged. Source: RFC 9110 §5.5."""


class ChatlabHttp:
    """The client's half over HTTP: SSE + POST, and polling."""

    answer_headers = frozenset({"chat-cursor", "chat-more"})
    csrf = Request("GET", "/csrf")

    def csrf_token(self, body: bytes) -> str | None:
        try:
            return msgspec.json.decode(body, type=_Token).token
        except _UNREADABLE:
            return None

    def stream(self, config: TransportConfig, cursor: str | None) -> Request:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        query = {"room": config.room, "sender": config.sender}
        if cursor is None:
            if config.history is not None:
                query["history"] = str(config.history)
        elif len(cursor.encode()) > MAX_EVENT_ID:
            pass  # All that there is comes again, and what was seen is dropped.
        elif _HEADER_VALUE.fullmatch(cursor):
            headers["Last-Event-ID"] = cursor
        else:
            query["after"] = cursor
        return Request("GET", "/stream", query, headers)

    def event(self, kind: str, data: str, id: str) -> Sequence[Incoming]:
        item = _read_event(kind, data)
        if isinstance(item, ChatMessage) and len(item.id.encode()) > MAX_EVENT_ID:
            return (item, ChatEvent("resync", reason="the message's id is too long to resume from"))
        return (item,)

    def poll(self, config: TransportConfig, cursor: str | None, hold: float | None) -> Request:
        query = {"room": config.room, "limit": str(PAGE_LIMIT)}
        if cursor is not None:
            query["after"] = cursor
        elif config.history is not None:
            query["history"] = str(config.history)
        if hold is None:
            return Request("GET", "/messages", query)
        return Request("GET", "/messages/poll", query | {"hold": f"{hold:g}"})

    def page(self, answer: Answer) -> Page | None:
        cursor = answer.headers.get("chat-cursor")
        if answer.status == 410:
            return Page((Welcome(cursor=cursor, resync=True),), more=True)
        if answer.status in _NOTHING_NEW:
            return Page(())
        if answer.status != 200:
            return None
        items = _read_page(answer.body)
        if not items and cursor is not None:
            items = (Welcome(cursor=cursor),)
        return Page(items, more="chat-more" in answer.headers)

    def post(self, config: TransportConfig, message: OutgoingMessage) -> Request:
        query = {"room": config.room, "sender": config.sender}
        return Request(
            "POST", "/messages", query, {"Content-Type": "application/json"}, encode_frame(message)
        )

    def posted(self, answer: Answer, client_id: str) -> Ack | Nack | None:
        if 200 <= answer.status < 300 or answer.status == 409:
            return Ack(client_id)
        return None

    def post_typing(self, config: TransportConfig) -> Request | None:
        query = {"room": config.room, "sender": config.sender}
        return Request("POST", "/typing", query, {"Content-Type": "application/json"}, "{}")


_HTTP = ChatlabHttp()


class _Token(Struct):
    token: str


class _Identified(Struct):
    id: str


def _read_event(kind: str, data: str) -> Incoming:
    """Read an event's data as a frame; where it isn't one, the event's own type and data are passed on."""
    try:
        frame: Incoming = _decode_server_json(data)
        return frame
    except _UNREADABLE as error:
        event = _event(data)
        if isinstance(event, ChatEvent):
            return event
        if kind in _OWN_TYPES:
            return unreadable(_why(error), data)
    try:
        content: Any = _decode_any_json(data)
    except _UNREADABLE:
        content = data
    return _server_event(kind, content)


def _read_page(body: bytes) -> Sequence[Incoming]:
    """Read a list of messages; where some of its elements are none, the others count."""
    try:
        messages: list[ChatMessage] = _decode_page(body)
        return messages
    except _UNREADABLE as error:
        try:
            elements = _decode_elements(body)
        except _UNREADABLE:
            return (unreadable(_why(error), body),)
    return [_read_element(bytes(element)) for element in elements]


def _read_element(element: bytes) -> Incoming:
    try:
        message: ChatMessage = msgspec.json.decode(element, type=ChatMessage)
        return message
    except _UNREADABLE as error:
        return replace(unreadable(_why(error), element), id=_id_of(element))


def _id_of(element: bytes) -> str:
    try:
        return msgspec.json.decode(element, type=_Identified).id
    except _UNREADABLE:
        return ""


def _why(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _event(frame: str | bytes) -> ChatEvent | Unreadable | None:
    """Read a text frame as a server's event of its own; None: it isn't one."""
    if not isinstance(frame, str):
        return None
    try:
        value: Any = _decode_any_json(frame)
    except _UNREADABLE as error:
        return unreadable(_why(error), frame)
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str) or not kind or kind in _OWN_TYPES:
        return None
    return _server_event(kind, {name: item for name, item in value.items() if name != "type"})


def _server_event(kind: str, content: Any) -> ChatEvent:
    sender = content.get("sender") if isinstance(content, dict) else None
    return ChatEvent(
        type=f"server:{kind}" if kind in _LOCAL_TYPES else kind,
        sender=sender if isinstance(sender, str) else "",
        payload=content,
    )


def decode_client_frame(frame: str | bytes) -> ClientFrame | Unreadable:
    """The server's half: return what a client's frame says."""
    try:
        decoded: ClientFrame = (
            _decode_client_json(frame) if isinstance(frame, str) else _decode_client_msgpack(frame)
        )
        return decoded
    except _UNREADABLE as error:
        return unreadable(_why(error), frame)


class _Refused(Struct):
    client_id: str = ""


def refused_client_id(frame: str | bytes) -> str | None:
    """Return the client id of a frame that is no legal message, if it has one: so that its sender can be
    told."""
    try:
        refused = (
            msgspec.json.decode(frame, type=_Refused)
            if isinstance(frame, str)
            else msgspec.msgpack.decode(frame, type=_Refused)
        )
        return refused.client_id or None
    except _UNREADABLE:
        return None


# The server's half over HTTP


class Accepted(Struct, frozen=True, tag_field="type", tag="ack"):
    """The answer to a posted message: it is in the log by that id."""

    client_id: str
    id: str


class _Content(Struct):
    text: str = ""
    data: bytes | None = None


class _Head(Struct):
    type: str
    id: str | int = ""


_decode_posted = msgspec.json.Decoder(OutgoingMessage).decode
_decode_content = msgspec.json.Decoder(_Content).decode
_decode_head = msgspec.json.Decoder(_Head).decode
_decode_message = msgspec.msgpack.Decoder(ChatMessage).decode


def decode_posted(body: bytes) -> OutgoingMessage | Nack:
    """Return the message that was posted, or why it is none: 413 when it is too large, else 422."""
    try:
        return _decode_posted(body)
    except _UNREADABLE as error:
        status = 413 if _is_too_large(body) else 422
        client_id = refused_client_id(body.decode(errors="replace")) or ""
        return Nack(client_id, status, unreadable(_why(error), body).reason)


def _is_too_large(body: bytes) -> bool:
    try:
        content = _decode_content(body)
        return max(len(content.text.encode()), len(content.data or b"")) > MAX_CONTENT_SIZE
    except _UNREADABLE:
        return False


def stream_event(frame: str | bytes) -> tuple[str, str, str]:
    """Return a server's frame as an event of a stream: its type, data and id, which only messages have."""
    if isinstance(frame, bytes):
        message = _decode_message(frame)
        return "message", encode_frame(message), message.id
    head = _decode_head(frame)
    return head.type, frame, f"{head.id}" if head.type == "message" else ""
