"""Settings of transports: frozen, validated when made, with the seed's defaults. Durations are seconds."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Self, get_args, get_origin
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from chatlab.errors import SettingsError

Count = Annotated[int, Meta(ge=0)]
Size = Annotated[int, Meta(ge=1)]
Duration = Annotated[float, Meta(ge=0, le=1e9)]
PositiveDuration = Annotated[float, Meta(gt=0, le=1e9)]
Jitter = Literal["seed", "none", "proportional", "equal", "full", "decorrelated"]
Overflow = Literal["drop-oldest", "drop-newest", "reject", "wait"]
HeartbeatMode = Literal["json", "ping", "none"]
Verdict = Literal["retry", "give up", "stop"]
FailureKey = Annotated[
    str, Meta(pattern=r"^((close|http)( \d{3,4})?|refused|dns|timeout|reset|tls|protocol)$")
]
Name = Annotated[str, Meta(min_length=1, max_length=200)]

JITTERS: tuple[str, ...] = get_args(Jitter)
OVERFLOWS: tuple[str, ...] = get_args(Overflow)


class Settings(Struct, frozen=True, kw_only=True):
    """Settings that check themselves against their own annotations.

    Errors: `SettingsError` naming the class, the field and what it may be.
    """

    def __post_init__(self) -> None:
        for field in msgspec.structs.fields(type(self)):
            try:
                value = msgspec.convert(getattr(self, field.name), field.type)
            except msgspec.ValidationError as error:
                wanted = choices_of(field.type)
                what = f"choose one of {', '.join(wanted)}" if wanted else str(error)
                raise SettingsError(
                    f"{type(self).__name__}.{field.name}: {what}, got {getattr(self, field.name)!r}"
                ) from None
            msgspec.structs.force_setattr(self, field.name, value)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed."""
        return msgspec.structs.replace(self, **changes)


def choices_of(annotation: Any) -> tuple[str, ...]:
    """Return the strings that a field may be, where its annotation lists them."""
    if get_origin(annotation) is Literal:
        return tuple(map(str, get_args(annotation)))
    return tuple(choice for part in get_args(annotation) for choice in choices_of(part))


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


class HeaderSource:
    """Extra request headers, made anew for each attempt where the user gave a function; never printed."""

    __slots__ = ("_source", "_takes_failure", "renewable")

    def __init__(self, source: Mapping[str, str] | Callable[..., Any] | None) -> None:
        self._source = source
        self.renewable = callable(source)
        self._takes_failure = callable(source) and _takes_argument(source)

    def __call__(self, failure: Any = None) -> Any:
        """Return the headers as a mapping, or what can be awaited for one.

        `failure` is the refusal that a renewed token should mend, if any; it is passed on to a function that
        takes an argument.
        """
        source = self._source
        if not callable(source):
            return source or {}
        return source(failure) if self._takes_failure else source()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HeaderSource) and self._source == other._source

    __hash__ = None  # type: ignore[assignment]  # a mapping may be inside

    def __repr__(self) -> str:
        return "HeaderSource(none)" if self._source is None else "HeaderSource(hidden)"


