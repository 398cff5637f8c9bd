"""The server's logic: rooms, their logs, cursors and idempotency. Pure, so that the embedded server and the
simulated one share it.

A member is one connection, numbered by the server's driver; a client that only posts, or reads on request,
need not be one. Each call returns outputs, which the driver carries out in order. A message is in the `Log`
before anyone receives it.
"""

from __future__ import annotations

from chatlab.hub.hub import Hub, HubConfig
from chatlab.hub.log import Log, LogError, LogLimits, MemoryLog, Page
from chatlab.hub.nodes import NodeHub, Notice, Person, SharedLog
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
    "NodeHub",
    "Notice",
    "Output",
    "Page",
    "Person",
    "PresenceFrame",
    "Reply",
    "Room",
    "SharedLog",
    "TypingFrame",
]
