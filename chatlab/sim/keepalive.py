"""The pings by which the server finds out that a WebSocket is dead.

    open, pong     ──▶ the next ping is due `interval` after the latest one, or after the opening
    no pong        ──▶ within `timeout`: the server closes the connection (1011)

Source: uvicorn, which sends Ping frames (RFC 6455 §5.5.2) with four bytes each.
"""

from __future__ import annotations

from math import inf
from typing import Protocol

from chatlab.settings import HeartbeatConfig
from chatlab.sim.alarm import Alarm
from chatlab.sim.environment import LadderEnvironment

PAYLOAD = "ping"
"""The payload of a ping: four bytes, as uvicorn sends."""
CODE, REASON = 1011, "keepalive ping timeout"
"""The close frame of a connection whose ping isn't answered."""


class PingedLink(Protocol):
    """The server's end of a WebSocket. A `mute` one sends no pings."""

    @property
    def server_open(self) -> bool:
        """Whether the server has it."""

    @property
    def mute(self) -> bool:
        """Whether a fault keeps it from sending pings."""

    def ping_client(self) -> None:
        """Send a ping."""

    def fail_unanswered(self) -> None:
        """Close it, as its ping wasn't answered."""


class Keepalive:
    """The server's pings on one link, which opens now."""

    __slots__ = ("_alarm", "_config", "_environment", "_link", "_sent_at")

    def __init__(self, environment: LadderEnvironment, config: HeartbeatConfig, link: PingedLink) -> None:
        self._environment = environment
        self._config = config
        self._link = link
        self._sent_at = inf  # No ping is unanswered.
        self._alarm = Alarm(environment, self._ring)
        self._wait(0.0)

    def take_pong(self) -> None:
        """Take the answer to a ping."""
        if self._sent_at < inf:
            round_trip, self._sent_at = self._environment.now - self._sent_at, inf
            self._wait(round_trip)

    def stop(self) -> None:
        """Send no more pings."""
        self._alarm.cancel()

    def _wait(self, round_trip: float) -> None:
        """Set the alarm for the next ping. The sum is uvicorn's, so that it is rounded alike."""
        self._alarm.set(self._environment.now + max(0.0, self._config.interval - round_trip))

    def _ring(self) -> None:
        if not self._link.server_open:
            return
        if self._sent_at < inf:
            self._link.fail_unanswered()
        elif self._link.mute:
            self._wait(0.0)
        else:
            self._sent_at = self._environment.now
            self._alarm.set(self._environment.now + self._config.timeout)
            self._link.ping_client()
