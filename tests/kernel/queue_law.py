"""Law of an accept queue: which packets it must have ignored, computed without a kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from tests.kernel.wire import ACK, RST, SYN, Packet


@dataclass
class Arrived:
    """Counts of the packets at a listener: those that met a full queue, and SYNs that nobody answered."""

    syns: int = 0
    syns_ignored: int = 0
    syns_unanswered: int = 0
    acks_ignored: int = 0
    queued: int = 0
    resets: int = 0


def through_queue(packets: Sequence[Sequence[Any]], accepts: Sequence[float], backlog: int) -> Arrived:
    """Pass packets through an accept queue of Linux, from which a server takes one at each of `accepts`.

    A SYN or a final ACK is ignored if the queue is full: listen(n) has room for n + 1 connections. Data are
    as good as a final ACK. Source: Linux, tcp_conn_request() and tcp_v4_syn_recv_sock().
    """
    arrived = Arrived()
    answered: set[int] = set()
    unanswered: set[int] = set()
    established: set[int] = set()
    waiting = 0
    came = sorted((Packet(*packet) for packet in packets), key=lambda packet: packet.passed)
    accepted = iter([*sorted(accepts), inf])
    next_accept = next(accepted)
    for packet in came:
        while next_accept <= packet.passed:
            waiting -= 1
            next_accept = next(accepted)
        full = waiting > backlog
        if packet.flags & RST:
            arrived.resets += 1
        elif not packet.up:
            unanswered.discard(packet.port)
            answered.add(packet.port)
        elif packet.flags & (SYN | ACK) == SYN:
            arrived.syns += 1
            arrived.syns_unanswered += packet.port in unanswered
            unanswered.add(packet.port)
            arrived.syns_ignored += full
        elif packet.port in answered and packet.port not in established:
            if full:
                arrived.acks_ignored += 1
            else:
                established.add(packet.port)
                waiting += 1
    arrived.queued = len(established)
    return arrived
