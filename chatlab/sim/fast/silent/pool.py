"""All silent clients of a run."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from chatlab.sim.capacity import ServerConfig
from chatlab.sim.fast.barriers import Barriers
from chatlab.sim.fast.silent.client import SilentClient
from chatlab.sim.fast.silent.context import Context, Loser
from chatlab.sim.fast.silent.server import PoolServer
from chatlab.sim.faults import Fault, SlowServer
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.people import PeopleConfig


def can_be_silent(
    people: PeopleConfig, network: NetworkConfig, server: ServerConfig, faults: Sequence[Fault]
) -> bool:
    """Return whether no message is sent, and nothing but latency and the accept queue takes time."""
    silent = not people.send_rate and all(entry.action != "send" for entry in people.script)
    plain = (
        not server.service_time
        and not server.needs
        and server.max_connections is None
        and not server.presence
    )
    slow = network.bandwidth is not None or any(isinstance(fault, SlowServer) for fault in faults)
    return silent and plain and not slow


class Pool:
    """All silent clients of a run."""

    def __init__(self, server: PoolServer, barriers: Barriers) -> None:
        self._environment = server.environment
        self._barriers = barriers
        self._clients: list[SilentClient] = []
        self._losing: dict[float, list[Loser]] = {}

    def add(self, person: int, context: Context) -> SilentClient:
        """Return a new silent client."""
        client = SilentClient(person, context)
        self._clients.append(client)
        return client

    def bring(self, arrivals: Sequence[float]) -> None:
        """Schedule the arrivals of all clients."""
        if self._clients:
            self._environment.call_at(self._environment.now, self._arrive, arrivals)

    def _arrive(self, arrivals: Sequence[float]) -> None:
        # The barrier isn't known before the run begins. A fault at the very beginning makes it the current
        # time, so a client that the fault has promoted sends no SYN here.
        safe_until = self._barriers.next
        for client in self._clients:
            client.arrive(arrivals[client.person], safe_until)

    def begin(self) -> None:
        """Continue after the end of a run: check the heartbeats whose check came after it."""
        for client in self._clients:
            if client.looks_at < inf:
                client.await_look()

    def lose(self, loser: Loser, at: float) -> None:
        """Call a client's `be_lost` at `at`; clients with the same time share one queue entry."""
        losing = self._losing.get(at)
        if losing is None:
            losing = self._losing[at] = []
            self._environment.call_at(at, self._tell, at)
        losing.append(loser)

    def _tell(self, at: float) -> None:
        for loser in self._losing.pop(at):
            loser.be_lost()

    def close(self) -> None:
        """Drop all clients, who refer to this."""
        self._clients.clear()
        self._losing.clear()
