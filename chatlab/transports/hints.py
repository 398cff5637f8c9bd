"""Hints for people: likely causes of a failure on the network or between a server and a dialect."""

from __future__ import annotations

import re

from chatlab.settings import LongPollingConfig, TransportConfig, WebSocketConfig
from chatlab.transports.machine import Failure

BREACHES = frozenset({1003, 1007, 1008})
"""Close codes of a server that rejects what it was sent. Source: RFC 6455 §7.4.1."""
NOT_FOUND = frozenset({404, 405, 406, 410, 501})
"""Statuses of a server that has no such resource."""
BREAKS = frozenset({1001, 1005, 1006})
"""Close codes of a WebSocket that an intermediary may have ended."""
GATEWAY = frozenset({502, 504})
"""Statuses of a proxy that gives up on a request that its server holds."""
MIN_REPEATS = 3
"""Number of consecutive connections with about the same lifetime after which a hint is given."""
_ALIKE, _ALIKE_SHARE, _SHORTEST = 0.3, 0.05, 0.5
_ENGINE_IO = re.compile(
    r'\{"code":\d,"message":"(Transport unknown|Session ID unknown|Bad handshake method|Bad request|'
    r'Forbidden|Unsupported protocol version)"'
)
"""Refusal of a handshake by Engine.IO, the base of Socket.IO. Source: Engine.IO protocol, revision 4."""
SOCKET_IO = "socket.io"
"""The dialect of such a server."""


def heartbeat_refused(failure: Failure) -> str:
    """Return a hint if a connection is closed while a JSON heartbeat is unanswered, else "".

    A server that doesn't know such heartbeats closes with a policy violation.
    """
    if failure.kind == "close" and failure.code in BREACHES:
        return " (right after a heartbeat: try HeartbeatConfig(mode='ping'))"
    return ""


def not_found(failure: Failure, config: TransportConfig, what: str, path: str) -> str:
    """Return a hint if the server doesn't have `what` the dialect asks for, else ""."""
    if failure.kind == "http" and failure.code in NOT_FOUND:
        return f"; {asked_for(config, what, path)}"
    return ""


def asked_for(config: TransportConfig, what: str, path: str) -> str:
    """Name the dialect that asks for something missing, and the path below the configured address."""
    where = f" at {path}" if path else ""
    return f"the {config.dialect_name!r} dialect asks for {what}{where}: try another dialect or address"


def no_websocket(failure: Failure, config: TransportConfig, path: str) -> str:
    """Return a hint for a refused WebSocket handshake.

    A server that answers 426 (Upgrade Required) hasn't seen the client's Upgrade header.
    """
    if failure.kind != "http":
        return ""
    if failure.code == 426 or (failure.code == 400 and "upgrade" in failure.reason.lower()):
        return (
            "; a proxy drops the Upgrade header: make it forward WebSockets, or use wss:// "
            "or another transport"
        )
    if _ENGINE_IO.search(failure.reason):
        return _speaks_socket_io(config)
    return not_found(failure, config, "a WebSocket", path)


def other_protocol(frame: str | bytes, config: TransportConfig) -> str:
    """Return a hint if an unreadable frame is of a known other protocol. Source: Engine.IO, revision 4."""
    if isinstance(frame, str) and frame.startswith('0{"sid"'):
        return _speaks_socket_io(config)
    return ""


def _speaks_socket_io(config: TransportConfig) -> str:
    """Return the advice to use the dialect of such a server, unless it is in use."""
    if config.dialect_name == SOCKET_IO:
        return ""
    return f"; the server speaks Socket.IO: use the dialect {SOCKET_IO}"


def buffered_stream(*, acked: bool, opened: bool) -> str:
    """Return a hint for a stream without a byte. `opened`: its header has arrived; `acked`: meanwhile the
    server has accepted messages."""
    if acked:
        why = "messages are acked, but none comes back: a proxy buffers the stream"
    elif opened:
        why = "the stream opened, but nothing followed: a proxy may buffer the stream"
    else:
        why = "if other requests are answered, a proxy buffers the stream"
    return f"; {why}; turn its buffering off, or use long polling"


class Lifetimes:
    """Lifetimes of one transport's broken connections: if all are equal, something limits them."""

    __slots__ = ("_alike", "_last")

    def __init__(self) -> None:
        self._last = 0.0
        self._alike = 0

    def record_lifetime(self, failure: Failure, lasted: float, config: TransportConfig) -> str:
        """Record a connection's lifetime in seconds; return a hint if the latest few were about equal."""
        if not _is_cut(failure):
            return ""
        same = abs(lasted - self._last) <= _ALIKE + _ALIKE_SHARE * lasted
        self._alike = self._alike + 1 if same else 1
        self._last = lasted
        if self._alike < MIN_REPEATS or lasted < _SHORTEST:
            return ""
        seconds = f"{round(lasted, 0 if lasted >= 2 else 1):g} s"
        return f"; it always ends after {seconds}: {_cause(lasted, seconds, config)}"


def _is_cut(failure: Failure) -> bool:
    """Return whether an intermediary may have ended the connection, or the held poll."""
    match failure.kind:
        case "reset":
            return True
        case "close":
            return failure.code in BREAKS
        case "http":
            return failure.code in GATEWAY
        case _:
            return False


def _cause(lasted: float, seconds: str, config: TransportConfig) -> str:
    if isinstance(config, WebSocketConfig):
        if not config.heartbeat.enabled or config.heartbeat.mode == "none":
            return (
                f"a proxy may close idle connections; turn the heartbeat on, with an interval below {seconds}"
            )
        if lasted <= config.heartbeat.interval and config.heartbeat.mode == "server":
            return (
                f"a proxy may close idle connections; let the server send pings at intervals below {seconds}"
            )
        if lasted <= config.heartbeat.interval:
            return f"a proxy may close idle connections; set heartbeat.interval below {seconds}"
    elif isinstance(config, LongPollingConfig):
        if lasted <= config.hold:
            return f"a proxy may time out first; set hold below {seconds}"
    else:
        return "a proxy may close idle connections; raise its time-out, or make the server send keep-alives"
    return "a proxy or the server may limit how long a connection lasts"
