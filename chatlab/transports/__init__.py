"""Chat transports as pure machines: events in, effects out, without sockets or a clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatlab.lazy import lazy_names

if TYPE_CHECKING:
    from chatlab.transports.factory import make_machine
    from chatlab.transports.fallback import FallbackMachine
    from chatlab.transports.long_polling import LongPollingMachine, LongPollReceiver
    from chatlab.transports.machine import (
        Answered,
        Close,
        Closed,
        Connect,
        Deliver,
        Disconnect,
        Effect,
        Event,
        Failure,
        Fetch,
        Machine,
        Notify,
        Opened,
        OpenWebSocket,
        Ping,
        Pinged,
        Pong,
        Received,
        ReceivedBytes,
        Refuse,
        Send,
        SendBytes,
        Settle,
        Submit,
        Tick,
        Typing,
        Unencodable,
    )
    from chatlab.transports.short_polling import ShortPollingMachine, ShortPollReceiver
    from chatlab.transports.sse import SSEMachine
    from chatlab.transports.websocket import WebSocketMachine

_HOMES = {
    "transports.fallback": "FallbackMachine",
    "transports.long_polling": "LongPollReceiver LongPollingMachine",
    "transports.machine": (
        "Answered Close Closed Connect Deliver Disconnect Effect Event Failure Fetch Machine Notify "
        "OpenWebSocket Opened Ping Pinged Pong Received ReceivedBytes Refuse Send SendBytes Settle "
        "Submit Tick Typing Unencodable"
    ),
    "transports.factory": "make_machine",
    "transports.short_polling": "ShortPollReceiver ShortPollingMachine",
    "transports.sse": "SSEMachine",
    "transports.websocket": "WebSocketMachine",
}
"""Public names by module."""

__all__ = [
    "Answered",
    "Close",
    "Closed",
    "Connect",
    "Deliver",
    "Disconnect",
    "Effect",
    "Event",
    "Failure",
    "FallbackMachine",
    "Fetch",
    "LongPollReceiver",
    "LongPollingMachine",
    "Machine",
    "Notify",
    "OpenWebSocket",
    "Opened",
    "Ping",
    "Pinged",
    "Pong",
    "Received",
    "ReceivedBytes",
    "Refuse",
    "SSEMachine",
    "Send",
    "SendBytes",
    "Settle",
    "ShortPollReceiver",
    "ShortPollingMachine",
    "Submit",
    "Tick",
    "Typing",
    "Unencodable",
    "WebSocketMachine",
    "make_machine",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
