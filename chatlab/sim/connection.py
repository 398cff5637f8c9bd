"""A model of TCP between a client and the server: opening, order, and every way to end.

It models this (d is the one-way latency, drawn anew for every packet):

    client ── SYN ──────────▶ server    d: answered, or ignored if the accept queue is full
           ◀────── SYN-ACK ──           2d: the client may send, or
           ── ClientHello ──▶           3d: with TLS 1.3, as soon as the server has accepted it,
           ◀── ServerHello ──           4d: the client may send

In each direction bytes arrive in order: a slow packet delays those behind it (head-of-line blocking). All
connections of a client share the bandwidth of its line. Lost packets are sent again, and many bytes at once
leave in the windows of slow start (`chatlab.sim.sender`). A full accept queue ignores the handshake's last
ACK, too (`chatlab.sim.opening`). The bytes of TLS are not modelled. Only bytes above TCP are counted, when
they are sent for the first time.

Source: RFC 9293 §3.5 (opening), RFC 8446 §2 (TLS 1.3).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from math import inf, isnan
from typing import Protocol

from chatlab.sim.alarm import Alarm
from chatlab.sim.blocking import BlockableTransport
from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.latency import Delay
from chatlab.sim.opening import SYN_ACK_TIMES, Handshake, Syn
from chatlab.sim.path import Direction, Path
from chatlab.sim.retransmission import GIVE_UP
from chatlab.sim.sender import Sender


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


class Host(Protocol):
    """The server's end of all connections."""

    def route(self, connection: Connection) -> None:
        """Set the connection's node; None stays: none is up."""

    def accept(self, connection: Connection) -> float | None:
        """Put a connection into its node's accept queue; return when it is accepted; None: there is no
        room."""

    def on_peer_closed(self, connection: Connection) -> None:
        """Handle the end of the client's side."""


class Traffic:
    """Counters of bytes and requests over all connections to one server."""

    __slots__ = ("bytes_down", "bytes_up", "environment", "requests", "tls")

    def __init__(self, environment: LadderEnvironment, *, tls: bool = False) -> None:
        self.environment = environment
        self.tls = tls
        self.begin()

    def begin(self) -> None:
        """Count from now on."""
        self.bytes_up = self.bytes_down = self.requests = 0


