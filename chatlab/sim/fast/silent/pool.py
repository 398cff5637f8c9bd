"""All extras of a run."""

from __future__ import annotations

from collections.abc import Sequence

from chatlab.sim.capacity import ServerConfig
from chatlab.sim.extras.extra import Extra
from chatlab.sim.extras.stage import Stage
from chatlab.sim.faults import Fault, SlowServer
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.people import PeopleConfig


def are_enough(
    people: PeopleConfig, network: NetworkConfig, server: ServerConfig, faults: Sequence[Fault]
) -> bool:
    """Whether nobody says anything, the server does nothing but let people in, at once when it's their turn,
    and lines are so wide that bytes take no time."""
    silent = not people.send_rate and all(entry.action != "send" for entry in people.script)
    plain = not server.service_time and server.max_connections is None and not server.presence
    slow = network.bandwidth is not None or any(isinstance(fault, SlowServer) for fault in faults)
    return silent and plain and not slow


class Cast:
    """All extras of a run, who are the server's guests."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._extras: list[Extra] = []
        stage.server.guests = self

    def hire(self, person: int) -> Extra:
        """Return a new extra."""
        extra = Extra(person, self._stage)
        self._extras.append(extra)
        return extra

    def bring(self, arrivals: Sequence[float]) -> None:
        """Schedule the arrivals of everybody."""
        environment = self._stage.environment
        environment.call_at(environment.now, self._arrive, arrivals)

    def _arrive(self, arrivals: Sequence[float]) -> None:
        # It isn't known before the run begins. A fault at the very beginning makes it the present, so nobody
        # whom it has made real knocks as an extra.
        safe_until = self._stage.barriers.next
        for extra in self._extras:
            extra.arrive(arrivals[extra.person], safe_until)

    def dismiss(self, code: int | None, reason: str) -> None:
        """End everybody's link from the server's side: by a close frame, or without a word."""
        for extra in self._extras:
            extra.dismiss(code, reason)
