"""The server's half: decoding clients' frames, and events of a stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from chatlab.dialects.base import Nack, Unreadable, unreadable
from chatlab.dialects.chatlab.frames import UNREADABLE, ClientFrame, decoding_error, encode_frame
from chatlab.messages import MAX_CONTENT_SIZE, ChatMessage, OutgoingMessage

_decode_client_json = msgspec.json.Decoder(ClientFrame).decode
_decode_client_msgpack = msgspec.msgpack.Decoder(ClientFrame).decode


def decode_client_frame(frame: str | bytes) -> ClientFrame | Unreadable:
    """Return a client's frame, decoded."""
    try:
        decoded: ClientFrame = (
            _decode_client_json(frame) if isinstance(frame, str) else _decode_client_msgpack(frame)
        )
        return decoded
    except UNREADABLE as error:
        return unreadable(decoding_error(error), frame)


class _Refused(Struct):
    client_id: str = ""


def refused_client_id(frame: str | bytes) -> str | None:
    """Return the client id of an invalid message, so that it can be refused; None: it has none."""
    try:
        refused = (
            msgspec.json.decode(frame, type=_Refused)
            if isinstance(frame, str)
            else msgspec.msgpack.decode(frame, type=_Refused)
        )
        return refused.client_id or None
    except UNREADABLE:
        return None


def refusal_of(frame: str | bytes, reason: str) -> Nack | None:
    """Return the refusal of an invalid message, with status 413 if it is too large, else 422; None: the frame
    has no client id."""
    client_id = refused_client_id(frame)
    if client_id is None:
        return None
    decode = _decode_content if isinstance(frame, str) else _decode_content_msgpack
    return Nack(client_id, 413 if _is_too_large(frame, decode) else 422, reason)


class Accepted(Struct, frozen=True, tag_field="type", tag="ack"):
    """The answer to a POST: the message is in the log under that id."""

    client_id: str
    id: str


class _Content(Struct):
    text: str = ""
    data: bytes | None = None


class _Head(Struct):
    type: str
    id: str | int = ""
    cursor: str | None = None


_decode_posted = msgspec.json.Decoder(OutgoingMessage).decode
_decode_content = msgspec.json.Decoder(_Content).decode
_decode_content_msgpack = msgspec.msgpack.Decoder(_Content).decode
_decode_head = msgspec.json.Decoder(_Head).decode
_decode_message = msgspec.msgpack.Decoder(ChatMessage).decode


def decode_posted(body: bytes) -> OutgoingMessage | Nack:
    """Return the posted message, or its refusal with status 413 if it is too large, else 422."""
    try:
        return _decode_posted(body)
    except UNREADABLE as error:
        status = 413 if _is_too_large(body, _decode_content) else 422
        client_id = refused_client_id(body.decode(errors="replace")) or ""
        return Nack(client_id, status, unreadable(decoding_error(error), body).reason)


def _is_too_large(message: str | bytes, decode: Callable[[Any], _Content]) -> bool:
    try:
        content = decode(message)
        return max(len(content.text.encode()), len(content.data or b"")) > MAX_CONTENT_SIZE
    except UNREADABLE:
        return False


def stream_event(frame: str | bytes) -> tuple[str, str, str]:
    """Return a server's frame as an event of a stream: its type, data and id.

    Messages have an id, and the welcome, whose id is the cursor: a standard `EventSource` resumes from there
    if it has received no message yet.
    """
    if isinstance(frame, bytes):
        message = _decode_message(frame)
        return "message", encode_frame(message), message.id
    head = _decode_head(frame)
    place = {"message": head.id, "welcome": head.cursor}.get(head.type)
    return head.type, frame, f"{place or ''}"
