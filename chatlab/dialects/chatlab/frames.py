"""The shapes of frames, and their encoders and decoders."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from chatlab.dialects.base import Ack, Nack, ServerPing, ServerPong, Unreadable, Welcome, unreadable
from chatlab.messages import ChatEvent, ChatMessage, OutgoingMessage

MAX_FRAME_SIZE = 512 * 1024
"""Bytes of the largest frame of a valid message: 64 KiB of text, each byte escaped as six, and its
envelope."""


class ClientTyping(Struct, frozen=True, gc=False, tag_field="type", tag="typing"):
    """A sign that the person is typing."""


ClientFrame = OutgoingMessage | ClientTyping | ServerPing | ServerPong
_ServerFrame = ChatMessage | Welcome | Ack | Nack | ServerPing | ServerPong

_encode_json = msgspec.json.Encoder().encode
encode_msgpack = msgspec.msgpack.Encoder().encode
decode_server_json = msgspec.json.Decoder(_ServerFrame).decode
decode_server_msgpack = msgspec.msgpack.Decoder(_ServerFrame).decode
decode_any_json = msgspec.json.Decoder().decode

UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeError)
OWN_TYPES = frozenset({"message", "welcome", "ack", "nack", "ping", "pong"})
_LOCAL_TYPES = frozenset({"connection", "resync", "unreadable", "overrun"})


def encode_frame(frame: Struct) -> str:
    """Return a frame of the dialect as the text of a JSON object."""
    return _encode_json(frame).decode()


def encode_message(message: ChatMessage) -> str | bytes:
    """Return the frame of a posted message: JSON text, or MessagePack if it has bytes."""
    return encode_frame(message) if message.data is None else encode_msgpack(message)


def decoding_error(error: Exception) -> str:
    """Return a decoding error's message."""
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def server_defined_event(frame: str | bytes) -> ChatEvent | Unreadable | None:
    """Return a text frame as an event of a type that the server defines; None: it isn't one."""
    if not isinstance(frame, str):
        return None
    try:
        value: Any = decode_any_json(frame)
    except UNREADABLE as error:
        return unreadable(decoding_error(error), frame)
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str) or not kind or kind in OWN_TYPES:
        return None
    return server_event(kind, {name: item for name, item in value.items() if name != "type"})


def server_event(kind: str, content: Any) -> ChatEvent:
    """Return an event of a type that the server defines; a type that chatlab uses gets the prefix
    `server:`."""
    sender = content.get("sender") if isinstance(content, dict) else None
    return ChatEvent(
        type=f"server:{kind}" if kind in _LOCAL_TYPES else kind,
        sender=sender if isinstance(sender, str) else "",
        payload=content,
    )
