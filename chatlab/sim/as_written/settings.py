"""Settings of the original document's snippets, with their own names and defaults, in seconds."""

from __future__ import annotations

from typing import Annotated, ClassVar, NoReturn

from msgspec import Meta

from chatlab.errors import SettingsError
from chatlab.settings import Count, Duration, PositiveDuration, Settings, Size


class AsWritten(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """Settings of one of the original document's snippets."""

    dialect: ClassVar[str] = "chatlab"
    acks: ClassVar[bool] = True
    """Whether the server's acceptance of a message is reported to its sender."""

    @property
    def kind(self) -> str:
        """Its name in scenarios."""
        return str(self.__struct_config__.tag)

    def config(self, *, url: str | None = None, room: str = "lobby", sender: str = "guest") -> NoReturn:
        """Raise `SettingsError`, since no transport takes these settings."""
        ours = self.kind.removeprefix("seed_")
        raise SettingsError(
            f"transport.kind: {self.kind!r} is the seed as written, with its faults, and runs in the model "
            f"world only; choose {ours!r}"
        )


class SeedReconnect(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Source: seed, `WebSocketConfig.reconnect`."""

    enabled: bool = True
    max_attempts: Count = 10
    base_delay: Duration = 1.0
    max_delay: Duration = 30.0
    backoff_multiplier: Annotated[float, Meta(ge=1, le=1e9)] = 2.0


class SeedHeartbeat(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Source: seed, `WebSocketConfig.heartbeat`."""

    enabled: bool = True
    interval: PositiveDuration = 30.0
    timeout: PositiveDuration = 10.0


class SeedWebSocket(AsWritten, frozen=True, kw_only=True, tag="seed_websocket"):
    """The seed's WebSocket; `queue_size` is `MessageQueue.maxSize`."""

    reconnect: SeedReconnect = SeedReconnect()
    heartbeat: SeedHeartbeat = SeedHeartbeat()
    queue_size: Size = 100
    acks: ClassVar[bool] = False


class SeedSSE(AsWritten, frozen=True, kw_only=True, tag="seed_sse"):
    """The seed's `SSEConnection`. The browser's EventSource reconnects after `reconnection_time`, until the
    server sets another one."""

    reconnection_time: PositiveDuration = 3.0


class SeedLongPolling(AsWritten, frozen=True, kw_only=True, tag="seed_long_polling"):
    """The seed's `longPoll`, which waits `error_delay` after an error."""

    timeout: PositiveDuration = 30.0
    error_delay: PositiveDuration = 1.0


class SeedShortPolling(AsWritten, frozen=True, kw_only=True, tag="seed_short_polling"):
    """The seed's `poll`."""

    interval: PositiveDuration = 3.0


AnyAsWritten = SeedWebSocket | SeedSSE | SeedLongPolling | SeedShortPolling
