"""Messages as JSON objects, for servers that pass any text on unchanged, such as nchan and MQTT brokers.

The format is `{"type":"message","sender":…,"text":…,"client_id":…}`, with bytes as base64 in `data`. Anything
else that is published there is a message of bare text or bytes, whose sender is unknown.
"""

from __future__ import annotations

from datetime import datetime

import msgspec
from msgspec import Struct

from chatlab.messages import ChatMessage, OutgoingMessage


class Envelope(Struct, frozen=True, omit_defaults=True, tag_field="type", tag="message"):
    """A message as it is published."""

    sender: str
    text: str = ""
    client_id: str = ""
    data: bytes | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Envelope).decode


def encode_envelope(sender: str, message: OutgoingMessage) -> bytes:
    """Return a message's JSON."""
    return _encode(Envelope(sender, message.text, message.client_id, message.data))


def read_envelope(id: str, content: bytes, posted_at: datetime | None = None) -> ChatMessage:
    """Return the published message: one in our format, or anything else as bare text or bytes."""
    try:
        ours = _decode(content)
        if ours.text or ours.data is not None:
            return ChatMessage(id, ours.sender, ours.text, ours.client_id, posted_at, ours.data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        pass
    try:
        return ChatMessage(id, text=content.decode(), posted_at=posted_at)
    except UnicodeDecodeError:
        return ChatMessage(id, data=content, posted_at=posted_at)
