"""A model of TCP between a client and the server: a connection, and every way to end it.

`chatlab.sim.duplex` has the bytes of both directions, and `chatlab.sim.handshaking` the opening. All
connections of a client share the bandwidth of its line. Lost packets are sent again, and many bytes at once
leave in the windows of slow start (`chatlab.sim.sender`).

Source: RFC 9293 §3.6 (closing).
"""

from __future__ import annotations

from abc import abstractmethod
from math import inf
from typing import Protocol

from chatlab.sim.alarm import Alarm
from chatlab.sim.blocking import BlockableTransport
from chatlab.sim.duplex import Traffic
from chatlab.sim.handshaking import HandshakingConnection
from chatlab.sim.path import Path
from chatlab.transports.machine import Answered, Closed, Event


class Host(Protocol):
    """The server's end of all connections."""

    def route(self, connection: Connection) -> None:
        """Set the connection's node. Leave `node` None if no node is up."""

    def accept(self, connection: Connection) -> float | None:
        """Put a connection into its node's accept queue; return when it is accepted; None: there is no
        room."""

    def on_peer_closed(self, connection: Connection) -> None:
        """Handle the end of the client's side."""


class Client(Protocol):
    """The client's end of a link or a request."""

    def handle(self, event: Event) -> None:
        """Handle an event."""

    def lose(self, event: Closed | Answered) -> None:
        """Handle the end of a link, a failure to open one, or the answer to a request."""


class Connection(HandshakingConnection):
    """One TCP connection, from its first packet on. `number` is the server's number for it."""

    __slots__ = ("_ends_at", "_host", "_idle", "_reset_arrives_at", "_reset_comes_alone", "number")

    def __init__(self, traffic: Traffic, host: Host, path: Path) -> None:
        super().__init__(traffic, path)
        self._host = host
        self._idle: Alarm | None = None
        self._reset_arrives_at = inf  # When a reset reaches the server.
        self._reset_comes_alone = False  # Not right behind bytes.
        self._ends_at = inf  # When the server's end reaches the client.
        self.number = 0

    def _route(self) -> None:
        self._host.route(self)

    def _enter_accept_queue(self) -> float | None:
        return self._host.accept(self)

    @property
    def _reset_arrived(self) -> bool:
        """Whether a reset has arrived, so the server can't send any more.

        The server may still be reading the bytes right before the reset.
        """
        now = self._environment.now
        return now >= self._reset_arrives_at and now < self.up.silent_at

    @property
    def _sends_no_news(self) -> bool:
        """Whether the server can't send other people's messages any more.

        At the instant at which a reset arrives alone, it still can: it hasn't read the reset yet.
        """
        return self._reset_arrived and not (
            self._reset_comes_alone and self._environment.now == self._reset_arrives_at
        )

    @abstractmethod
    def reply(self, frame: str | bytes, size: int) -> None:
        """Send a frame to the client; `size` is its size on a WebSocket, header included."""

    # Ends

    @abstractmethod
    def _on_server_closed(self, reset: bool) -> None:
        """Handle the end of the server's bytes, or a `reset`, at the client."""

    def client_close(self) -> None:
        """Close it at the client, which gets no further event."""
        self.client_open = False
        if self._answered:  # Otherwise the server keeps it until its SYN-ACK is answered.
            self._environment.call_at(self._up_behind(), self._take_end)

    def _take_end(self) -> None:
        if not self._up_silent:  # Bytes before it are read first.
            self._once_accepted(self._on_client_closed)

    def _take_reset(self) -> None:
        if not self._up_silent:
            self._end_handshake()
            self._on_client_closed()

    def _on_client_closed(self) -> None:
        """Handle the end of the client's side, at the server."""
        if self.server_open:
            self.server_open = False
            self._host.on_peer_closed(self)

    def abort(self) -> None:
        """Close it at the server without a close frame, as when the process dies."""
        self.server_open = False
        self._send_end(reset=self._accepted_at > self._environment.now)

    def _send_end(self, reset: bool) -> None:
        self._ends_at = self._down_behind()
        self._environment.call_at(self._ends_at, self._on_server_closed, reset)

    def _send_reset(self) -> None:
        self._reset_arrives_at = self._up_behind()
        self._environment.call_at(self._reset_arrives_at, self._take_reset)

    def server_close(self, code: int, reason: str) -> None:
        """Close it at the server, with a close frame if the protocol has one."""
        self.abort()

    def reset(self) -> None:
        """Reset it as a middlebox does: each side gets an RST."""
        self._send_end(reset=True)
        bytes_come_at = self.up.arrives_at
        self._send_reset()
        self._reset_comes_alone = self._reset_arrives_at > bytes_come_at

    def forget(self) -> None:
        """Drop all references at the end of the run."""
        self._drop_alarm()

    # Proxies

    def _is_blocked(self, transport: BlockableTransport | None, size: int) -> bool:
        """Pass a request of `size` bytes by a proxy that may block it; return whether it has gone no further.

        If it is swallowed, it leaves all the same, and is dropped on its way.
        """
        blocked = self.path.impairment.blocked
        how = blocked.get(transport) if blocked and transport is not None else None
        if how == "swallow":
            self.silence(self._environment.now, ("up", "down"))
        elif how == "reset":
            self._traffic.bytes_up += size
            self.reset()
            return True
        return False

    def adapt(self) -> None:
        """Apply the changes of the path's impairments."""
        timeout = self.path.impairment.idle_timeout
        if timeout < inf:
            self._idle = self._idle or Alarm(self._environment, self._check_idle)
            self._idle.set(max(self._environment.now, self._used_at + timeout))
        else:
            self._drop_alarm()

    @property
    def _used_at(self) -> float:
        """Time at which the last byte has arrived or will arrive."""
        return max(self.up.arrives_at, self.down.arrives_at)

    def _check_idle(self) -> None:
        if not (self.client_open and self.server_open):
            self._drop_alarm()
            return
        due_at = self._used_at + self.path.impairment.idle_timeout
        if due_at > self._environment.now:
            self.adapt()
        else:
            self._drop_alarm()
            self.reset()

    def _drop_alarm(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
