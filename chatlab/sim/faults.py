"""Faults: what goes wrong, when, for how long, and for whom.

A fault is plain data, which the other worlds read too. Here it also knows how to begin and to end.
To add one: a class with its own tag, `begin` and `end`, and its name in `AnyFault`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Annotated, ClassVar

from msgspec import Meta

from chatlab.luck import Luck
from chatlab.settings import Duration, Name, PositiveDuration, Settings
from chatlab.sim.driver import Driver
from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.server import Server

Share = Annotated[float, Meta(ge=0, le=1)]


class Fault(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """Something that goes wrong at `at`, for a `share` of the `people` (none named: of everybody)."""

    at: Duration
    share: Share = 1.0
    people: tuple[Name, ...] = ()

    @property
    def kind(self) -> str:
        """What scenarios call it."""
        return str(self.__struct_config__.tag)

    @property
    def end_at(self) -> float:
        """When it is over, in seconds since the run began."""
        return self.at

    @property
    def general(self) -> bool:
        """Whether it hits everybody."""
        return self.share == 1 and not self.people

    def hits(self, drivers: Sequence[Driver], luck: Luck, number: int) -> list[Driver]:
        """Return the people whom it hits; `number` is its place among the scenario's faults."""
        chosen = [driver for driver in drivers if not self.people or driver.name in self.people]
        if self.share == 1:
            return chosen
        purpose = f"fault-{number}"
        return [driver for driver in chosen if luck.uniform(driver.person, purpose)() < self.share]

    @abstractmethod
    def begin(self, server: Server, hit: Sequence[Driver]) -> None:
        """Let it happen."""

    def end(self, server: Server, hit: Sequence[Driver]) -> None:  # most faults of a moment need none
        """Let it be over."""


class LastingFault(Fault, frozen=True, kw_only=True):
    """A fault that is over after `duration` seconds."""

    duration: PositiveDuration

    @property
    def end_at(self) -> float:
        return self.at + self.duration


class Outage(LastingFault, frozen=True, kw_only=True):
    """The server stops, and starts again.

    Where it hits only some, they are those of one of several front ends: the rooms live on.
    """

    _code: ClassVar[int | None] = None
    _reason: ClassVar[str] = ""

    def begin(self, server: Server, hit: Sequence[Driver]) -> None:
        if self.general:
            server.stop(self._code, self._reason)
            return
        for driver in hit:
            driver.path.refusing += 1
            for link in driver.links.values():
                server.drop(link, self._code, self._reason)

    def end(self, server: Server, hit: Sequence[Driver]) -> None:
        if self.general:
            server.start()
            return
        for driver in hit:
            driver.path.refusing -= 1


class ServerDown(Outage, frozen=True, kw_only=True, tag="server_down"):
    """The server process dies: all connections are lost at once, and new ones are refused."""


class ServerRestart(Outage, frozen=True, kw_only=True, tag="server_restart"):
    """The server takes its leave with close code 1012, and refuses connections until it is back."""

    duration: PositiveDuration = 1.0

    _code: ClassVar[int | None] = 1012
    _reason: ClassVar[str] = "service restart"


class ConnectionReset(Fault, frozen=True, kw_only=True, tag="connection_reset"):
    """Something on the way resets the connections: each side is told that the other has gone."""

    def begin(self, server: Server, hit: Sequence[Driver]) -> None:
        for driver in hit:
            for link in driver.links.values():
                link.reset()


class HalfOpen(Fault, frozen=True, kw_only=True, tag="half_open"):
    """The connections go silent for good, untold, and so do those that are opened within `duration`."""

    duration: Duration = 0.0

    @property
    def end_at(self) -> float:
        return self.at + self.duration

    def begin(self, server: Server, hit: Sequence[Driver]) -> None:
        for driver in hit:
            driver.path.swallowing += 1
            for link in driver.links.values():
                link.silent_at = min(link.silent_at, self.at)

    def end(self, server: Server, hit: Sequence[Driver]) -> None:
        for driver in hit:
            driver.path.swallowing -= 1


class Partition(LastingFault, frozen=True, kw_only=True, tag="partition"):
    """The network drops all packets; TCP sends them again, so they arrive after it if nobody has given up."""

    def begin(self, server: Server, hit: Sequence[Driver]) -> None:
        for driver in hit:
            driver.path.cut_until = max(driver.path.cut_until, self.end_at)


AnyFault = ServerDown | ServerRestart | ConnectionReset | HalfOpen | Partition


def schedule(
    faults: Sequence[Fault],
    drivers: Sequence[Driver],
    server: Server,
    environment: LadderEnvironment,
    luck: Luck,
) -> None:
    """Let the faults happen when they are due."""
    for number, fault in enumerate(faults):
        hit = fault.hits(drivers, luck, number)
        environment.call_at(fault.at, partial(fault.begin, server, hit))
        environment.call_at(fault.end_at, partial(fault.end, server, hit))
