"""The server's mind: rooms, their logs, cursors and idempotency. Pure, so that the embedded server and the
simulated one share it.

A member is one connection, numbered by the server's driver; who only posts, or reads on request, needn't be
one. Each call returns outputs, which the driver carries out in order: what is to be kept is kept before
anybody hears of it.

A message's id is `epoch-n`: the n-th message of its room in that epoch. An epoch is one life of the log: a
server that has lost its log starts another, and can so tell that a reader's cursor is from a log it no
longer has.
"""

from __future__ import annotations

from chatlab.hub.hub import Hub, HubConfig
from chatlab.hub.outputs import ErrorFrame, Expel, Keep, Output, PresenceFrame, Reply, TypingFrame
from chatlab.hub.room import Member, Replay, Room

__all__ = [
    "ErrorFrame",
    "Expel",
    "Hub",
    "HubConfig",
    "Keep",
    "Member",
    "Output",
    "PresenceFrame",
    "Replay",
    "Reply",
    "Room",
    "TypingFrame",
]
