"""A link whose client may have heartbeats pending."""

from __future__ import annotations

from math import inf
from typing import Protocol

from chatlab.settings import HeartbeatConfig
from chatlab.sim.connection import Client
from chatlab.sim.fast.heartbeats.keepalive import PausableKeepalive
from chatlab.sim.fast.order import WatchedLink
from chatlab.sim.path import UNIMPAIRED
from chatlab.transports.machine import Ping, Pong, Received, Send


class PendingClient(Client, Protocol):
    """A client that may have heartbeats `pending`."""

    pending: bool

    def wake(self) -> None:
        """Account for pending heartbeats before another event."""


class ForwardingLink(WatchedLink):
    """A link that wakes its client before the server sends anything."""

    __slots__ = ()
    _client: PendingClient
    _keepalive: PausableKeepalive | None

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

    def ping_client(self) -> None:
        self.wake()  # The server may still ping a link that the client has given up for another one.
        super().ping_client()

    def fail_unanswered(self) -> None:
        self.wake()
        super().fail_unanswered()

    @property
    def undisturbed(self) -> bool:
        """Whether the link works, nothing is under way on it, and the path is unimpaired."""
        path, now = self.path, self._environment.now
        return (
            self.up_to_date
            and self.up.arrives_at <= now
            and self.up.silent_at == self.down.silent_at == inf
            and path.impairment is UNIMPAIRED
        )

    @property
    def gone_at(self) -> float:
        """Time at which the last packet to the server arrives: until then it may still be answered."""
        return max(self.up.arrives_at, self._accepted_at)

    # The server's pings

    def _make_keepalive(self, config: HeartbeatConfig) -> PausableKeepalive:
        return PausableKeepalive(self._environment, config, self)

    @property
    def keepalive(self) -> PausableKeepalive | None:
        """The server's pings; None: it sends none."""
        return self._keepalive

    def keep_alive(self, due_at: float) -> None:
        """Send pings; the next one was due at `due_at`, or will be."""
        assert self._heartbeat is not None
        self._keepalive = self._make_keepalive(self._heartbeat)
        self._keepalive.set_due(due_at)

    # Heartbeats that were pending

    def count(self, up: int, down: int) -> None:
        """Count `up` and `down` bytes."""
        self._traffic.bytes_up += up
        self._traffic.bytes_down += down

    def send_at(self, at: float, size: int) -> float:
        """Send `size` bytes at a time that has passed; return when they arrive."""
        self._traffic.bytes_up += size
        return self.up.send(at, size, self.path.up, self.down.delay)

    def reply_at(self, at: float, size: int) -> float:
        """Send `size` bytes to the client at a time that has passed; return when they arrive."""
        self._traffic.bytes_down += size
        return self.down.send(at, size, self.path.down, self.up.delay)

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

    def deliver_server_ping(self, at: float) -> None:
        """Deliver a ping of the server that is under way."""
        self._environment.call_at(at, self._take_server_ping)

    def deliver_client_pong(self, at: float) -> None:
        """Deliver the answer to a ping of the server that is under way."""
        self._environment.call_at(at, self._take_client_pong)
