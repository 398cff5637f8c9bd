"""chatlab: a chat console and a chat-network simulator that use the same transports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatlab.lazy import lazy_names

if TYPE_CHECKING:
    from chatlab.errors import (
        ChatSendError,
        ConnectError,
        EventTooLarge,
        InvalidMessage,
        LoginRefused,
        OutboxFull,
        SettingsError,
        TryAgain,
    )
    from chatlab.experiment.compare import compare
    from chatlab.experiment.find import Found, find
    from chatlab.experiment.fit import Fitted, fit
    from chatlab.experiment.run import Run
    from chatlab.experiment.scenario import Scenario
    from chatlab.experiment.sweep import sweep
    from chatlab.experiment.worlds.runner import run
    from chatlab.live.client.concrete_transports import (
        FallbackTransport,
        LongPollingTransport,
        ShortPollingTransport,
        SSETransport,
        WebSocketTransport,
    )
    from chatlab.live.client.kinds import make_config, make_transport
    from chatlab.live.client.matrix_login import MatrixLogin
    from chatlab.live.client.probe import Probe, probe
    from chatlab.live.client.receipt import Receipt
    from chatlab.live.client.transport import ChatTransport
    from chatlab.live.server.embedded_server import EmbeddedServer
    from chatlab.live.server.store import StoreError
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
    from chatlab.studies.backoff_delays import backoff_delays
    from chatlab.transports.eventstream import EventStreamParser, StreamEvent
    from chatlab.version import __version__ as __version__
    from chatlab.widgets.chat_panel import ChatPanel
    from chatlab.widgets.side_by_side import SideBySide
    from chatlab.widgets.slow_motion import SlowMotion

_HOMES = {
    "errors": (
        "ChatSendError ConnectError EventTooLarge InvalidMessage LoginRefused OutboxFull SettingsError "
        "TryAgain"
    ),
    "studies.backoff_delays": "backoff_delays",
    "experiment.compare": "compare",
    "experiment.find": "Found find",
    "experiment.fit": "Fitted fit",
    "experiment.run": "Run",
    "experiment.scenario": "Scenario",
    "experiment.sweep": "sweep",
    "experiment.worlds.runner": "run",
    "live.client.concrete_transports": (
        "FallbackTransport LongPollingTransport SSETransport ShortPollingTransport WebSocketTransport"
    ),
    "live.client.kinds": "make_config make_transport",
    "live.client.matrix_login": "MatrixLogin",
    "live.client.probe": "Probe probe",
    "live.client.receipt": "Receipt",
    "live.client.transport": "ChatTransport",
    "live.server.embedded_server": "EmbeddedServer",
    "live.server.store": "StoreError",
    "messages": "ChatEvent ChatMessage ConnectionStatus DeliveryState OutgoingMessage StatusChange",
    "settings": (
        "FallbackConfig HeartbeatConfig LongPollingConfig OutboxConfig ReconnectConfig SSEConfig "
        "ShortPollingConfig WebSocketConfig"
    ),
    "transports.eventstream": "EventStreamParser StreamEvent",
    "version": "__version__",
    "widgets.chat_panel": "ChatPanel",
    "widgets.side_by_side": "SideBySide",
    "widgets.slow_motion": "SlowMotion",
}
"""Public names by module."""

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
    "EventTooLarge",
    "FallbackConfig",
    "FallbackTransport",
    "Fitted",
    "Found",
    "HeartbeatConfig",
    "InvalidMessage",
    "LoginRefused",
    "LongPollingConfig",
    "LongPollingTransport",
    "MatrixLogin",
    "OutboxConfig",
    "OutboxFull",
    "OutgoingMessage",
    "Probe",
    "Receipt",
    "ReconnectConfig",
    "Run",
    "SSEConfig",
    "SSETransport",
    "Scenario",
    "SettingsError",
    "ShortPollingConfig",
    "ShortPollingTransport",
    "SideBySide",
    "SlowMotion",
    "StatusChange",
    "StoreError",
    "StreamEvent",
    "TryAgain",
    "WebSocketConfig",
    "WebSocketTransport",
    "backoff_delays",
    "compare",
    "find",
    "fit",
    "make_config",
    "make_transport",
    "probe",
    "run",
    "sweep",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
