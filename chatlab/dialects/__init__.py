"""Dialects: the wire formats of chat servers. Pure functions, no I/O."""

from __future__ import annotations

from chatlab.dialects.base import (
    Ack,
    Answer,
    Credentials,
    Dialect,
    HttpDialect,
    Incoming,
    InFlight,
    Nack,
    Opening,
    Page,
    Refused,
    Reply,
    Request,
    ServerPing,
    ServerPong,
    Unreadable,
    Welcome,
    unreadable,
)
from chatlab.dialects.bodies import read_lines, read_list, read_one, read_parts
from chatlab.dialects.chatlab import ChatlabDialect
from chatlab.dialects.finding import DIALECTS, dialect_names, find_dialect
from chatlab.dialects.matrix import MatrixDialect
from chatlab.dialects.mqtt import MqttDialect
from chatlab.dialects.nchan import NchanDialect
from chatlab.dialects.phoenix import PhoenixDialect
from chatlab.dialects.socketio import SocketIODialect
from chatlab.dialects.templates import request_to
from chatlab.dialects.text import TextDialect

__all__ = [
    "DIALECTS",
    "Ack",
    "Answer",
    "ChatlabDialect",
    "Credentials",
    "Dialect",
    "HttpDialect",
    "InFlight",
    "Incoming",
    "MatrixDialect",
    "MqttDialect",
    "Nack",
    "NchanDialect",
    "Opening",
    "Page",
    "PhoenixDialect",
    "Refused",
    "Reply",
    "Request",
    "ServerPing",
    "ServerPong",
    "SocketIODialect",
    "TextDialect",
    "Unreadable",
    "Welcome",
    "dialect_names",
    "find_dialect",
    "read_lines",
    "read_list",
    "read_one",
    "read_parts",
    "request_to",
    "unreadable",
]
