"""The opening of a simulated TCP connection: SYN, SYN-ACK, a place in the accept queue, TLS.

If few connections are accepted a second, the handshake's last ACK takes the place in the accept queue. It
travels with the client's first bytes, which the server ignores as long as the queue is full. The client sends
them again. The server repeats its SYN-ACK, too, and the ACK by which the client answers may take the place.

Source: RFC 9293 §3.5, §3.10.7.1 (reset by a closed port); RFC 8446 §2; Linux, `tcp_abort_on_overflow` 0.
"""

from __future__ import annotations

import asyncio
import errno
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from math import inf
from typing import Protocol

from chatlab.sim.capacity import QueueOverflow
from chatlab.sim.endpoint import Endpoint, Mark
from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.opening import SYN_ACK_TIMES, Backlog, SynReceived
from chatlab.sim.path import Path
from chatlab.sim.simulated_socket import Address
from chatlab.sim.tcp_handshake import HandshakePacket
from chatlab.sim.tcp_sender import TcpDirection, WireLine


class Listener(Backlog, Protocol):
    """The listener that accepts connections to an address."""

    @property
    def overflow(self) -> QueueOverflow:
        """The treatment of connections if its accept queue is full."""

    @property
    def is_full(self) -> bool:
        """Whether its accept queue is full."""

    def keep(self, connection: Opening) -> None:
        """Keep a connection that has no place in the accept queue."""

    def admit(self, connection: Opening) -> float | None:
        """Put a connection into the accept queue; return when it is accepted; None: it is refused."""

    def accept(self, connection: Opening) -> None:
        """Accept the connection: make a protocol for its server end."""


