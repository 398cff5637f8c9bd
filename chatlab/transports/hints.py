"""What may be wrong on the way, or where a server and a dialect don't fit, in words that say what to try."""

from __future__ import annotations

import re

from chatlab.settings import LongPollingConfig, TransportConfig, WebSocketConfig
from chatlab.transports.machine import Failure

BREACHES = frozenset({1003, 1007, 1008})
"""Close codes by which a server refuses what it was sent. Source: RFC 6455 §7.4.1."""
NOT_THERE = frozenset({404, 405, 406, 410, 501})
"""Statuses by which a server says that there is nothing of that kind."""
BREAKS = frozenset({1001, 1005, 1006})
"""Close codes of a WebSocket that something on the way has ended."""
GATEWAY = frozenset({502, 504})
"""Statuses by which a proxy gives up a request that its server holds."""
OFTEN = 3
"""Connections in a row that last as long as each other before that is no accident."""
_ALIKE, _ALIKE_SHARE, _SHORTEST = 0.3, 0.05, 0.5
_ENGINE_IO = re.compile(
    r'\{"code":\d,"message":"(Transport unknown|Session ID unknown|Bad handshake method|Bad request|'
    r'Forbidden|Unsupported protocol version)"'
)
"""How Engine.IO, on which Socket.IO stands, refuses a handshake. Source: Engine.IO protocol, revision 4."""
SOCKET_IO = "; the server speaks Socket.IO: the dialect must, too"


def heartbeat_refused(failure: Failure) -> str:
    """Say what may help where a connection ends while a heartbeat in JSON is unanswered.

    A server that doesn't know them refuses them as a breach of its policy.
    """
    if failure.kind == "close" and failure.code in BREACHES:
        return " (right after a heartbeat: try HeartbeatConfig(mode='ping'))"
    return ""


def not_there(failure: Failure, config: TransportConfig, what: str, path: str) -> str:
    """Say what a dialect has asked for in vain, where a server has no such thing."""
    if failure.kind == "http" and failure.code in NOT_THERE:
        return f"; {asked_for(config, what, path)}"
    return ""


def asked_for(config: TransportConfig, what: str, path: str) -> str:
    """Say which dialect has asked for what isn't there, and at which path under the address."""
    where = f" at {path}" if path else ""
    return f"the {config.dialect_name!r} dialect asks for {what}{where}: try another dialect or address"


def no_websocket(failure: Failure, config: TransportConfig, path: str) -> str:
    """Say what may be wrong where a WebSocket's opening handshake is refused.

    A server that asks for an upgrade (426) hasn't seen the one that was asked for.
    """
    if failure.kind != "http":
        return ""
    if failure.code == 426 or (failure.code == 400 and "upgrade" in failure.reason.lower()):
        return (
            "; a proxy on the way drops the header Upgrade: let it pass on WebSockets, use wss://, "
            "or another transport"
        )
    if _ENGINE_IO.search(failure.reason):
        return SOCKET_IO
    return not_there(failure, config, "a WebSocket", path)


def other_protocol(frame: str | bytes) -> str:
    """Say which other protocol a frame is of that the dialect can't read. Source: Engine.IO, revision 4."""
    return SOCKET_IO if isinstance(frame, str) and frame.startswith('0{"sid"') else ""


def held_back(*, acked: bool, opened: bool) -> str:
    """Say why nothing may come of a stream, not even its beginning unless it has `opened`; `acked`: meanwhile
    the server has taken messages."""
    if acked:
        why = "messages are acked and nothing comes back: a proxy holds the stream back"
    elif opened:
        why = "nothing has come since it began: a proxy may hold the stream back"
    else:
        why = "if other requests are answered, a proxy holds the stream back"
    return f"; {why} (buffering); turn that off, or use long polling"


class Lifetimes:
    """How long one transport's connections last that break off: always equally long is no accident."""

    __slots__ = ("_alike", "_last")

    def __init__(self) -> None:
        self._last = 0.0
        self._alike = 0

    def record_lifetime(self, failure: Failure, lasted: float, config: TransportConfig) -> str:
        """Note how long a connection has lasted, in seconds, and how it ended; return what may end them."""
        if not _is_cut(failure):
            return ""
        same = abs(lasted - self._last) <= _ALIKE + _ALIKE_SHARE * lasted
        self._alike = self._alike + 1 if same else 1
        self._last = lasted
        if self._alike < OFTEN or lasted < _SHORTEST:
            return ""
        seconds = f"{round(lasted, 0 if lasted >= 2 else 1):g} s"
        return f"; it always ends after {seconds}: {_cause(lasted, seconds, config)}"


def _is_cut(failure: Failure) -> bool:
    """Whether a connection, or a held poll, ended by what something on the way does."""
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
            return f"a proxy may end what is silent; turn the heartbeat on, with an interval below {seconds}"
        if lasted <= config.heartbeat.interval:
            return f"a proxy may end what is silent; set heartbeat.interval below {seconds}"
    elif isinstance(config, LongPollingConfig):
        if lasted <= config.hold:
            return f"a proxy may not wait for longer; set hold below {seconds}"
    else:
        return "a proxy may end what is silent; raise its time-out, or have the server send keep-alives"
    return "a proxy, or the server, may limit how long a connection lasts"
