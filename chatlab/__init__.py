"""chatlab: a chat console and chat-network simulator, in which both drive the same transports."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chatlab.errors import (
        ChatSendError,
        ConnectError,
        InvalidMessage,
        OutboxFull,
        SettingsError,
        TryAgain,
    )
    from chatlab.experiment.backoff import backoff_delays
    from chatlab.experiment.compare import compare
    from chatlab.experiment.run import Run
    from chatlab.experiment.scenario import Scenario
    from chatlab.experiment.sweep import sweep
    from chatlab.experiment.worlds import run
    from chatlab.live.fallback import FallbackTransport
    from chatlab.live.http_transport import LongPollingTransport, ShortPollingTransport, SSETransport
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
    from chatlab.settings import (
        FallbackConfig,
        HeartbeatConfig,
        LongPollingConfig,
        OutboxConfig,
        ReconnectConfig,
        ShortPollingConfig,
        SSEConfig,
        WebSocketConfig,
    )
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
    "FallbackConfig": "settings",
    "FallbackTransport": "live.fallback",
    "HeartbeatConfig": "settings",
    "InvalidMessage": "errors",
    "LongPollingConfig": "settings",
    "LongPollingTransport": "live.http_transport",
    "OutboxConfig": "settings",
    "OutboxFull": "errors",
    "OutgoingMessage": "messages",
    "Receipt": "live.receipt",
    "ReconnectConfig": "settings",
    "Run": "experiment.run",
    "SSEConfig": "settings",
    "SSETransport": "live.http_transport",
    "Scenario": "experiment.scenario",
    "SettingsError": "errors",
    "TryAgain": "errors",
    "ShortPollingConfig": "settings",
    "ShortPollingTransport": "live.http_transport",
    "StatusChange": "messages",
    "WebSocketConfig": "settings",
    "WebSocketTransport": "live.transport",
    "backoff_delays": "experiment.backoff",
    "compare": "experiment.compare",
    "run": "experiment.worlds",
    "sweep": "experiment.sweep",
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
    "FallbackConfig",
    "FallbackTransport",
    "HeartbeatConfig",
    "InvalidMessage",
    "LongPollingConfig",
    "LongPollingTransport",
    "OutboxConfig",
    "OutboxFull",
    "OutgoingMessage",
    "Receipt",
    "ReconnectConfig",
    "Run",
    "SSEConfig",
    "SSETransport",
    "Scenario",
    "SettingsError",
    "ShortPollingConfig",
    "ShortPollingTransport",
    "StatusChange",
    "TryAgain",
    "WebSocketConfig",
    "WebSocketTransport",
    "backoff_delays",
    "compare",
    "run",
    "sweep",
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
