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

from chatlab.dialects.chatlab.client import ChatlabDialect
from chatlab.dialects.chatlab.frames import (
    MAX_FRAME_SIZE,
    ClientFrame,
    ClientTyping,
    encode_frame,
    encode_message,
)
from chatlab.dialects.chatlab.http import PAGE_LIMIT, ChatlabHttp
from chatlab.dialects.chatlab.server import (
    Accepted,
    decode_client_frame,
    decode_posted,
    refusal_of,
    refused_client_id,
    stream_event,
)

__all__ = [
    "MAX_FRAME_SIZE",
    "PAGE_LIMIT",
    "Accepted",
    "ChatlabDialect",
    "ChatlabHttp",
    "ClientFrame",
    "ClientTyping",
    "decode_client_frame",
    "decode_posted",
    "encode_frame",
    "encode_message",
    "refusal_of",
    "refused_client_id",
    "stream_event",
]
