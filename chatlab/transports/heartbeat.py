"""Heartbeats, which detect a dead connection.

A numbered ping goes out every `interval`. Any incoming frame answers it; a pong with its number also measures
the round-trip time. A ping that stays unanswered for `timeout`, or until the next ping is due, ends the
connection:

    beat:     no ping unanswered        -> send ping n, expect a frame until now + timeout
              the last ping unanswered  -> dead, "Heartbeat timeout"
    timeout:  the ping unanswered       -> dead, "Pong timeout"

If the server sends the pings, any incoming frame or ping counts, and silence for `interval` and `timeout`
together ends the connection: "Heartbeat timeout". A server's greeting may state both.

Departs from the seed, whose timers are shared by all connections: after one stall, every later connection is
closed at its first beat. Here each connection has a heartbeat of its own.
"""

from __future__ import annotations

from math import inf

from chatlab.settings import AnyConfig, FallbackConfig, HeartbeatConfig, WebSocketConfig


def server_heartbeat(config: AnyConfig) -> HeartbeatConfig | None:
    """Return the heartbeat of the server for a client with these settings: that of its first WebSocket whose
    server sends pings; None: it sends none."""
    transports = config.transports if isinstance(config, FallbackConfig) else (config,)
    for transport in transports:
        if isinstance(transport, WebSocketConfig) and transport.heartbeat.by_server:
            return transport.heartbeat
    return None


class Heartbeat:
    """The heartbeat of a connection that opened at `now`."""

    __slots__ = ("_beat_at", "_config", "_due_at", "_ping", "_sent_at", "deadline")

    def __init__(self, config: HeartbeatConfig, now: float) -> None:
        self._config = config
        self._beat_at = now + config.interval
        self._due_at = inf
        self._ping = 0
        self._sent_at = -inf
        self.deadline = self._beat_at

    def tick(self, now: float) -> int | str | None:
        """Return the number of the ping to send now, or the reason why the connection is dead, or None."""
        if now >= self._beat_at and self._beat_at <= self._due_at:
            if self._due_at < inf:
                return "Heartbeat timeout"
            self._ping += 1
            self._sent_at = now
            self._due_at = now + self._config.timeout
            self._beat_at = now + self._config.interval
            self.deadline = min(self._beat_at, self._due_at)
            return self._ping
        if now >= self._due_at:
            return "Pong timeout"
        return None

    def beat_now(self, now: float) -> None:
        """Make the next beat due now, unless a ping is unanswered."""
        if not self.open:
            self.deadline = self._beat_at = min(self._beat_at, now)

    @property
    def open(self) -> bool:
        """Whether a ping is unanswered."""
        return self._due_at < inf

    def activity(self, now: float) -> None:
        """Record incoming data, which answers the ping."""
        self._due_at = inf
        self.deadline = self._beat_at

    def pong(self, ping: int, now: float) -> float | None:
        """Return the round-trip time in seconds if this is the first pong for the latest ping, else None."""
        if ping != self._ping or self._sent_at == -inf:
            return None
        rtt = now - self._sent_at
        self._sent_at = -inf
        return rtt


LONGEST = 86_400.0
"""Maximum seconds that a server may state for a heartbeat."""


def _stated(seconds: float | None, default: float) -> float:
    return seconds if seconds is not None and 0 < seconds <= LONGEST else default


def agreed(interval: float | None, timeout: float | None) -> float | None:
    """Return the silence in seconds that a server's greeting allows; None: it doesn't state both parts."""
    allowed = _stated(interval, inf) + _stated(timeout, inf)
    return allowed if allowed < inf else None


class Silence:
    """The client's part in a heartbeat of the server, for a connection that opened at `now`."""

    __slots__ = ("_allowed", "_config", "deadline")
    open = False

    def __init__(self, config: HeartbeatConfig, now: float) -> None:
        self._config = config
        self._allowed = config.interval + config.timeout
        self.deadline = now + self._allowed

    def agree(self, interval: float | None, timeout: float | None, now: float) -> None:
        """Use the server's interval and timeout in seconds instead of the settings'; None: that of the
        settings. A value outside of 0 to `LONGEST` is ignored."""
        self._allowed = _stated(interval, self._config.interval) + _stated(timeout, self._config.timeout)
        self.deadline = now + self._allowed

    def tick(self, now: float) -> str | None:
        """Return the reason why the connection is dead, or None."""
        return "Heartbeat timeout" if now >= self.deadline else None

    def beat_now(self, now: float) -> None:
        """Change nothing: the client sends no pings."""

    def activity(self, now: float) -> None:
        """Record incoming data."""
        self.deadline = now + self._allowed

    def pong(self, ping: int, now: float) -> float | None:
        """Return None, as no ping was sent."""
        return None
