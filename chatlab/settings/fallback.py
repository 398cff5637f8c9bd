"""Settings of a transport that falls back from one kind to another."""

from __future__ import annotations

from typing import Any

from chatlab.errors import SettingsError
from chatlab.settings.base import PositiveDuration, Settings, Size
from chatlab.settings.parts import OutboxConfig, ReconnectConfig
from chatlab.settings.transports import TransportConfig


class FallbackConfig(Settings, frozen=True):
    """Settings of a fallback transport: its `transports`, the best one first.

    After `attempts_per_transport` tries without a working connection, it uses the next one. Every
    `upgrade_after` it probes a better one beside the working one. If none works, it starts again with the
    first, after a delay by the first one's `reconnect`. Its `outbox` settings are those of the first, too.
    All must have the same room, sender and dialect.
    """

    transports: tuple[Any, ...]
    attempts_per_transport: Size = 3
    upgrade_after: PositiveDuration = 60.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.transports or not all(isinstance(config, TransportConfig) for config in self.transports):
            raise SettingsError(
                "FallbackConfig.transports: give one config or more, such as "
                "[WebSocketConfig(…), SSEConfig(…)]"
            )
        first = self.first
        same = (first.room, first.sender, first.dialect)
        if any((config.room, config.sender, config.dialect) != same for config in self.transports):
            raise SettingsError("FallbackConfig.transports: all must have the same room, sender and dialect")

    @property
    def first(self) -> TransportConfig:
        """The best transport's settings."""
        config: TransportConfig = self.transports[0]
        return config

    @property
    def room(self) -> str:
        """The room of all transports."""
        return self.first.room

    @property
    def sender(self) -> str:
        """The name of all transports."""
        return self.first.sender

    @property
    def dialect(self) -> Any:
        """The dialect of all transports."""
        return self.first.dialect

    @property
    def dialect_name(self) -> str:
        """The name of the dialect of all transports."""
        return self.first.dialect_name

    @property
    def history(self) -> int | None:
        """Number of the latest messages that the first transport asks for; None: all."""
        return self.first.history

    @property
    def after(self) -> str | None:
        """The id of the message after which all transports begin."""
        return self.first.after

    @property
    def connect_timeout(self) -> float:
        """The connect timeout of the first transport."""
        return self.first.connect_timeout

    @property
    def outbox(self) -> OutboxConfig:
        """The one outbox of all transports."""
        return self.first.outbox

    @property
    def drain_timeout(self) -> float:
        """The longest drain timeout of all transports."""
        longest: float = max(config.drain_timeout for config in self.transports)
        return longest

    @property
    def reconnect(self) -> ReconnectConfig:
        """The backoff before the next round through the transports, if none works."""
        return self.first.reconnect


AnyConfig = TransportConfig | FallbackConfig
