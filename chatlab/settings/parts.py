"""Settings that transports share: of reconnection, heartbeats and the outbox."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta
from msgspec.structs import force_setattr

from chatlab.errors import SettingsError
from chatlab.settings.base import (
    CAPPED,
    Count,
    Duration,
    HeartbeatMode,
    Jitter,
    Overflow,
    PositiveDuration,
    Settings,
    Size,
)


class ReconnectConfig(Settings, frozen=True):
    """Settings of reconnection: the delays and the number of retries.

    `max_attempts` None means no limit. The count of attempts is reset once a connection has lasted
    `stable_after`. A server's `Retry-After` is honoured up to `max_retry_after`.

    A `schedule` replaces the formula: retry n waits U(low, high) of its n-th row, later retries of its last
    row, capped at `max_delay`.

    The jitter `seed` adds up to 10 % to the delay before the cap, and so has another name: `capped-10%`.
    """

    enabled: bool = True
    max_attempts: Count | None = 10
    base_delay: Duration = 1.0
    max_delay: Duration = 30.0
    backoff_multiplier: Annotated[float, Meta(ge=1, le=1e9)] = 2.0
    jitter: Jitter = "seed"
    stable_after: Duration = 5.0
    max_retry_after: Duration = 600.0
    schedule: tuple[tuple[Duration, Duration], ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.jitter == CAPPED:
            force_setattr(self, "jitter", "seed")
        for low, high in self.schedule:
            if low > high:
                raise SettingsError(
                    f"ReconnectConfig.schedule: a row is (low, high) with low <= high, got {(low, high)}"
                )


class HeartbeatConfig(Settings, frozen=True):
    """Settings of heartbeats, which detect a dead connection. `mode` None means that of the dialect.

    The client sends a ping every `interval`, as a message (`json`) or a Ping frame (`ping`), and the
    connection is dead if nothing answers within `timeout`. With `server` the server sends the pings, and the
    client takes a connection for dead on which nothing came for both together. With `both` both send pings.
    With `none` nobody does.
    """

    enabled: bool = True
    interval: PositiveDuration = 30.0
    timeout: PositiveDuration = 10.0
    mode: HeartbeatMode | None = None

    @property
    def by_server(self) -> bool:
        """Whether the server sends pings."""
        return self.enabled and self.mode in ("server", "both")


class OutboxConfig(Settings, frozen=True):
    """Settings of the outbox, in which messages wait for a connection.

    `max_size` and `max_bytes` bound the queue, and `overflow` is the policy for a message above the bound. A
    message expires after `max_age`. `max_in_flight` bounds the messages sent and not yet acknowledged.
    """

    max_size: Size = 100
    max_bytes: Size | None = None
    max_age: PositiveDuration | None = None
    max_in_flight: Size = 100
    overflow: Overflow = "drop-oldest"
