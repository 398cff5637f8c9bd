"""The `socket.io` dialect: Socket.IO protocol 5 on Engine.IO 4, over a WebSocket or by long polling.

    Engine.IO     0{"sid":…,"pingInterval":…}   open      2 / 3   the server's ping, the client's pong
                  4…                            message   1, 6    the server closes; nothing
    Socket.IO     40{…}    connect to a namespace, with `auth`; the server's answer has the session's `sid`
                  44{…}    the server refuses it             41   the server ends the session
                  42n["event",…]   an event; n asks for an ack   43n[…]   the ack

A packet with bytes spans frames: its head, `45k-…`, and k binary frames. By polling, a body has several
packets, and bytes are base64.

Events become messages by a table: a name, and the place of each field among the event's arguments, which is
`"text"`, or a mapping from keys of an object to fields, such as `{"body": "text"}`.

A connection goes from a transport to another by a new session (there is no Engine.IO upgrade). After a
reconnection messages are replayed if the server has connection state recovery (`pid` and `offset`), or if
messages have an `id` of their own and the server replays those after the `serverOffset` in `auth`.

Source: https://socket.io/docs/v4/socket-io-protocol/, https://socket.io/docs/v4/engine-io-protocol/,
https://socket.io/docs/v4/connection-state-recovery, https://socket.io/docs/v4/tutorial/step-7
"""

from __future__ import annotations

from chatlab.dialects.socketio.dialect import SocketIODialect

__all__ = ["SocketIODialect"]
