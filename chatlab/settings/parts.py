"""Settings that transports have in common: of reconnecting, of heartbeats and of the outbox."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from chatlab.errors import SettingsError
from chatlab.settings.base import (
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
    """When to try again after a connection has failed, and how often.

    `max_attempts` None means for ever. The attempts start again at 0 once a connection has lasted
    `stable_after`. A server's `Retry-After` is honoured up to `max_retry_after`.

    A `schedule` takes the formula's place: retry n waits U(low, high) of its n-th row, and of its last row
    from then on, capped at `max_delay`.
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
        for low, high in self.schedule:
            if low > high:
                raise SettingsError(
                    f"ReconnectConfig.schedule: a row is (low, high) with low <= high, got {(low, high)}"
                )


class HeartbeatConfig(Settings, frozen=True):
    """How to find out that a quiet connection is dead. `mode` None leaves the spelling to the dialect."""

    enabled: bool = True
    interval: PositiveDuration = 30.0
    timeout: PositiveDuration = 10.0
    mode: HeartbeatMode | None = None


class OutboxConfig(Settings, frozen=True):
    """How many messages wait for a connection, and what happens to one too many.

    `max_size` and `max_bytes` bound what is queued; `max_age` is how long a message may wait before it
    expires; `max_in_flight` bounds what is sent and not yet acknowledged.
    """

    max_size: Size = 100
    max_bytes: Size | None = None
    max_age: PositiveDuration | None = None
    max_in_flight: Size = 100
    overflow: Overflow = "drop-oldest"
