"""The `text` dialect: every frame is a message's bare text, as echo servers have it. No acks, ids or
cursor."""

from __future__ import annotations

from collections.abc import Sequence

from chatlab.dialects.base import Incoming
from chatlab.messages import ChatMessage, OutgoingMessage
from chatlab.settings import HeartbeatMode, TransportConfig


class TextDialect:
    """Bare text (or bytes) in, bare text (or bytes) out; heartbeats are Ping frames, which any server
    answers."""

    name = "text"
    http = None
    acks = False
    heartbeat: HeartbeatMode = "ping"

    def query(self, config: TransportConfig, cursor: str | None) -> dict[str, str]:
        return {}

    def encode(self, message: OutgoingMessage) -> str | bytes:
        return message.text if message.data is None else message.data

    def decode(self, frame: str | bytes) -> Sequence[Incoming]:
        if isinstance(frame, str):
            return (ChatMessage(id="", sender="server", text=frame),)
        return (ChatMessage(id="", sender="server", data=frame),)

    def ping(self, id: int) -> str:
        return f"ping {id}"

    def pong(self, id: int) -> str:
        return f"pong {id}"

    def typing(self) -> str | None:
        return None
