"""All silent clients of a run."""

from __future__ import annotations

from collections.abc import Sequence

from chatlab.sim.capacity import ServerConfig
from chatlab.sim.fast.silent.client import SilentClient
from chatlab.sim.fast.silent.context import Context
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
    plain = plain and server.nodes == 1
    queues = server.accept_rate is not None and server.overflow != "refuse"
    slow = network.bandwidth is not None or any(isinstance(fault, SlowServer) for fault in faults)
    return silent and plain and not slow and not queues


class Pool:
    """All silent clients of a run."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._clients: list[SilentClient] = []
        context.server.pool = self

    def add(self, person: int) -> SilentClient:
        """Return a new silent client."""
        client = SilentClient(person, self._context)
        self._clients.append(client)
        return client

    def bring(self, arrivals: Sequence[float]) -> None:
        """Schedule the arrivals of all clients."""
        environment = self._context.environment
        environment.call_at(environment.now, self._arrive, arrivals)

    def _arrive(self, arrivals: Sequence[float]) -> None:
        # The barrier isn't known before the run begins. A fault at the very beginning makes it the current
        # time, so a client that the fault has promoted sends no SYN here.
        safe_until = self._context.barriers.next
        for client in self._clients:
            client.arrive(arrivals[client.person], safe_until)

    def server_close(self, code: int | None, reason: str) -> None:
        """Close each link at the server, with a close frame or without."""
        for client in self._clients:
            client.server_close(code, reason)
