"""The machine and the link of a promoted client, in the state to which its past has led.

The machine's past events are replayed. The link's attributes are set directly.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from chatlab.dialects.base import Welcome
from chatlab.dialects.chatlab import encode_frame
from chatlab.sim.environment import LONG_AGO
from chatlab.sim.fast.heartbeats.link import ForwardingLink
from chatlab.sim.fast.sampling import SampledPath
from chatlab.sim.opening import SYN_ACK_TIMES, Handshake, Syn
from chatlab.sim.sizes import query_size
from chatlab.transports.machine import (
    Closed,
    Connect,
    Effect,
    Failure,
    Machine,
    Opened,
    OpenWebSocket,
    Received,
    Tick,
)

CONNECT, TICK = Connect(), Tick()


def replay_attempt(
    machine: Machine, at: float, retries: int, failure: Failure | None, cursor: str | None
) -> OpenWebSocket:
    """Replay attempts up to one that begins at `at`, after `retries` retries; return its request.

    `cursor` is that of an earlier connection, if there was one. The times of earlier attempts don't matter.
    """
    effects = machine.handle(CONNECT, 0.0 if retries else at)
    if cursor is not None:
        replay_opening(machine, _request(effects).link, 0.0 if retries else at, cursor)
    for left in reversed(range(retries)):
        assert failure is not None
        machine.handle(Closed(_request(effects).link, failure), 0.0)
        effects = machine.handle(TICK, machine.deadline if left else at)
    return _request(effects)


def replay_opening(machine: Machine, link: int, at: float, cursor: str | None) -> None:
    """Replay the opening of a link, and the server's greeting."""
    machine.handle(Opened(link), at)
    if cursor is not None:
        machine.handle(Received(link, encode_frame(Welcome(cursor=cursor, resync=True))), at)


def replay_failure(machine: Machine, at: float, retries: int, failure: Failure, cursor: str | None) -> None:
    """Replay attempts up to one that fails at `at`, after `retries` retries."""
    request = replay_attempt(machine, at, retries, failure, cursor)
    machine.handle(Closed(request.link, failure), at)


def _request(effects: Sequence[Effect]) -> OpenWebSocket:
    (request,) = (effect for effect in effects if type(effect) is OpenWebSocket)
    return request


class PromotedLink(ForwardingLink):
    """A link that begins in a state of its past."""

    __slots__ = ()
    path: SampledPath

    def send_syn(self, at: float) -> None:
        """Send the SYN at the past time `at`; it arrives now."""
        self.up.sent_at, self.up.delay = at, self.path.connect()
        self.up.arrives_at = at + self.up.delay

    def take_syn(self, tries: int) -> None:
        """Take the SYN, sent for the `tries`th time, which arrives now at the node that was chosen for it."""
        self.up.arrives_at = self._environment.now
        self._syn = Syn(self.up.sent_at, 1.0, tries)
        self._take_syn()

    def take_first_ack(self, syn_ack_at: float, kept: bool) -> None:
        """Take the handshake's final ACK, which arrives now with the client's first bytes.

        The SYN-ACK was sent at `syn_ack_at`; `kept`: the server keeps the handshake.
        """
        assert self.node is not None
        self._accepted_at = inf
        self._handshake = handshake = Handshake(self.node.lives, kept, syn_ack_at)
        if kept:
            self._environment.call_at(syn_ack_at + SYN_ACK_TIMES[0], self._repeat_syn_ack, handshake)
        answered_at, self._answered = self.down.syn_ack(syn_ack_at, self.path.connect), True
        handshake.round_trip = answered_at - syn_ack_at + self.up.delay
        if self._traffic.tls:
            self.up.send(answered_at, 0, self.path.connect, self.down.delay)
            self._take_client_hello()
        else:  # The request was counted.
            self._established = True
            size = self._upgrade_size + query_size(self.query)
            self._traffic.bytes_up += size
            self.up.send(answered_at, size, self.path.up, self.down.delay)
            self._take_request()

    def set_open(self, used_at: float) -> None:
        """Set the state to open; the last byte came through at `used_at`."""
        self.query = {}
        self._answered = self._accepted = self._opened = self._established = True
        self._accepted_at = LONG_AGO
        self.up.arrives_at = self.down.arrives_at = used_at
        self.up.delay, self.down.delay = self.path.up.repeat(), self.path.down.repeat()

    def end(self, at: float, failure: Failure) -> None:
        """Schedule the end at the client, which learns `failure` at `at`."""
        self.down.arrives_at = at
        self._environment.call_at(at, self._end, failure)

    def end_at_server(self, at: float) -> None:
        """Schedule a reset that reaches the server at `at`."""
        self._environment.call_at(at, self._take_reset)