def _takes_argument(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return False
    return True


class TransportConfig(Settings, frozen=True):
    """What every transport needs to know.

    `history` is how many of the room's latest messages a first connection asks for (None: all); with `after`,
    the id of a message that another transport has received, it asks for what came after that. `headers` is
    a mapping, or a function called before each attempt with the failure that a renewed token should mend, or
    None. `failures` overrides the failure table: keys such as `"close 4429"`, `"http 404"`, `"tls"`.
    """

    url: str
    room: Name = "lobby"
    sender: Name = "guest"
    dialect: Name = "chatlab"
    history: Count | None = 50
    after: Annotated[str, Meta(min_length=1)] | None = None
    headers: Any = None
    failures: dict[FailureKey, Verdict] = {}
    reconnect: ReconnectConfig = ReconnectConfig()
    outbox: OutboxConfig = OutboxConfig()
    connect_timeout: PositiveDuration = 10.0
    drain_timeout: Duration = 0.75

    def __post_init__(self) -> None:
        super().__post_init__()
        headers = self.headers
        if not (isinstance(headers, HeaderSource | Mapping) or callable(headers) or headers is None):
            raise SettingsError(
                f"{type(self).__name__}.headers: give a mapping of names to values, or a function that "
                "returns one"
            )
        if not isinstance(headers, HeaderSource):
            msgspec.structs.force_setattr(self, "headers", HeaderSource(headers))
        self._check_url()

    def _check_url(self) -> None:
        check_url(type(self).__name__, self.url, ("http", "https"))

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return names and values to print, without the secrets that a URL may hold."""
        values = ((name, getattr(self, name)) for name in self.__struct_fields__)
        return [(name, redacted(value) if name == "url" else value) for name, value in values]

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
    """What the transports over HTTP have in common; `url` is the server's root. A request is answered within
    `request_timeout`."""

    request_timeout: PositiveDuration = 10.0


class SSEConfig(HttpConfig, frozen=True):
    """Settings of the SSE + POST transport.

    The first delay before a reconnection is 3 s until the server says otherwise (`retry:`, taken as at least
    `min_retry`). A stream without a byte for `idle_timeout` is given up. With `strict_eventsource` every
    status but 200 is final, as in a browser.
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

    The server holds a request up to `hold`, the client waits up to `timeout` and asks again at once, but not
    within `min_gap` of asking before. `error_delay` is the first delay after an error, and takes the place of
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


class FallbackConfig(Settings, frozen=True):
    """Settings of a fallback transport: the best transport first.

    One that can't get a working connection in `attempts_per_transport` tries makes way for the next. A
    better one is tried again beside the working one every `upgrade_after`. When none works, they are gone
    through again, as the first one's `reconnect` says; the outbox is also the first one's. All must have the
    same room, sender and dialect.
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
        if len({(config.room, config.sender, config.dialect) for config in self.transports}) > 1:
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
    def dialect(self) -> str:
        """The dialect of all transports."""
        return self.first.dialect

    @property
    def history(self) -> int | None:
        """How many of the latest messages the first transport asks for."""
        return self.first.history

    @property
    def after(self) -> str | None:
        """The message after which all transports begin."""
        return self.first.after

    @property
    def connect_timeout(self) -> float:
        """How long the first transport takes to connect at most."""
        return self.first.connect_timeout

    @property
    def outbox(self) -> OutboxConfig:
        """The one outbox of all transports."""
        return self.first.outbox

    @property
    def drain_timeout(self) -> float:
        """The longest of all transports."""
        longest: float = max(config.drain_timeout for config in self.transports)
        return longest

    @property
    def reconnect(self) -> ReconnectConfig:
        """How they are gone through again when none works, as attempts of one transport."""
        return self.first.reconnect


AnyConfig = TransportConfig | FallbackConfig


def check_url(owner: str, url: str, schemes: tuple[str, str]) -> None:
    """Check that a URL is absolute, names a host and a sane port, and has one of two schemes.

    Errors: `SettingsError`, with the likely correction.
    """
    shown = redacted(url)
    problem = ""
    try:
        parts = urlsplit(url)
        if parts.scheme not in schemes:
            problem = f"starts with {schemes[0]}:// or {schemes[1]}://"
        elif not parts.hostname:
            problem = "names a host"
        elif parts.port == 0:
            problem = "has a port from 1 to 65535"
        elif not url.isprintable() or " " in url or parts.fragment:
            problem = "has no spaces, control characters or #fragment"
    except ValueError as error:
        problem = f"is a valid URL ({error})"
    if problem:
        raise SettingsError(
            f"{owner}.url: give a URL that {problem}, such as {schemes[0]}://127.0.0.1:8000/, got {shown!r}"
        )


_SECRET_WORDS = ("token", "key", "secret", "auth", "pass", "session", "signature", "credential")


def redacted(url: str) -> str:
    """Return the URL with user names, passwords and secret-looking query values replaced by `***`."""
    head, mark, query = url.partition("?")
    scheme, slashes, rest = head.partition("//")
    authority, slash, path = rest.partition("/")
    if "@" in authority:
        authority = "***@" + authority.rpartition("@")[2]
    pairs = []
    for pair in query.split("&"):
        name, equals, value = pair.partition("=")
        secret = value and any(word in name.lower() for word in _SECRET_WORDS)
        pairs.append(name + equals + ("***" if secret else value))
    return scheme + slashes + authority + slash + path + mark + "&".join(pairs)