class Opening(ABC):
    """A connection, as far as its opening goes.

    `opened` is done when the client may send. `overflowed`: a proxy has accepted it, as the accept queue was
    full, and answers its requests with 503.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        environment: LadderEnvironment,
        path: Path,
        lines: tuple[WireLine, WireLine],
        ends: tuple[Address, Address],
        find_listener: Callable[[Address], Listener | None],
        *,
        number: int,
        tls: bool,
        never_ready: int,
    ) -> None:
        self.number = number
        self.path = path
        self.opened: asyncio.Future[None] = loop.create_future()
        self.overflowed = False
        self._environment = environment
        self._find_listener = find_listener
        self._tls = tls
        self._accepted_at = inf
        self._handshake = SynReceived()
        self._answered = False  # The client has had the SYN-ACK.
        self._client_hello_waits = False  # The ClientHello waits to be read.
        self.up = TcpDirection(environment, path, lines[0], path.up, path.lose_up)
        self.down = TcpDirection(environment, path, lines[1], path.down, path.lose_down)
        self.up.opposite, self.down.opposite = self.down, self.up
        client, server = ends
        self.client = Endpoint(loop, self, client, server, never_ready)
        self.server = Endpoint(loop, self, server, client, never_ready)
        self.up.give_up, self.down.give_up = self._give_up, self.server.time_out

    @abstractmethod
    def carry(self, sender: Endpoint, item: bytes | Mark) -> None:
        """Carry bytes, or their end, from one end to the other."""

    @abstractmethod
    def other(self, end: Endpoint) -> Endpoint:
        """Return the other end of `end`."""

    @abstractmethod
    def lose(self, end: Endpoint) -> None:
        """Note that an end has closed its socket."""

    @abstractmethod
    def adapt(self) -> None:
        """Apply the changes of the path's impairments."""

    # SYN and SYN-ACK

    def connect(self) -> None:
        """Send the SYN."""
        self._syn = HandshakePacket(
            self.up, self._take_syn, self._wants_syn, is_syn=True, give_up=self._give_up
        )
        self._syn.send()

    def _give_up(self) -> None:
        """End it at the client, whose TCP has waited for an ack for too long."""
        if self.opened.done():
            self.client.time_out()
        elif not self.client.gone:
            self._fail(TimeoutError(errno.ETIMEDOUT, "Connect call failed"))

    def _wants_syn(self) -> bool:
        """Return whether the client still connects."""
        if self.client.gone:
            self.server.vanish()
        return not self.client.gone

    def _take_syn(self) -> None:
        listener = None if self.path.refusing else self._find_listener(self.server.address)
        if listener is None:
            self._refuse_syn()
        elif listener.overflow != "drop":
            self._admit(listener)
        elif listener.is_full:
            self._syn.send()
        else:
            listener.keep(self)
            self.up.admit = partial(self._complete, listener)
            self._answer(self._take_syn_ack)
            if self._handshake.begin(listener):
                for wait in SYN_ACK_TIMES:
                    self._environment.call_at(self._syn_ack.first_at + wait, self._repeat_syn_ack, listener)

    def _admit(self, listener: Listener) -> None:
        """Take a place in the accept queue for the SYN."""
        accepted_at = listener.admit(self)
        if accepted_at is None and listener.overflow == "503":
            self.overflowed, accepted_at = True, self._environment.now
            listener.keep(self)
        if accepted_at is None:
            self._refuse_syn()
        else:
            self._await_accept(listener, accepted_at)
            self._answer(self._take_syn_ack)
            self.adapt()

    def _refuse_syn(self) -> None:
        self.server.vanish()
        self._answer(self._refuse)

    def _await_accept(self, listener: Listener, accepted_at: float) -> None:
        self._accepted_at = accepted_at
        self._environment.call_at(accepted_at, self._accept, listener)

    def _answer(self, take: Callable[[], None]) -> None:
        self._syn_ack = HandshakePacket(self.down, take)
        self._syn_ack.send()

    def _complete(self, listener: Listener) -> bool:
        """Take a place in the accept queue for the handshake's last ACK; return whether bytes are read."""
        if self.is_syn_received:
            accepted_at = listener.admit(self)
            if accepted_at is None:
                return False
            self._handshake.end()
            self._await_accept(listener, accepted_at)
            self.adapt()
        return True

    def _repeat_syn_ack(self, listener: Listener) -> None:
        """Send the SYN-ACK again, which the client answers with an ACK, unless the handshake is complete."""
        if self._answered and self.is_syn_received and self._gets_through():
            self.down.pass_by(self._environment.now + self.down.latency, partial(self._send_ack, listener))

    def _send_ack(self, listener: Listener) -> None:
        if self._gets_through():
            self.up.pass_by(self._environment.now + self.up.latency, partial(self._take_ack, listener))

    def _take_ack(self, listener: Listener) -> None:
        self._complete(listener)
        self._reject_if_forgotten()

    @property
    def is_syn_received(self) -> bool:
        """Whether the server waits for the handshake's last ACK."""
        return self._handshake.is_kept and self._accepted_at == inf and not self.server.gone

    def _gets_through(self) -> bool:
        return self.path.loss_at(self._environment.now) < 1

    def _reject_if_forgotten(self) -> None:
        """Reset the client of a handshake that a stopped server has forgotten."""
        if self._handshake.is_forgotten:
            self.carry(self.server, Mark.RST)

    def abort_handshake(self, take: Callable[[], None]) -> None:
        """Send an RST to the server, which doesn't queue behind bytes that it ignores."""

        def abort() -> None:
            self._handshake.end()
            take()

        self.up.admit = None
        if self.up.is_waiting:
            self.up.arrive(self._environment.now + self.up.latency, abort)
        else:
            self.up.send(abort)

    def _refuse(self) -> None:
        self._fail(ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed"))

    def _take_syn_ack(self) -> None:
        self._answered = True
        # Sums of latencies: differences of times are rounded, and lead to other orders at one instant.
        self.up.round_trips.take(self._syn.latency + self._syn_ack.waited + self._syn_ack.latency)
        self.down.round_trips.take(self._syn_ack.latency + self.up.latency)
        if self.opened.cancelled():
            self.carry(self.client, Mark.RST)
        elif self.client.gone:
            pass  # It was reset meanwhile.
        elif self._tls:  # The ClientHello.
            self.up.send(self._take_client_hello, delay=self.path.connect)
        else:
            self._open()

    def _accept(self, listener: Listener) -> None:
        if self._client_hello_waits:
            self._take_client_hello()  # Before anything that came behind it.
        listener.accept(self)

    def _take_client_hello(self) -> None:
        if self.server.gone:
            self._reject_if_forgotten()
            return
        self._client_hello_waits = self._accepted_at > self._environment.now
        if not self._client_hello_waits:
            self.down.send(self._open, delay=self.path.connect)

    def _open(self) -> None:
        if not self.opened.done():
            self.opened.set_result(None)

    def reset_unaccepted(self) -> None:
        """Reset it if it is in the accept queue, and forget its handshake: its listener has closed."""
        if self.is_syn_received:
            self._handshake.forget()
            self._handshake.end()
            self.server.vanish()
        elif self._accepted_at < inf and not self.server.started:
            self.carry(self.server, Mark.RST)
            self.server.vanish()

    def _fail(self, error: OSError) -> None:
        self.client.vanish()
        if not self.opened.done():
            self.opened.set_exception(error)

    def abandon(self) -> None:
        """Close the client's end: the opening was cancelled."""
        self.opened.cancel()
        self.client.vanish()
        if self._answered:
            self.carry(self.client, Mark.FIN)
