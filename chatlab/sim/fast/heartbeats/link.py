"""A link whose client may have heartbeats pending."""

from __future__ import annotations

from math import inf
from typing import Protocol

from chatlab.sim.network import Client, Link
from chatlab.sim.path import UNIMPAIRED
from chatlab.transports.machine import Ping, Pong, Received, Send


class PendingClient(Client, Protocol):
    """A client that may have heartbeats `pending`."""

    pending: bool

    def wake(self) -> None:
        """Account for pending heartbeats before another event."""


class ForwardingLink(Link):
    """A link that wakes its client before the server sends anything."""

    __slots__ = ()
    _client: PendingClient

    def wake(self) -> None:
        """Account for pending heartbeats of the client."""
        if self._client.pending:
            self._client.wake()

    def reply(self, frame: str | bytes, size: int) -> None:
        if self._client.pending:
            self._client.wake()
        super().reply(frame, size)

    def server_close(self, code: int, reason: str) -> None:
        if self._client.pending:
            self._client.wake()
        super().server_close(code, reason)

    @property
    def undisturbed(self) -> bool:
        """Whether the link works, nothing is under way on it, and the path is unimpaired."""
        path, now = self.path, self._environment.now
        return (
            self.quiet
            and self.up.arrives_at <= now
            and self.up.silent_at == self.down.silent_at == inf
            and path.impairment is UNIMPAIRED
        )

    @property
    def gone_at(self) -> float:
        """Time at which the last packet to the server arrives: until then it may still be answered."""
        return max(self.up.arrives_at, self._accepted_at)

    # Heartbeats that were pending

    def count(self, up: int, down: int) -> None:
        """Count `up` and `down` bytes."""
        self._traffic.bytes_up += up
        self._traffic.bytes_down += down

    def send_at(self, at: float, size: int) -> float:
        """Send `size` bytes at a time that has passed; return when they arrive."""
        self._traffic.bytes_up += size
        self.up.sent_at, self.up.delay = at, self.path.up()
        self.up.arrives_at = max(at + self.up.delay, self.up.arrives_at)
        return self.up.arrives_at

    def reply_at(self, at: float, size: int) -> float:
        """Send `size` bytes to the client at a time that has passed; return when they arrive."""
        self._traffic.bytes_down += size
        self.down.sent_at, self.down.delay = at, self.path.down()
        self.down.arrives_at = max(at + self.down.delay, self.down.arrives_at)
        return self.down.arrives_at

    def deliver_ping(self, at: float, ping: Ping | Send) -> None:
        """Deliver a heartbeat that is under way to the server."""
        if isinstance(ping, Ping):
            self._environment.call_at(at, self._take_ping, ping.id)
        else:
            self._environment.call_at(at, self._take_frame, ping.data)

    def deliver_pong(self, at: float, pong: Pong | Received) -> None:
        """Deliver the answer to a heartbeat that is under way."""
        if isinstance(pong, Pong):
            self._environment.call_at(at, self._take_pong, pong.id)
        else:
            self._environment.call_at(at, self._take_reply, pong.data)
