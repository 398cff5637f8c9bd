"""TCP connections between asyncio protocols on simulated time, byte for byte.

It simulates this (d is the one-way latency, drawn anew for all bytes sent at one instant):

    client ── SYN ──────────▶ server    d: a place in the accept queue, or a reset: refused after 2d
           ◀────── SYN-ACK ──           2d: connected, or
           ── ClientHello ──▶           3d: with TLS 1.3, once the server has accepted it,
           ◀── ServerHello ──           4d: connected

Bytes leave a person's line one after the other, arrive in order, and are counted when they leave. FIN and RST
queue behind them. Loss, retransmission and slow start are those of `tcp_sender` and `tcp_handshake`. Data for
a closed socket is answered with RST; so is a close with unread data. Bytes beyond the kernels' buffers wait
in the transport, whose protocol is paused. A connection may drop all packets, be reset by a middlebox, or
pass a proxy that resets it when idle or buffers event streams. TLS's own bytes aren't simulated, as in the
model.

This is deliberately not the model's `Connection` with bytes in it. Both have only the `Path` in common, so
each is an independent check of the other.

Source: RFC 9293 §3.5, §3.6 (opening, closing), §3.10.7.1 (reset by a closed port); RFC 8446 §2.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from typing import Protocol, TypeGuard

from chatlab.sim.alarm import Alarm
from chatlab.sim.endpoint import Address, Endpoint, Mark
from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.path import Direction, Path
from chatlab.sim.tcp_handshake import HandshakePacket
from chatlab.sim.tcp_sender import Lane, Line

GIVE_UP = 924.6
"""Seconds without an ack after which TCP ends a connection. Source: Linux, `tcp_retries2`."""


def begins_request(item: bytes | Mark | None) -> bool:
    """Return whether a client's bytes begin an HTTP request or a WebSocket's upgrade request."""
    return isinstance(item, bytes) and item.startswith((b"GET /", b"POST /"))


class Listener(Protocol):
    """The listener that accepts connections to an address."""

    def admit(self, connection: TcpConnection) -> float | None:
        """Put a connection into the accept queue; return when it is accepted; None: it is refused."""

    def accept(self, connection: TcpConnection) -> None:
        """Accept the connection: make a protocol for its server end."""


class TcpConnection:
    """One connection: its two ends, and what is under way between them.

    `opened` is done when the client may send. `requests` counts the client's requests. `on_gone` is called
    when both ends have closed their sockets.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        environment: LadderEnvironment,
        path: Path,
        lines: tuple[Line, Line],
        ends: tuple[Address, Address],
        find_listener: Callable[[Address], Listener | None],
        on_gone: Callable[[TcpConnection], None],
        *,
        number: int,
        tls: bool,
        quiet: int,
    ) -> None:
        self.number = number
        self.requests = 0
        self.path = path
        self.opened: asyncio.Future[None] = loop.create_future()
        self._environment = environment
        self._find_listener = find_listener
        self._on_gone = on_gone
        self._tls = tls
        self._accepted_at = inf
        self._answered = False  # The client has had the SYN-ACK.
        self._greeted = False  # The ClientHello waits to be read.
        self._idle = Alarm(environment, self._check_idle)
        self._streaming = False
        self._held: list[bytes] = []
        self._held_size = 0
        self.up = Lane(environment, path, lines[0], path.up, path.lose_up)
        self.down = Lane(environment, path, lines[1], path.down, path.lose_down)
        self.up.opposite, self.down.opposite = self.down, self.up
        client, server = ends
        self.client = Endpoint(loop, self, client, server, quiet)
        self.server = Endpoint(loop, self, server, client, quiet)

    # Opening

    def connect(self) -> None:
        """Send the SYN."""
        self._syn = HandshakePacket(self.up, self._take_syn, self._wants_syn, is_syn=True)
        self._syn.send()

    def _wants_syn(self) -> bool:
        """Return whether the client still connects."""
        if self.client.gone:
            self.server.vanish()
        return not self.client.gone

    def _take_syn(self) -> None:
        listener = None if self.path.refusing else self._find_listener(self.server.address)
        accepted_at = listener.admit(self) if listener is not None else None
        if listener is None or accepted_at is None:
            self.server.vanish()
            self._answer(self._refuse)
            return
        self._accepted_at = accepted_at
        self._environment.call_at(accepted_at, self._accept, listener)
        self._answer(self._take_syn_ack)
        self.adapt()

    def _answer(self, take: Callable[[], None]) -> None:
        self._syn_ack = HandshakePacket(self.down, take)
        self._syn_ack.send()

    def _refuse(self) -> None:
        self._fail(ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed"))

    def _take_syn_ack(self) -> None:
        self._answered = True
        now = self._environment.now
        self.up.round_trips.take(now - self._syn.left_at)
        self.down.round_trips.take(now + self.up.latency - self._syn_ack.left_at)
        if self.opened.cancelled():
            self.carry(self.client, Mark.RST)
        elif self.client.gone:
            pass  # It was reset meanwhile.
        elif self._tls:  # The ClientHello.
            self.up.send(self._take_greeting, delay=self.path.connect)
        else:
            self._open()

    def _accept(self, listener: Listener) -> None:
        if self._greeted:
            self._take_greeting()  # Before anything that came behind it.
        listener.accept(self)

    def _take_greeting(self) -> None:
        if self.server.gone:
            return
        self._greeted = self._accepted_at > self._environment.now
        if not self._greeted:
            self.down.send(self._open, delay=self.path.connect)

    def _open(self) -> None:
        if not self.opened.done():
            self.opened.set_result(None)

    def turn_away(self) -> None:
        """Reset it if it is in the accept queue: its listener has closed."""
        if self._accepted_at < inf and not self.server.started:
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

    # Under way

    def carry(self, sender: Endpoint, item: bytes | Mark) -> None:
        """Carry bytes, or their end, from one end to the other."""
        if sender is self.client:
            self.requests += begins_request(item)
            self._send(self.up, self.server, item)
        elif self._holds_back(item):
            self._held.append(item)
            self._held_size += len(item)
            if self._held_size >= self.path.impairment.buffer:
                self._flush()
        else:
            self._flush()
            self._send(self.down, self.client, item)
        # Either the bytes don't arrive or their acks don't.
        if self._environment.now >= min(self.up.silent_at, self.down.silent_at):
            self._environment.call_later(GIVE_UP, sender.time_out)

    def _send(self, lane: Lane, end: Endpoint, item: bytes | Mark) -> None:
        lane.send(partial(self._hand_over, end, item), len(item) if isinstance(item, bytes) else 0)

    def _hand_over(self, end: Endpoint, item: bytes | Mark) -> None:
        if end is self.client and isinstance(item, Mark) and not self.opened.done():
            self._fail(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))
        end.take(item)
        if self.path.lossy:
            self._watch_idleness()

    # Proxies

    def _holds_back(self, item: bytes | Mark) -> TypeGuard[bytes]:
        """Return whether a proxy buffers this: it belongs to an event stream."""
        if isinstance(item, Mark):
            return False
        if item.startswith(b"HTTP/1.1 "):
            self._streaming = b"text/event-stream" in item
        return self._streaming and bool(self.path.impairment.buffer)

    def _flush(self) -> None:
        held, self._held, self._held_size = self._held, [], 0
        for piece in held:
            self._send(self.down, self.client, piece)

    def adapt(self) -> None:
        """Apply the changes of the path's impairments."""
        impairment = self.path.impairment
        if not impairment.buffer:
            self._flush()
        self._watch_idleness()

    def _watch_idleness(self) -> None:
        self._idle.set(max(self._environment.now, self._used_at + self.path.impairment.idle_timeout))

    @property
    def _used_at(self) -> float:
        """Time at which the last byte has arrived or will arrive."""
        return max(self.up.arrives_at, self.down.arrives_at)

    def _check_idle(self) -> None:
        if self._accepted_at == inf or self.client.gone or self.server.gone:
            return  # A proxy has no connection whose SYN was dropped.
        if self._used_at + self.path.impairment.idle_timeout > self._environment.now:
            self.adapt()
        else:
            self.reset()

    # Ends

    def reset(self) -> None:
        """Reset it as a middlebox does: each end gets an RST."""
        self._flush()
        self._send(self.down, self.client, Mark.RST)
        self._send(self.up, self.server, Mark.RST)

    def silence(self, at: float, directions: Sequence[Direction]) -> None:
        """From `at` on drop all packets in these directions, unreported."""
        for direction in directions:
            lane = self.up if direction == "up" else self.down
            lane.silent_at = min(lane.silent_at, at)

    @property
    def quiet(self) -> bool:
        """Whether nothing is under way to the client, and nothing sent to it was dropped."""
        return not self._held and self.down.arrives_at <= self._environment.now < self.down.silent_at

    def other(self, end: Endpoint) -> Endpoint:
        """Return the other end of `end`."""
        return self.server if end is self.client else self.client

    def lose(self, end: Endpoint) -> None:
        """Note that an end has closed its socket."""
        if self.client.gone and self.server.gone:
            self._idle.set(inf)
            self._on_gone(self)
