"""The shapes of frames, and what reads and writes them."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from chatlab.dialects.base import Ack, Nack, ServerPing, ServerPong, Unreadable, Welcome, unreadable
from chatlab.messages import ChatEvent, ChatMessage, OutgoingMessage

MAX_FRAME_SIZE = 512 * 1024
"""Bytes of the largest frame that a legal message can make: 64 KiB of text, each byte escaped in six, and
its envelope."""


class ClientTyping(Struct, frozen=True, gc=False, tag_field="type", tag="typing"):
    """The person types."""


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
    """Return any frame of the dialect as the text of a JSON object."""
    return _encode_json(frame).decode()


def encode_message(message: ChatMessage) -> str | bytes:
    """Return the frame of a posted message: JSON text, or MessagePack where it carries bytes."""
    return encode_frame(message) if message.data is None else encode_msgpack(message)


def why(error: Exception) -> str:
    """Say why a frame can't be read."""
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def own_event(frame: str | bytes) -> ChatEvent | Unreadable | None:
    """Read a text frame as a server's event of its own; None: it isn't one."""
    if not isinstance(frame, str):
        return None
    try:
        value: Any = decode_any_json(frame)
    except UNREADABLE as error:
        return unreadable(why(error), frame)
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str) or not kind or kind in OWN_TYPES:
        return None
    return server_event(kind, {name: item for name, item in value.items() if name != "type"})


def server_event(kind: str, content: Any) -> ChatEvent:
    """Return a server's event of its own, which can't be taken for one of ours."""
    sender = content.get("sender") if isinstance(content, dict) else None
    return ChatEvent(
        type=f"server:{kind}" if kind in _LOCAL_TYPES else kind,
        sender=sender if isinstance(sender, str) else "",
        payload=content,
    )
