"""The `chatlab` dialect: JSON frames with the seed's shapes, used by the embedded server and its clients.

    client → server   {"type":"message","client_id":…,"text":…}   {"type":"typing"}
                      {"type":"ping","id":n}   {"type":"pong","id":n}
    server → client   {"type":"welcome","cursor":…}
                      {"type":"message","id":…,"sender":…,"text":…,"client_id":…,"posted_at":…}
                      {"type":"ack","client_id":…}   {"type":"nack","client_id":…,"status":413,"reason":…}
                      {"type":"pong","id":n}   {"type":"ping","id":n}
                      {"type":"typing"|"presence",…}   any other {"type":…}

A message with bytes is a binary frame: MessagePack of the same shape. A message's echo to its sender is its
ack; the server sends an `ack` only for a duplicate. The query has `room`, `sender`, and the cursor: `after`
(a message's id) or `history` (a number).

Over HTTP the same shapes are used:

    GET /stream                          data of the events; their ids are the messages', so `Last-Event-ID`
                                         replaces `after`
    GET /messages, GET /messages/poll    elements of a list; `Chat-Cursor` is the next cursor, and `Chat-More`
                                         says that there is more
    POST /messages                       body and answer; needs the token of `GET /csrf` as `X-CSRF-Token`
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
