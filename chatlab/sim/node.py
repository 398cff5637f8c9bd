"""One node of the simulated server: its capacity, its connections, and whether it is up.

up        ──▶ draining   it takes no new connections, and closes those that it has
          ──▶ down       it dies, or stops
draining  ──▶ down
down      ──▶ up         once every fault that has stopped it is over
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice, takewhile
from typing import Protocol

from chatlab.sim.capacity import AcceptQueue, ServerConfig, WorkQueue
from chatlab.sim.closing import ClosingLink
from chatlab.sim.connection import Connection
from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.opening import Handshake


class Served(Protocol):
    """A connection that the server has; `number` is the server's number for it."""

    number: int

    @property
    def accepted(self) -> bool:
        """Whether it has left the accept queue."""


class Node:
    """One process behind the balancer; `number` counts from 1. It is a connection's `Listener`.

    `connections` are those that the server still serves, in order of their arrival. `lives` counts how often
    it began to listen. `attempts` are the connections that the balancer gave it. Of these, `refused` got a
    refusal, `accepted` a place in the accept queue, and `ended` were ended by itself as it drained, stopped
    or died. `peak` is the greatest number of connections.

    `alive`: the process runs. `draining`: it closes its connections one by one, and begins nothing that
    lasts.
    """

    def __init__(self, number: int, environment: LadderEnvironment, config: ServerConfig) -> None:
        self.number = number
        warm_up = environment.now < 0
        self.queue = AcceptQueue(None if warm_up else config.accept_rate, config.backlog)
        self.work = WorkQueue()
        self.lives = 1
        self.alive = True
        self.draining = False
        self.connections: dict[int, Served] = {}
        self.attempts = self.refused = self.accepted = self.ended = self.peak = 0
        self._environment = environment
        self._overflow = config.overflow
        self._most = config.max_connections
        self._closing: list[ClosingLink] = []
        self._overflowed: set[int] = set()  # Connections that a proxy answers with 503.
        self._stops = 0

    def begin(self, config: ServerConfig) -> None:
        """Limit the capacity: the run begins."""
        self.queue.limit(config.accept_rate)

    # The accept queue

    @property
    def listening(self) -> bool:
        """Whether it takes new connections."""
        return not self._stops

    @property
    def drops(self) -> bool:
        """Whether it ignores SYNs and final ACKs for which the accept queue has no room."""
        return self._overflow == "drop" and self.queue.is_limited

    @property
    def is_full(self) -> bool:
        """Whether the accept queue is full now."""
        return self.queue.is_full(self._environment.now)

    @property
    def accepts_at(self) -> float | None:
        """Time at which a connection is accepted that enters the accept queue now; None: it is full."""
        return self.queue.accepts_at(self._environment.now)

    def keep_handshake(self) -> bool:
        """Keep one more incomplete handshake, if there is room; return whether there is."""
        return self.queue.keep_handshake()

    def end_handshake(self, handshake: Handshake) -> None:
        """Note that a handshake is complete, or has failed."""
        if handshake.kept and handshake.life == self.lives and self.listening:
            self.queue.end_handshake()

    def enter(self) -> float | None:
        """Enter the accept queue; return when a connection is accepted that comes now; None: it isn't."""
        return None if self._stops else self.queue.enter(self._environment.now)

    @property
    def answers_overflow(self) -> bool:
        """Whether a proxy takes connections for which the accept queue has no room, and answers with 503."""
        return self.listening and self._overflow == "503"

    # Connections

    def admit(self, connection: Served, *, overflowed: bool = False) -> None:
        """Add a connection that was numbered; `overflowed`: the accept queue had no room for it."""
        self.connections[connection.number] = connection
        self.peak = max(self.peak, len(self.connections))
        if overflowed:
            self._overflowed.add(connection.number)

    def await_close(self, link: ClosingLink) -> None:
        """Count a link as a connection until its close frame is answered."""
        if self._most is not None:
            self._closing.append(link)

    def turns_away(self, connection: Connection) -> bool:
        """Return whether a request on this connection is answered with 503."""
        turns_away = connection.number in self._overflowed or self._full
        self._overflowed.discard(connection.number)
        self.refused += turns_away
        return turns_away

    @property
    def _full(self) -> bool:
        """Whether there are more connections than the limit: those in the accept queue don't count yet, and
        those whose close frame isn't answered still do."""
        if self._most is None:
            return False
        self._closing = [link for link in self._closing if link.closes_at > self._environment.now]
        beyond = len(self.connections) + len(self._closing) - self._most
        if beyond <= 0:
            return False
        latest = (each for each in reversed(self.connections.values()) if each.number not in self._overflowed)
        return sum(1 for _ in takewhile(_waits, islice(latest, beyond))) < beyond

    # Work

    def do(self, connection: Connection, effort: float, work: Callable[[], None]) -> None:
        """Enter the work queue for `effort` seconds; call `work` then, if the connection is still served."""
        now = self._environment.now
        done_at = self.work.enter(now, effort)
        if done_at > now:
            self._environment.call_at(done_at, _finish, (connection, work))
        else:
            work()

    # Up and down

    def close(self) -> None:
        """Stop listening. Calls nest: it listens again after as many `start` as `close`."""
        self._stops += 1
        self.queue.clear()

    def die(self) -> None:
        """Forget all work; connections are ended by the server."""
        self.alive = False
        self.work.clear()
        self._closing.clear()

    def start(self) -> bool:
        """Listen again, if nothing else has closed it; return whether it does."""
        self._stops -= 1
        if self._stops:
            return False
        self.alive, self.draining = True, False
        self.lives += 1
        return True


def _waits(connection: Served) -> bool:
    return not connection.accepted


def _finish(job: tuple[Connection, Callable[[], None]]) -> None:
    connection, work = job
    if connection.server_open:
        work()
