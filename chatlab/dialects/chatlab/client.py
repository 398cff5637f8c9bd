"""The client's half over a WebSocket."""

from __future__ import annotations

from collections.abc import Sequence

from chatlab.dialects.base import Dialect, Incoming, Opening, unreadable
from chatlab.dialects.chatlab.frames import (
    UNREADABLE,
    decode_server_json,
    decode_server_msgpack,
    decoding_error,
    encode_frame,
    encode_msgpack,
    server_defined_event,
)
from chatlab.dialects.chatlab.http import ChatlabHttp
from chatlab.messages import OutgoingMessage
from chatlab.settings import TransportConfig

_HTTP = ChatlabHttp()


class ChatlabDialect(Dialect):
    """The client's half of the dialect."""

    name = "chatlab"
    acks = True
    reuses_ids = False  # An id has the log's epoch.
    heartbeat = "json"

    @property
    def http(self) -> ChatlabHttp:
        return _HTTP

    def opening(self, config: TransportConfig, cursor: str | None) -> Opening:
        query = {"room": config.room, "sender": config.sender}
        if cursor is not None:
            query["after"] = cursor
        elif config.history is not None:
            query["history"] = str(config.history)
        return Opening(query=query)

    def encode(self, config: TransportConfig, message: OutgoingMessage) -> str | bytes:
        return encode_frame(message) if message.data is None else encode_msgpack(message)

    def decode(self, frame: str | bytes) -> Sequence[Incoming]:
        try:
            if isinstance(frame, str):
                return (decode_server_json(frame),)
            return (decode_server_msgpack(frame),)
        except UNREADABLE as error:
            return (server_defined_event(frame) or unreadable(decoding_error(error), frame),)

    def typing(self, config: TransportConfig) -> str | None:
        return '{"type":"typing"}'
