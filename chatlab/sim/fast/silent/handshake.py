"""The handshake of a silent client with a node that ignores packets for which its accept queue has no room.

    SYN         an entry: its arrival. It is answered, or ignored if the queue is full; then it is sent again
                after 1, 2, 3 … s, each time with an entry, until the attempt times out
    final ACK   an entry: its arrival with the client's first bytes, where it takes a place in the queue

The client is promoted if the queue is full when its ACK arrives; if that comes so late that the server may
have repeated its SYN-ACK; or if a fault, the end of the run or the time-out may come first.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from chatlab.sim.fast.silent.losing import Losing
from chatlab.sim.opening import SYN_ACK_TIMES
from chatlab.sim.retransmission import SYN_TIMES
from chatlab.transports.failures import UNREACHABLE


class SynReceived(NamedTuple):
    """A handshake whose SYN was answered at `syn_ack_at`. `kept`: the server keeps it."""

    client: Handshaking
    syn_ack_at: float
    kept: bool


class Handshaking(Losing):
    """A silent client's handshake; `_node` is set."""

    __slots__ = ()

    def _shake_hands(self, tries: int) -> None:
        context, node = self._context, self.node
        environment, tls = context.environment, context.network.tls
        now = environment.now
        if node.is_full:
            self._ignore_syn(tries)
            return
        first = self._opening if tls else self.up
        answered_at = now + self._opening.draw()
        ack_at = answered_at + first.draw()
        if ack_at < self._until and ack_at < now + SYN_ACK_TIMES[0]:
            if not tls:
                self._count_request(answered_at)
            handshake = SynReceived(self, now, node.keep_handshake())
            environment.call_at(ack_at, Handshaking._ack_arrives, handshake)
        else:
            first.skip(-1)
            self._opening.skip(-1)
            self._leave_syn(tries)

    def _ignore_syn(self, tries: int) -> None:
        """Schedule the next SYN, unless the attempt times out before."""
        context, now = self._context, self._context.environment.now
        times_out_at, safe_until = self._at + context.connect_timeout, context.barriers.safe_until
        again_at = max(now, self._at + SYN_TIMES[tries]) if tries < len(SYN_TIMES) else inf
        if times_out_at <= again_at:
            if times_out_at < safe_until:
                self._fail(UNREACHABLE, times_out_at, safe_until)
                return
        else:
            comes_at = again_at + self._opening.repeat()
            if comes_at < times_out_at and comes_at < safe_until:
                context.environment.call_at(comes_at, Handshaking._syn_arrives_again, (self, tries + 1))
                return
        self._leave_syn(tries)

    @staticmethod
    def _syn_arrives_again(again: tuple[Handshaking, int]) -> None:
        client, tries = again
        client._context.server.order.note(client.person)
        client._shake_hands(tries)

    def _leave_syn(self, tries: int) -> None:
        """Promote, and leave the rest of the attempt to a link, from the arrival of its SYN on."""
        self._opening.skip(-1)
        self._promoted_link.take_syn(tries)

    @staticmethod
    def _ack_arrives(handshake: SynReceived) -> None:
        handshake.client._take_ack(handshake)

    def _take_ack(self, handshake: SynReceived) -> None:
        """Handle the arrival of the final ACK."""
        context, node, opening = self._context, self.node, self._opening
        context.server.order.note(self.person)
        tls, accepted_at = context.network.tls, node.accepts_at
        if accepted_at is not None:
            speaks_at = accepted_at + opening.draw() if tls else accepted_at
            asked_at = speaks_at + self.up.draw() if tls else accepted_at
            open_at = asked_at + self.down.draw()
            if open_at < self._until and open_at < asked_at + context.opens_within:
                node.enter()
                if handshake.kept:
                    node.queue.end_handshake()
                context.server.admit_silent(self, node)
                if tls:
                    self._count_request(speaks_at)
                self._open(asked_at, open_at)
                return
            self.down.skip(-1)
            if tls:
                self.up.skip(-1)
                opening.skip(-1)
        if tls:
            opening.skip(-3)
        else:
            opening.skip(-2)
            self.up.skip(-1)
        self._promoted_link.take_first_ack(handshake.syn_ack_at, handshake.kept)