class Connection(ABC):
    """One TCP connection, from its first packet on.

    `served`: the server has it, from the SYN's arrival on. `held`: the client uses it. `up` sends the
    client's bytes, and `down` the server's. `number` is the server's number for it. `node` is set once a SYN
    has arrived.
    """

    __slots__ = (
        "_accepted_at",
        "_answered",
        "_end_comes_alone",
        "_end_comes_at",
        "_ends_at",
        "_environment",
        "_handshake",
        "_host",
        "_idle",
        "_silent_at",
        "_syn",
        "_traffic",
        "down",
        "held",
        "node",
        "number",
        "path",
        "served",
        "up",
    )

    def __init__(self, traffic: Traffic, host: Host, path: Path) -> None:
        self._traffic = traffic
        self._environment = traffic.environment
        self._host = host
        self._accepted_at = 0.0
        self._answered = False  # The client has had the SYN-ACK.
        self._syn: Syn | None = None  # Once it is sent again.
        self._handshake: Handshake | None = None  # While the final ACK has no place in the accept queue.
        self._idle: Alarm | None = None
        self._end_comes_at = inf  # When a reset reaches the server.
        self._end_comes_alone = False  # Not right behind bytes.
        self._ends_at = inf  # When the server's end reaches the client.
        self.path = path
        self.node: Listener | None = None
        self.number = 0
        self.held = True
        self.served = False
        self.up, self.down = Sender(path, "up"), Sender(path, "down")
        self._silent_at = inf  # From then on either the bytes or their acks are dropped.

    # Packets. The function called on arrival checks whether its side still has the connection.
    # All bytes sent at one instant travel as one packet. The end of the bytes travels with the last packet.

    def _up(self, size: int = 0, draw: Delay | None = None) -> float:
        """Send `size` bytes to the server; return when they arrive. `draw` replaces `path.up`."""
        self._traffic.bytes_up += size
        now = self._environment.now
        at = self.up.send(now, size, draw or self.path.up, self.down.delay)
        if at == inf or now >= self._silent_at:
            self._expect_time_out(self.up, self._time_out)
        return at

    def _up_behind(self, size: int = 0) -> float:
        """Send `size` bytes, or FIN or RST, with the delay of the latest packet; return when they arrive."""
        self._traffic.bytes_up += size
        now, back = self._environment.now, self.down.delay
        if not size:
            return self.up.end(now, back)
        at = self.up.follow(now, size, back)
        if at == inf:
            self._expect_time_out(self.up, self._time_out)
        return at

    def _down(self, size: int = 0, draw: Delay | None = None) -> float:
        """Send `size` bytes to the client; return when they arrive. `draw` replaces `path.down`."""
        self._traffic.bytes_down += size
        now = self._environment.now
        at = self.down.send(now, size, draw or self.path.down, self.up.delay)
        if at == inf or now >= self._silent_at:
            self._expect_time_out(self.down, self._lose_person)
        return at

    def _down_behind(self) -> float:
        """Send FIN or RST with the delay of the latest packet; return when it arrives."""
        if isnan(self.down.delay):
            self.down.delay = self.path.delay(self.path.down)
        return self.down.end(self._environment.now, self.up.delay)

    def _expect_time_out(self, sender: Sender, time_out: Callable[[], None]) -> None:
        """Call `time_out` when an end's TCP has waited for too long for the ack of bytes sent now."""
        now = self._environment.now
        at = now + GIVE_UP if now >= self._silent_at else inf
        if sender.timer is not None:
            at = min(at, sender.timer.gives_up_at)
        if at < sender.gives_up_at:
            sender.gives_up_at = at
            self._environment.call_at(at, time_out)

    @property
    def accepted(self) -> bool:
        """Whether it has left the accept queue."""
        return self._accepted_at <= self._environment.now

    @property
    def _up_silent(self) -> bool:
        """Whether a packet that would arrive at the server now is dropped."""
        return self._environment.now >= self.up.silent_at

    @property
    def _down_silent(self) -> bool:
        """Whether a packet that would arrive at the client now is dropped."""
        return self._environment.now >= self.down.silent_at

    @property
    def _given_up(self) -> bool:
        """Whether the server can't send any more: a reset has arrived right behind the bytes that it reads
        now."""
        now = self._environment.now
        return now >= self._end_comes_at and now < self.up.silent_at

    @property
    def _takes_no_news(self) -> bool:
        """Whether the server can't send news of others any more: it can until it reads a reset that comes
        alone."""
        return self._given_up and not (self._end_comes_alone and self._environment.now == self._end_comes_at)

    # Opening

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
        if not self.held:
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
            self._environment.call_at(max(self._environment.now, syn.gives_up_at), self._time_out)

    def _take_syn(self) -> None:
        if self._up_silent:
            return
        if self.node is None and not self.path.refusing:
            self._host.route(self)
        node = self.node
        if node is None or self.path.refusing or not node.listening:
            self.answer_syn(None)
        elif not node.drops:
            self.answer_syn(self._host.accept(self))
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
            self._environment.call_at(at, self._refused)
            return
        if accepted_at == inf:
            assert node is not None
            now = self._environment.now
            handshake = Handshake(node.lives, node.keep_handshake(), now)
            if handshake.kept:
                self._environment.call_at(now + SYN_ACK_TIMES[0], self._repeat_syn_ack, handshake)
            self._handshake = handshake
        self.served = self._handshake is None
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
        if not self.held:  # The client has closed its socket, so its system resets the connection.
            self._end_comes_at = self._up_behind()
            self._environment.call_at(self._end_comes_at, self._take_reset)
        elif self._traffic.tls:
            self._greet()
        else:
            self._speak()

    def _greet(self) -> None:
        """Send the ClientHello."""
        if self.held and not self._down_silent:
            self._environment.call_at(self._up(draw=self.path.connect), self._take_greeting)

    def _take_greeting(self) -> None:
        if not self._up_silent:
            self._once_accepted(self._answer_greeting)

    def _answer_greeting(self) -> None:
        if self.served:
            self._environment.call_at(self._down(draw=self.path.connect), self._speak)

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
        """Take a place in the accept queue for the final ACK that arrives now; return whether it is taken."""
        handshake, node = self._handshake, self.node
        assert handshake is not None
        assert node is not None
        if self.path.refusing or not node.listening or node.lives != handshake.life:
            node.refused += 1
            self._end_handshake()
            self._ends_at = self._down_behind()
            self._environment.call_at(self._ends_at, self._lose, True)
            return True
        accepted_at = self._host.accept(self)
        if accepted_at is None:
            return False
        self._end_handshake()
        self.served, self._accepted_at = True, accepted_at
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
            self._time_out()

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

    @abstractmethod
    def _speak(self) -> None:
        """Send the client's first bytes: the connection is open."""

    @abstractmethod
    def _refused(self) -> None:
        """Handle the refusal of the connection, at the client."""

    @abstractmethod
    def reply(self, frame: str | bytes, size: int) -> None:
        """Send a frame to the client; `size` is its size on a WebSocket, header included."""

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

    # Ends

    @abstractmethod
    def _time_out(self) -> None:
        """Handle that the client's TCP has given up, at the client."""

    @abstractmethod
    def _lose(self, reset: bool) -> None:
        """Handle the end of the server's bytes, or a `reset`, at the client."""

    def let_go(self) -> None:
        """Close it at the client, which gets no further event."""
        self.held = False
        if self._answered:  # Otherwise the server keeps it until its SYN-ACK is answered.
            self._environment.call_at(self._up_behind(), self._take_end)

    def _take_end(self) -> None:
        if not self._up_silent:  # Bytes before it are read first.
            self._once_accepted(self._lose_person)

    def _take_reset(self) -> None:
        if not self._up_silent:
            self._end_handshake()
            self._lose_person()

    def _lose_person(self) -> None:
        """Handle the end of the client's side, at the server."""
        if self.served:
            self.served = False
            self._host.on_peer_closed(self)

    def abort(self) -> None:
        """Close it at the server without a close frame, as when the process dies."""
        self.served = False
        unaccepted = self._accepted_at > self._environment.now
        self._ends_at = self._down_behind()
        self._environment.call_at(self._ends_at, self._lose, unaccepted)

    def server_close(self, code: int, reason: str) -> None:
        """Close it at the server, with a close frame if the protocol has one."""
        self.abort()

    def reset(self) -> None:
        """Reset it as a middlebox does: each side gets an RST."""
        self._ends_at = self._down_behind()
        self._environment.call_at(self._ends_at, self._lose, True)
        bytes_come_at = self.up.arrives_at
        self._end_comes_at = self._up_behind()
        self._end_comes_alone = self._end_comes_at > bytes_come_at
        self._environment.call_at(self._end_comes_at, self._take_reset)

    def silence(self, at: float, directions: Sequence[Direction]) -> None:
        """From `at` on drop all packets in these directions, unreported."""
        if "up" in directions:
            self.up.silent_at = min(self.up.silent_at, at)
        if "down" in directions:
            self.down.silent_at = min(self.down.silent_at, at)
        self._silent_at = min(self.up.silent_at, self.down.silent_at)
        if self.up.arrives_at > at:
            self._expect_time_out(self.up, self._time_out)
        if self.down.arrives_at > at:
            self._expect_time_out(self.down, self._lose_person)

    def forget(self) -> None:
        """Drop all references at the end of the run."""
        self._drop_alarm()

    # Proxies

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
        if not (self.held and self.served):
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
