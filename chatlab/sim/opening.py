"""A model of how a client's opening packets are sent again, until the server's accept queue has room.

    SYN               that is lost, or meets a full queue: again after 1, 2, 3 … s
    the final ACK     that meets a full queue is ignored, and the client's first bytes with it. The client
                      takes itself for connected, and sends them again by its timers
    the SYN-ACK       is repeated after 1 and 3 s, and makes the client repeat its ACK; but only for as many
                      handshakes as the queue has places: a server answers further SYNs by SYN cookies

Source: Linux, `tcp_v4_syn_recv_sock`, `inet_csk_complete_hashdance`, `tcp_abort_on_overflow` 0 (the default).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf
from typing import Protocol

from chatlab.sim.retransmission import GIVE_UP, SYN_GIVES_UP, SYN_TIMES
from chatlab.sim.round_trips import RTO_MAX, Estimator

SYN_ACK_TIMES = (1.0, 3.0)
"""Seconds after the first at which a server repeats a SYN-ACK, until it gets an ACK. Source: Linux,
`reqsk_timer_handler`: it gives up early if many handshakes are under way."""


class Syn:
    """A client's SYN, which is sent again until it is answered.

    The first one left at `left_at`; `number` decides which ones are lost.
    """

    __slots__ = ("_chance", "_number", "_tries", "left_at")

    def __init__(self, left_at: float, number: float, tries: int = 0) -> None:
        self.left_at = left_at
        self._number = number
        self._chance = 1.0
        self._tries = tries

    def passes(self, loss: float) -> bool:
        """Send it, where a share `loss` of packets is lost; return whether it arrives."""
        self._tries += 1
        self._chance *= loss
        return self._number >= self._chance and loss < 1

    @property
    def tried(self) -> bool:
        """Whether it was sent before."""
        return self._tries > 0

    @property
    def next_at(self) -> float:
        """Time at which it is sent next; inf: never."""
        return self.left_at + SYN_TIMES[self._tries] if self._tries < len(SYN_TIMES) else inf

    @property
    def gives_up_at(self) -> float:
        """Time at which the client's TCP stops waiting for an answer."""
        return self.left_at + SYN_GIVES_UP


class Backlog(Protocol):
    """The handshakes that a server keeps."""

    def keep_handshake(self) -> bool:
        """Return whether the SYN-ACK will be repeated. If too many are under way, it is a SYN cookie."""

    def end_handshake(self) -> None:
        """Note that a handshake is over whose SYN-ACK was to be repeated."""


class SynReceived:
    """The server's side of a handshake whose last ACK takes the place in the accept queue, in wire and live.

    `is_kept`: the server waits for that ACK. `is_forgotten`: it has stopped before the ACK came.
    """

    __slots__ = ("_backlog", "is_forgotten", "is_kept")

    def __init__(self) -> None:
        self.is_kept = self.is_forgotten = False
        self._backlog: Backlog | None = None  # The one that counts it, as the SYN-ACK is repeated.

    def begin(self, backlog: Backlog) -> bool:
        """Wait for the last ACK; return whether the SYN-ACK is repeated until then."""
        self.is_kept = True
        if backlog.keep_handshake():
            self._backlog = backlog
        return self._backlog is not None

    def end(self) -> None:
        """Repeat the SYN-ACK no more: the handshake is complete, or has failed."""
        if self._backlog is not None and not self.is_forgotten:
            self._backlog.end_handshake()
        self._backlog = None

    def forget(self) -> None:
        """Forget it, as the server stops. The client's next bytes are answered with an RST."""
        self.is_forgotten = self.is_kept


class Handshake:
    """A handshake whose SYN-ACK is sent, and whose final ACK has no place in the accept queue yet.

    `life`: the listener's number of lives. `kept`: the server keeps the handshake, and sends the SYN-ACK of
    `syn_ack_at` again. `round_trip`: the client's first sample. `unread`: functions that read the bytes that
    the server has ignored. The client sends these again; they arrive at `bytes_at`. At `gives_up_at` its TCP
    aborts the connection.
    """

    __slots__ = ("_arrivals", "bytes_at", "gives_up_at", "kept", "life", "round_trip", "syn_ack_at", "unread")

    def __init__(self, life: int, kept: bool, syn_ack_at: float) -> None:
        self.life = life
        self.kept = kept
        self.syn_ack_at = syn_ack_at
        self.unread: list[tuple[Callable[..., object], tuple[object, ...]]] = []
        self.bytes_at = self.gives_up_at = inf
        self.round_trip = 0.0
        self._arrivals: Iterator[float] | None = None

    def wait(self, now: float, sent_at: float, delay: float) -> float:
        """Return when the client's first bytes arrive next, as they were ignored `now`; inf: never.

        They were sent at `sent_at`, with the latency `delay`.
        """
        if self._arrivals is None:
            *sendings, self.gives_up_at = _sendings(sent_at, Estimator(self.round_trip))
            latest = next((at for at in sendings if at + delay >= now), sendings[-1])
            late = now - latest  # Their latency, and the time that a narrow line took.
            self._arrivals = iter([at + late for at in sendings if at > latest])
        self.bytes_at = next(self._arrivals, inf)
        return self.bytes_at


def _sendings(sent_at: float, estimator: Estimator) -> Iterator[float]:
    """Yield the times at which bytes are sent that are never acknowledged, and when TCP gives up."""
    yield sent_at
    sent_at += estimator.probe
    wait = estimator.timeout
    timed_out_at = sent_at + wait
    while sent_at - timed_out_at < GIVE_UP:
        yield sent_at
        sent_at += wait
        wait = min(2 * wait, RTO_MAX)
    yield sent_at
