"""The server's mind: rooms, their logs, cursors and idempotency. Pure, so that the embedded server and the
simulated one share it.

A member is one connection, numbered by the server's driver; who only posts, or reads on request, needn't be
one. Each call returns outputs, which the driver carries out in order. A message is in the `Log` before
anybody hears of it.
"""

from __future__ import annotations

from chatlab.hub.hub import Hub, HubConfig
from chatlab.hub.log import Log, LogError, LogLimits, MemoryLog, Page
from chatlab.hub.outputs import Behind, ErrorFrame, Expel, News, Output, PresenceFrame, Reply, TypingFrame
from chatlab.hub.rate import Bucket
from chatlab.hub.room import Member, Room

__all__ = [
    "Behind",
    "Bucket",
    "ErrorFrame",
    "Expel",
    "Hub",
    "HubConfig",
    "Log",
    "LogError",
    "LogLimits",
    "Member",
    "MemoryLog",
    "News",
    "Output",
    "Page",
    "PresenceFrame",
    "Reply",
    "Room",
    "TypingFrame",
]
