"""Settings of transports: frozen, validated on creation, with the seed's defaults. Durations are seconds."""

from __future__ import annotations

from chatlab.settings.base import (
    JITTERS,
    OVERFLOWS,
    Count,
    Duration,
    FailureKey,
    HeartbeatMode,
    Jitter,
    Name,
    Overflow,
    PositiveDuration,
    Settings,
    Size,
    Verdict,
    choices_of,
)
from chatlab.settings.fallback import AnyConfig, FallbackConfig
from chatlab.settings.headers import HeaderSource
from chatlab.settings.parts import HeartbeatConfig, OutboxConfig, ReconnectConfig
from chatlab.settings.transports import (
    HttpConfig,
    LongPollingConfig,
    ShortPollingConfig,
    SSEConfig,
    TransportConfig,
    WebSocketConfig,
)
from chatlab.settings.urls import (
    Url,
    check_url,
    parse_problem,
    redacted,
    scrub,
    secrets_of,
    shown_url,
    with_secrets,
)

__all__ = [
    "JITTERS",
    "OVERFLOWS",
    "AnyConfig",
    "Count",
    "Duration",
    "FailureKey",
    "FallbackConfig",
    "HeaderSource",
    "HeartbeatConfig",
    "HeartbeatMode",
    "HttpConfig",
    "Jitter",
    "LongPollingConfig",
    "Name",
    "OutboxConfig",
    "Overflow",
    "PositiveDuration",
    "ReconnectConfig",
    "SSEConfig",
    "Settings",
    "ShortPollingConfig",
    "Size",
    "TransportConfig",
    "Url",
    "Verdict",
    "WebSocketConfig",
    "check_url",
    "choices_of",
    "parse_problem",
    "redacted",
    "scrub",
    "secrets_of",
    "shown_url",
    "with_secrets",
]
