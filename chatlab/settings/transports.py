"""Settings of each kind of transport."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from chatlab.errors import SettingsError
from chatlab.settings.base import (
    Count,
    Duration,
    FailureKey,
    Name,
    PositiveDuration,
    Settings,
    Size,
    Verdict,
)
from chatlab.settings.dialect_check import check_dialect
from chatlab.settings.headers import HeaderSource
from chatlab.settings.parts import HeartbeatConfig, OutboxConfig, ReconnectConfig
from chatlab.settings.urls import Url, check_url
from chatlab.text import quoted, without_surrogates


class TransportConfig(Settings, frozen=True):
    """Settings that all transports share.

    - `url`: a `Url`. It is shown with `***` for its secrets, but with its path.
    - `dialect`: the name of one, or a `Dialect` of your own.
    - `history`: number of the room's latest messages that a first connection asks for; None: all.
    - `after`: id of a message that another transport has received, to ask for the messages after it instead.
    - `headers`: a mapping, or a function that is called before each attempt, in a thread of its own unless it
      is `async`. A parameter named `failure`, or one without a default, gets the refusal after which a
      renewed token may help, or None.
    - `failures`: overrides of the failure table, with keys such as `"close 4429"`, `"http 404"`, `"tls"`.
    - `ca_file`: a PEM file of the certificate authorities that TLS trusts instead of the system's.
    - `proxy`: a proxy's address; "": none; None: from the environment (docs/networks.md).
    """

    url: str
    room: Name = "lobby"
    sender: Name = "guest"
    dialect: Any = "chatlab"
    history: Count | None = 50
    after: Annotated[str, Meta(min_length=1)] | None = None
    headers: Any = None
    failures: dict[FailureKey, Verdict] = msgspec.field(default_factory=dict)
    reconnect: ReconnectConfig = ReconnectConfig()
    outbox: OutboxConfig = OutboxConfig()
    connect_timeout: PositiveDuration = 10.0
    ca_file: Name | None = None
    proxy: str | None = None
    drain_timeout: Duration = 0.75

    def __post_init__(self) -> None:
        if not isinstance(url := self.url, str):
            raise SettingsError(f"{type(self).__name__}.url: give a URL as text, got a {type(url).__name__}")
        super().__post_init__()
        for name in ("room", "sender", "after"):
            value = getattr(self, name)
            if value is not None and without_surrogates(value) != value:
                raise SettingsError(
                    f"{type(self).__name__}.{name}: give valid Unicode, without half of a surrogate pair, "
                    f"got {quoted(value)}"
                )
        msgspec.structs.force_setattr(self, "url", Url(str.__str__(url)))
        if self.proxy is not None:
            msgspec.structs.force_setattr(self, "proxy", Url(str.__str__(self.proxy)))
        headers = self.headers
        if not (isinstance(headers, HeaderSource | Mapping) or callable(headers) or headers is None):
            raise SettingsError(
                f"{type(self).__name__}.headers: give a mapping of names to values, or a function that "
                "returns one"
            )
        if not isinstance(headers, HeaderSource):
            msgspec.structs.force_setattr(self, "headers", HeaderSource(headers))
        check_dialect(f"{type(self).__name__}.dialect", self.dialect)
        self._check_url()

    @property
    def dialect_name(self) -> str:
        """The name of the dialect."""
        name: str = getattr(self.dialect, "name", self.dialect)
        return name

    def _check_url(self) -> None:
        check_url(type(self).__name__, self.url, ("http", "https"))

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return names and values to print, without the secrets in a URL."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        return list((values | {"dialect": self.dialect_name}).items())

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"
        )


class WebSocketConfig(TransportConfig, frozen=True):
    """Settings of a WebSocket transport; `url` starts with ws:// or wss://."""

    protocols: tuple[str, ...] = ()
    heartbeat: HeartbeatConfig = HeartbeatConfig()
    max_frame_size: Size = 1 << 20

    def _check_url(self) -> None:
        check_url(type(self).__name__, self.url, ("ws", "wss"))


class HttpConfig(TransportConfig, frozen=True):
    """Settings that the transports over HTTP share; `url` is the server's root. A request times out after
    `request_timeout`."""

    request_timeout: PositiveDuration = 10.0


class SSEConfig(HttpConfig, frozen=True):
    """Settings of the SSE + POST transport.

    The first reconnection delay is 3 s until the server sets it (`retry:`, at least `min_retry`). A stream
    without a byte for `idle_timeout` counts as failed. With `strict_eventsource` every status except 200 is
    final, as in a browser.
    """

    reconnect: ReconnectConfig = ReconnectConfig(base_delay=3.0)
    idle_timeout: PositiveDuration = 45.0
    strict_eventsource: bool = False
    max_event_size: Size = 1 << 20
    min_retry: Duration = 0.1


class ShortPollingConfig(HttpConfig, frozen=True):
    """Settings of the short-polling transport: a request every `interval`, plus U(0, `spread`)."""

    interval: PositiveDuration = 3.0
    spread: Duration = 0.0


class LongPollingConfig(HttpConfig, frozen=True):
    """Settings of the long-polling transport.

    The server holds a poll up to `hold`, and the client waits up to `timeout`. It then polls again at once,
    but at most once per `min_gap`. `error_delay` is the first delay after an error, and replaces
    `reconnect.base_delay`.
    """

    timeout: PositiveDuration = 30.0
    hold: PositiveDuration = 25.0
    error_delay: PositiveDuration = 1.0
    min_gap: Duration = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        reconnect = self.reconnect.replace(base_delay=self.error_delay)
        msgspec.structs.force_setattr(self, "reconnect", reconnect)
