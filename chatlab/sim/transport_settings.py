"""The transports of a scenario: configs without URL, room, name and headers, which the world sets."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from msgspec import field

from chatlab.dialects.finding import find_named
from chatlab.errors import SettingsError
from chatlab.settings import (
    AnyConfig,
    Count,
    Duration,
    FailureKey,
    FallbackConfig,
    HeartbeatConfig,
    LongPollingConfig,
    Name,
    OutboxConfig,
    PositiveDuration,
    ReconnectConfig,
    Settings,
    ShortPollingConfig,
    Size,
    SSEConfig,
    TransportConfig,
    Verdict,
    WebSocketConfig,
)
from chatlab.sim.as_written.settings import AnyAsWritten

PLACEHOLDER = "127.0.0.1:8000"
"""Host and port in the URLs of the model world, which has no sockets."""


class TransportSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """The fields of a `TransportConfig` that a scenario sets."""

    dialect: Name = "chatlab"
    history: Count | None = 50
    failures: dict[FailureKey, Verdict] = field(default_factory=dict)
    reconnect: ReconnectConfig = ReconnectConfig()
    outbox: OutboxConfig = OutboxConfig()
    connect_timeout: PositiveDuration = 10.0
    drain_timeout: Duration = 0.75

    _url: ClassVar[str]

    def __post_init__(self) -> None:
        super().__post_init__()
        find_named(self.dialect)

    @classmethod
    def of(cls, config: TransportConfig) -> Self:
        """Return the settings with the fields of a transport's config."""
        return cls(**{name: getattr(config, name) for name in cls.__struct_fields__})

    def _arguments(self, url: str | None, room: str, sender: str) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in self.__struct_fields__}
        return {"url": url or self._url, "room": room, "sender": sender, **own}


class WebSocketSettings(TransportSettings, frozen=True, kw_only=True, tag="websocket"):
    """The fields of a `WebSocketConfig` that a scenario sets."""

    protocols: tuple[str, ...] = ()
    heartbeat: HeartbeatConfig = HeartbeatConfig()
    max_frame_size: Size = 1 << 20
    _url: ClassVar[str] = f"ws://{PLACEHOLDER}/ws"

    def config(
        self, *, url: str | None = None, room: str = "lobby", sender: str = "guest"
    ) -> WebSocketConfig:
        """Return one person's config."""
        return WebSocketConfig(**self._arguments(url, room, sender))


class HttpSettings(TransportSettings, frozen=True, kw_only=True):
    """The fields of an `HttpConfig` that a scenario sets."""

    request_timeout: PositiveDuration = 10.0
    _url: ClassVar[str] = f"http://{PLACEHOLDER}"


class SSESettings(HttpSettings, frozen=True, kw_only=True, tag="sse"):
    """The fields of an `SSEConfig` that a scenario sets."""

    reconnect: ReconnectConfig = ReconnectConfig(base_delay=3.0)
    idle_timeout: PositiveDuration = 45.0
    strict_eventsource: bool = False
    max_event_size: Size = 1 << 20
    min_retry: Duration = 0.1

    def config(self, *, url: str | None = None, room: str = "lobby", sender: str = "guest") -> SSEConfig:
        """Return one person's config."""
        return SSEConfig(**self._arguments(url, room, sender))


class LongPollingSettings(HttpSettings, frozen=True, kw_only=True, tag="long_polling"):
    """The fields of a `LongPollingConfig` that a scenario sets."""

    timeout: PositiveDuration = 30.0
    hold: PositiveDuration = 25.0
    error_delay: PositiveDuration = 1.0
    min_gap: Duration = 0.1

    def config(
        self, *, url: str | None = None, room: str = "lobby", sender: str = "guest"
    ) -> LongPollingConfig:
        """Return one person's config."""
        return LongPollingConfig(**self._arguments(url, room, sender))


class ShortPollingSettings(HttpSettings, frozen=True, kw_only=True, tag="short_polling"):
    """The fields of a `ShortPollingConfig` that a scenario sets."""

    interval: PositiveDuration = 3.0
    spread: Duration = 0.0

    def config(
        self, *, url: str | None = None, room: str = "lobby", sender: str = "guest"
    ) -> ShortPollingConfig:
        """Return one person's config."""
        return ShortPollingConfig(**self._arguments(url, room, sender))


OneTransport = WebSocketSettings | SSESettings | LongPollingSettings | ShortPollingSettings


class FallbackSettings(
    Settings, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="fallback"
):
    """The fields of a `FallbackConfig` that a scenario sets."""

    transports: tuple[OneTransport, ...] = (
        WebSocketSettings(),
        SSESettings(),
        LongPollingSettings(),
        ShortPollingSettings(),
    )
    attempts_per_transport: Size = 3
    upgrade_after: PositiveDuration = 60.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.transports:
            raise SettingsError("FallbackSettings.transports: give one transport or more, the best first")
        if len({transport.dialect for transport in self.transports}) > 1:
            raise SettingsError("FallbackSettings.transports: all must have the same dialect")

    @property
    def dialect(self) -> str:
        """The transports' dialect."""
        return self.transports[0].dialect

    def config(self, *, room: str = "lobby", sender: str = "guest") -> FallbackConfig:
        """Return one person's config."""
        inner = tuple(transport.config(room=room, sender=sender) for transport in self.transports)
        return FallbackConfig(
            transports=inner,
            attempts_per_transport=self.attempts_per_transport,
            upgrade_after=self.upgrade_after,
        )


OurTransport = OneTransport | FallbackSettings
AnyTransport = OurTransport | AnyAsWritten


def settings_of(config: AnyConfig) -> OurTransport:
    """Return a scenario's settings with the fields of any config.

    Errors: `SettingsError` if scenarios have no such transport.
    """
    if isinstance(config, FallbackConfig):
        return FallbackSettings(
            transports=tuple(_of_one(inner) for inner in config.transports),
            attempts_per_transport=config.attempts_per_transport,
            upgrade_after=config.upgrade_after,
        )
    return _of_one(config)


def _of_one(config: TransportConfig) -> OneTransport:
    match config:
        case WebSocketConfig():
            return WebSocketSettings.of(config)
        case SSEConfig():
            return SSESettings.of(config)
        case LongPollingConfig():
            return LongPollingSettings.of(config)
        case ShortPollingConfig():
            return ShortPollingSettings.of(config)
        case _:
            raise SettingsError(f"scenarios have no transport for a {type(config).__name__}")
