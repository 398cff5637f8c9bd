"""A TCP connection that is being opened: SYN, SYN-ACK, TLS, and the final ACK.

    client ── SYN ──────────▶ server    d: answered, or ignored if the accept queue is full
           ◀────── SYN-ACK ──           2d: the client may send, or
           ── ClientHello ──▶           3d: with TLS 1.3, as soon as the server has accepted it,
           ◀── ServerHello ──           4d: the client may send

d is the one-way latency, drawn anew for every packet. A full accept queue ignores the handshake's last ACK,
too (`chatlab.sim.opening`).

Source: RFC 9293 §3.5 (opening), RFC 8446 §2 (TLS 1.3).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from math import inf
from typing import Protocol

from chatlab.sim.duplex import Duplex, Traffic
from chatlab.sim.opening import SYN_ACK_TIMES, Handshake, Syn
from chatlab.sim.path import Path


class Listener(Protocol):
    """The node that a connection leads to. `lives` counts how often it began to listen.

    `refused` counts the connections that it has refused.
    """

    lives: int
    refused: int

    @property
    def listening(self) -> bool:
        """Whether it listens now."""

    @property
    def drops(self) -> bool:
        """Whether it ignores SYNs and final ACKs for which the accept queue has no room."""

    @property
    def is_full(self) -> bool:
        """Whether the accept queue is full now."""

    def keep_handshake(self) -> bool:
        """Keep one more incomplete handshake, if there is room; return whether there is."""

    def end_handshake(self, handshake: Handshake) -> None:
        """Note that a handshake is complete, or has failed."""


class HandshakingConnection(Duplex):
    """A connection, from its first packet until the server reads its first bytes.

    `client_open`: the client uses it. `server_open`: the server has it, from the time at which it has a place
    in the accept queue. `node` is set once a SYN has arrived.
    """

    __slots__ = ("_accepted_at", "_answered", "_handshake", "_syn", "client_open", "node", "server_open")

    def __init__(self, traffic: Traffic, path: Path) -> None:
        super().__init__(traffic, path)
        self._accepted_at = 0.0
        self._answered = False  # The client has had the SYN-ACK.
        self._syn: Syn | None = None  # Once it is sent again.
        self._handshake: Handshake | None = None  # While the final ACK has no place in the accept queue.
        self.node: Listener | None = None
        self.client_open = True
        self.server_open = False

    @property
    def accepted(self) -> bool:
        """Whether it has left the accept queue."""
        return self._accepted_at <= self._environment.now

    def connect(self) -> None:
        """Send the SYN."""
        path, now = self.path, self._environment.now
        if path.lossy or now < path.unreachable_until:
            number = path.lose_up()
            if self.up.timer is not None:
                self.up.timer.number = number
            self._syn = Syn(now, number)
            self._send_syn()
        else:
            self.up.arrives_at = self.up.syn(now, path.connect)
            self._environment.call_at(self.up.arrives_at, self._take_syn)

    def _send_syn(self) -> None:
        """Send the SYN, and again until one arrives."""
        if not self.client_open:
            return
        path, now, syn = self.path, self._environment.now, self._syn
        assert syn is not None
        at = self.up.syn(now, None if syn.tried else path.connect)
        syn.left_at = self.up.sent_at
        leaves_at = now if syn.tried else syn.left_at
        if syn.passes(1.0 if leaves_at < path.unreachable_until else path.loss_at(leaves_at)):
            self.up.arrives_at = at
            self._environment.call_at(at, self._take_syn)
        else:
            self._send_syn_later(syn)

    def _send_syn_later(self, syn: Syn) -> None:
        if syn.next_at < inf:
            self._environment.call_at(max(self._environment.now, syn.next_at), self._send_syn)
        else:
            self._environment.call_at(max(self._environment.now, syn.gives_up_at), self._on_time_out)

    def _take_syn(self) -> None:
        if self._up_silent:
            return
        if self.node is None and not self.path.refusing:
            self._route()
        node = self.node
        if node is None or self.path.refusing or not node.listening:
            self.answer_syn(None)
        elif not node.drops:
            self.answer_syn(self._enter_accept_queue())
        elif node.is_full:
            self._syn = self._syn or Syn(self.up.sent_at, 1.0, 1)
            self._send_syn_later(self._syn)
        else:
            self.answer_syn(inf)

    def answer_syn(self, accepted_at: float | None) -> None:
        """Answer the SYN that arrives now: accept it at `accepted_at`; None: refuse it; inf: once the queue
        has room for its final ACK."""
        at = self.down.syn_ack(self._environment.now, self.path.connect)
        node = self.node
        if accepted_at is None:
            if node is not None:
                node.refused += 1
            self._environment.call_at(at, self._on_refused)
            return
        if accepted_at == inf:
            assert node is not None
            now = self._environment.now
            handshake = Handshake(node.lives, node.keep_handshake(), now)
            if handshake.kept:
                self._environment.call_at(now + SYN_ACK_TIMES[0], self._repeat_syn_ack, handshake)
            self._handshake = handshake
        self.server_open = self._handshake is None
        self._accepted_at = accepted_at
        self._environment.call_at(at, self._take_syn_ack)
        self.adapt()

    def _take_syn_ack(self) -> None:
        if self._down_silent:
            return
        self._answered = True
        # To the client a SYN-ACK that is sent again answers the first SYN that arrived.
        round_trip = self._environment.now - self.down.sent_at + self.up.delay
        if self._handshake is not None:
            self._handshake.round_trip = round_trip
        if self.up.timer is not None and self.down.timer is not None:
            self.up.timer.begin(round_trip)
            self.down.timer.begin(self.up.delay + self.down.delay)
        if not self.client_open:  # The client has closed its socket, so its system resets the connection.
            self._send_reset()
        elif self._traffic.tls:
            self._send_client_hello()
        else:
            self._on_established()

    def _send_client_hello(self) -> None:
        """Send the ClientHello."""
        if self.client_open and not self._down_silent:
            self._environment.call_at(self._up(draw=self.path.connect), self._take_client_hello)

    def _take_client_hello(self) -> None:
        if not self._up_silent:
            self._once_accepted(self._send_server_hello)

    def _send_server_hello(self) -> None:
        if self.server_open:
            self._environment.call_at(self._down(draw=self.path.connect), self._on_established)

    def _once_accepted(self, read: Callable[..., object], *news: object) -> None:
        """Call `read` with `news` once the server has accepted the connection."""
        if self._handshake is not None:
            self._handshake.unread.append((read, news))
            if len(self._handshake.unread) == 1:
                self._take_first_bytes(self._handshake)
        elif self._accepted_at > self._environment.now:
            self._environment.call_at(self._accepted_at, read, *news)
        else:
            read(*news)

    def _complete_handshake(self) -> bool:
        """Take a place in the accept queue for the final ACK that arrives now, or reset the connection if the
        node no longer listens. Return False if the queue is full, so the client must send again."""
        handshake, node = self._handshake, self.node
        assert handshake is not None
        assert node is not None
        if self.path.refusing or not node.listening or node.lives != handshake.life:
            node.refused += 1
            self._end_handshake()
            self._send_end(reset=True)
            return True
        accepted_at = self._enter_accept_queue()
        if accepted_at is None:
            return False
        self._end_handshake()
        self.server_open, self._accepted_at = True, accepted_at
        bytes_at = max(self._environment.now, handshake.bytes_at if handshake.unread else 0.0)
        self.up.arrives_at = max(self.up.arrives_at, bytes_at)
        for read, news in handshake.unread:
            self._environment.call_at(max(accepted_at, bytes_at), read, *news)
        self.adapt()
        return True

    def _end_handshake(self) -> None:
        if self._handshake is not None and self.node is not None:
            self.node.end_handshake(self._handshake)
            self._handshake = None

    def forget_handshake(self) -> None:
        """Forget the handshake at the server, which stops: it will answer the final ACK with an RST."""
        if self._handshake is not None and self.node is not None:
            self.node.end_handshake(self._handshake)
            self._handshake.life = -1

    def _take_first_bytes(self, handshake: Handshake) -> None:
        """Take the client's first bytes, and the final ACK with them, or have them sent again."""
        if self._handshake is not handshake or self._up_silent:
            return
        now = self._environment.now
        handshake.bytes_at = now
        if not self._complete_handshake():
            self._send_first_bytes_later(handshake, now)

    def _send_first_bytes(self, handshake: Handshake) -> None:
        now, at = self._environment.now, handshake.bytes_at
        if self.path.loss_at(now) < 1:
            self._environment.call_at(at, self._take_first_bytes, handshake)
        else:
            self._send_first_bytes_later(handshake, at)

    def _send_first_bytes_later(self, handshake: Handshake, at: float) -> None:
        """Send the client's first bytes again, as those that arrive at `at` are lost or ignored."""
        again_at = handshake.wait(at, self.up.sent_at, self.up.delay)
        if again_at < inf:
            now = self._environment.now
            self._environment.call_at(max(now, again_at - self.up.delay), self._send_first_bytes, handshake)
        else:
            self._environment.call_at(handshake.gives_up_at, self._give_up_handshake, handshake)

    def _give_up_handshake(self, handshake: Handshake) -> None:
        if self._handshake is handshake:
            self._on_time_out()

    def _repeat_syn_ack(self, handshake: Handshake) -> None:
        """Send the SYN-ACK again, which the client answers with an ACK."""
        if self._handshake is not handshake:
            return
        now = self._environment.now
        if self._answered and self.path.loss_at(now) < 1:
            self._environment.call_at(now + self.down.delay, self._send_ack, handshake)
        later = [at for wait in SYN_ACK_TIMES if (at := handshake.syn_ack_at + wait) > now]
        if later:
            self._environment.call_at(later[0], self._repeat_syn_ack, handshake)

    def _send_ack(self, handshake: Handshake) -> None:
        now = self._environment.now
        if not self._down_silent and self.path.loss_at(now) < 1:
            self._environment.call_at(now + self.up.delay, self._take_ack, handshake)

    def _take_ack(self, handshake: Handshake) -> None:
        if self._handshake is handshake and not self._up_silent:
            self._complete_handshake()

    # The ends

    @abstractmethod
    def _route(self) -> None:
        """Set the connection's node. Leave `node` None if no node is up."""

    @abstractmethod
    def _enter_accept_queue(self) -> float | None:
        """Enter the node's accept queue; return when the connection is accepted; None: there is no room."""

    @abstractmethod
    def _on_established(self) -> None:
        """Send the client's first bytes: the connection is open."""

    @abstractmethod
    def _on_refused(self) -> None:
        """Handle the refusal of the connection, at the client."""

    @abstractmethod
    def _send_end(self, reset: bool) -> None:
        """Send the end of the server's bytes, or a `reset`, to the client."""

    @abstractmethod
    def _send_reset(self) -> None:
        """Send an RST from the client."""

    @abstractmethod
    def adapt(self) -> None:
        """Apply the changes of the path's impairments."""
