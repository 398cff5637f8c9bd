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

This is deliberately not the model's `Connection` with bytes in it, so each is an independent check of the
other. They share the `Path`, the estimator of round trips, TCP's constants and the accept queue; a comparison
finds no mistake in these.

Source: RFC 9293 §3.5, §3.6 (opening, closing), §3.10.7.1 (reset by a closed port); RFC 8446 §2.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from typing import TypeGuard

from chatlab.sim.alarm import Alarm
from chatlab.sim.blocking import read_transport, strip_upgrade
from chatlab.sim.endpoint import Endpoint, Mark
from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.fault_context import Breakable
from chatlab.sim.path import Direction, Path
from chatlab.sim.retransmission import GIVE_UP
from chatlab.sim.simulated_socket import Address
from chatlab.sim.tcp_opening import Listener, Opening
from chatlab.sim.tcp_sender import TcpDirection, WireLine


def begins_request(item: bytes | Mark | None) -> TypeGuard[bytes]:
    """Return whether a client's bytes begin an HTTP request or a WebSocket's upgrade request."""
    return isinstance(item, bytes) and item.startswith((b"GET /", b"POST /"))


def pass_proxy(request: bytes, connection: Breakable, path: Path, now: float) -> bytes:
    """Return a request as the path's proxy passes it on; b"" if it has reset the connection instead."""
    blocked = path.impairment.blocked
    transport = read_transport(request) if blocked else None
    how = None if transport is None else blocked.get(transport)
    if how == "strip_upgrade":
        return strip_upgrade(request)
    if how == "swallow":
        connection.silence(now, ("up", "down"))
    elif how == "reset":
        connection.reset()
        return b""
    return request


class TcpConnection(Opening):
    """One connection: its two ends, and what is under way between them.

    `requests` counts the client's requests. `on_gone` is called when both ends have closed their sockets.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        environment: LadderEnvironment,
        path: Path,
        lines: tuple[WireLine, WireLine],
        ends: tuple[Address, Address],
        find_listener: Callable[[Address], Listener | None],
        on_gone: Callable[[TcpConnection], None],
        *,
        number: int,
        tls: bool,
        never_ready: int,
    ) -> None:
        super().__init__(
            loop,
            environment,
            path,
            lines,
            ends,
            find_listener,
            number=number,
            tls=tls,
            never_ready=never_ready,
        )
        self.requests = 0
        self._on_gone = on_gone
        self._idle = Alarm(environment, self._check_idle)
        self._streaming = False
        self._held: list[bytes] = []
        self._held_size = 0

    # Under way

    def carry(self, sender: Endpoint, item: bytes | Mark) -> None:
        """Carry bytes, or their end, from one end to the other."""
        if sender is self.client:
            if begins_request(item):
                self.requests += 1
                size, item = len(item), pass_proxy(item, self, self.path, self._environment.now)
                if not item:
                    self.up.size += size
                    return
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
            self._environment.call_later(GIVE_UP, self._give_up_at(sender))

    def _send(self, direction: TcpDirection, end: Endpoint, item: bytes | Mark) -> None:
        if item is Mark.RST and direction is self.up and self.is_syn_received:
            self.abort_handshake(partial(self._hand_over, end, item))
        elif isinstance(item, Mark):
            direction.send(partial(self._hand_over, end, item))
        else:
            for piece in direction.pieces(item):
                direction.send(partial(self._hand_over, end, piece), len(piece))

    def _hand_over(self, end: Endpoint, item: bytes | Mark) -> None:
        if end is self.client and isinstance(item, Mark) and not self.opened.done():
            self._fail(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))
        end.take(item)
        if self.path.lossy or self._handshake.is_kept:  # Until now it was unknown when they arrive.
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
        for name in directions:
            direction = self.up if name == "up" else self.down
            direction.silent_at = min(direction.silent_at, at)
        for sender, direction in ((self.client, self.up), (self.server, self.down)):
            if direction.arrives_at > at:
                self._environment.call_later(GIVE_UP, self._give_up_at(sender))

    def _give_up_at(self, sender: Endpoint) -> Callable[[], None]:
        return self._give_up if sender is self.client else sender.time_out

    @property
    def up_to_date(self) -> bool:
        """Whether the server has it, nothing is under way to the client, and nothing sent to it was
        dropped."""
        return (
            not (self._held or self.server.gone)
            and self.down.arrives_at <= self._environment.now < self.down.silent_at
        )

    def other(self, end: Endpoint) -> Endpoint:
        """Return the other end of `end`."""
        return self.server if end is self.client else self.client

    def lose(self, end: Endpoint) -> None:
        """Note that an end has closed its socket."""
        if self.client.gone and self.server.gone:
            self._idle.set(inf)
            self._on_gone(self)
