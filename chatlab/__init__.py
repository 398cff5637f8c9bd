"""chatlab: a chat console and chat-network simulator, in which both drive the same transports."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chatlab.errors import ChatSendError, ConnectError, InvalidMessage, OutboxFull, SettingsError
    from chatlab.experiment.backoff import backoff_delays
    from chatlab.experiment.run import Run
    from chatlab.experiment.scenario import Scenario
    from chatlab.experiment.worlds import run
    from chatlab.live.receipt import Receipt
    from chatlab.live.server import EmbeddedServer
    from chatlab.live.transport import ChatTransport, WebSocketTransport
    from chatlab.messages import (
        ChatEvent,
        ChatMessage,
        ConnectionStatus,
        DeliveryState,
        OutgoingMessage,
        StatusChange,
    )
    from chatlab.settings import HeartbeatConfig, OutboxConfig, ReconnectConfig, WebSocketConfig
    from chatlab.transports.eventstream import EventStreamParser
    from chatlab.widgets.chat_panel import ChatPanel

__version__ = "0.1.0"

_HOMES = {
    "ChatEvent": "messages",
    "ChatMessage": "messages",
    "ChatPanel": "widgets.chat_panel",
    "ChatSendError": "errors",
    "ChatTransport": "live.transport",
    "ConnectError": "errors",
    "ConnectionStatus": "messages",
    "DeliveryState": "messages",
    "EmbeddedServer": "live.server",
    "EventStreamParser": "transports.eventstream",
    "HeartbeatConfig": "settings",
    "InvalidMessage": "errors",
    "OutboxConfig": "settings",
    "OutboxFull": "errors",
    "OutgoingMessage": "messages",
    "Receipt": "live.receipt",
    "ReconnectConfig": "settings",
    "Run": "experiment.run",
    "Scenario": "experiment.scenario",
    "SettingsError": "errors",
    "StatusChange": "messages",
    "WebSocketConfig": "settings",
    "WebSocketTransport": "live.transport",
    "backoff_delays": "experiment.backoff",
    "run": "experiment.worlds",
}
"""The module of each public name, which is loaded when the name is first used."""

__all__ = [
    "ChatEvent",
    "ChatMessage",
    "ChatPanel",
    "ChatSendError",
    "ChatTransport",
    "ConnectError",
    "ConnectionStatus",
    "DeliveryState",
    "EmbeddedServer",
    "EventStreamParser",
    "HeartbeatConfig",
    "InvalidMessage",
    "OutboxConfig",
    "OutboxFull",
    "OutgoingMessage",
    "Receipt",
    "ReconnectConfig",
    "Run",
    "Scenario",
    "SettingsError",
    "StatusChange",
    "WebSocketConfig",
    "WebSocketTransport",
    "backoff_delays",
    "run",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'chatlab' has no attribute {name!r}")
    value = getattr(import_module(f"chatlab.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
