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
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from chatlab.dialects.base import Ack, Incoming, Nack, ServerPing, ServerPong, Unreadable, Welcome, unreadable
from chatlab.messages import ChatEvent, ChatMessage, OutgoingMessage
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
    sender = value.get("sender")
    return ChatEvent(
        type=f"server:{kind}" if kind in _LOCAL_TYPES else kind,
        sender=sender if isinstance(sender, str) else "",
        payload={name: item for name, item in value.items() if name != "type"},
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
