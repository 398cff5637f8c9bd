"""A fault: plain data that can be injected into any world, by its `FaultContext`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Sequence
from math import inf
from typing import Annotated, TypeAlias

from msgspec import Meta

from chatlab.random_streams import RandomStreams
from chatlab.settings import Duration, Name, PositiveDuration, Settings
from chatlab.sim.fault_context import FaultContext, FaultTarget
from chatlab.sim.groups import Membership

Injection: TypeAlias = Generator[float, bool | None, None]
"""A fault under way: it yields the seconds until its next step.

It may be sent True before these have passed. It then undoes its changes, and returns.
"""
Share = Annotated[float, Meta(ge=0, le=1)]
ALL_OTHERS = Membership((), 1)
"""The membership of people without groups."""


class Fault(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """A fault that begins at `at`, and hits a `share` of the `people` (none named: of all).

    If it has `groups`, it hits only people who are in one of them.
    """

    at: Duration
    share: Share = 1.0
    people: tuple[Name, ...] = ()
    groups: tuple[Name, ...] = ()

    @property
    def kind(self) -> str:
        """Its name in scenarios."""
        return str(self.__struct_config__.tag)

    @property
    def end_at(self) -> float:
        """Time at which it is over, in seconds since the run began."""
        return self.at

    def ends_at(self, nodes: int) -> float:
        """Return when it is over at a server of that many nodes."""
        return self.end_at

    def others_serve(self, nodes: int) -> bool:
        """Whether, at a server of that many nodes, others serve the people whom it disconnects."""
        return False

    @property
    def deaf_until(self) -> float:
        """Time up to which the people it hits receive nothing; -inf: they receive everything."""
        return -inf

    @property
    def severity(self) -> int:
        """How it breaks connections: 2 by itself, 1 by time-outs during it, 0 hardly ever."""
        return 2

    @property
    def leaves_half_open(self) -> bool:
        """Whether the connections it hits remain half-open."""
        return False

    @property
    def loses(self) -> bool:
        """Whether packets are lost that TCP sends again."""
        return False

    @property
    def spreads(self) -> bool:
        """Whether it also changes how long the server takes for people whom it doesn't hit."""
        return False

    @property
    def general(self) -> bool:
        """Whether it hits all people."""
        return self.share == 1 and not self.people and not self.groups

    def hits(
        self,
        people: Sequence[FaultTarget],
        streams: RandomStreams,
        number: int,
        membership: Membership = ALL_OTHERS,
    ) -> list[FaultTarget]:
        """Return the people it hits; `number` is its place among the scenario's faults."""
        chosen = [target for target in people if not self.people or target.name in self.people]
        if self.groups:
            groups = {membership.names.index(name) for name in self.groups}
            chosen = [target for target in chosen if membership.group(target.person) in groups]
        if self.share == 1:
            return chosen
        draws = streams.first(f"fault-{number}", 1 + max((target.person for target in chosen), default=-1))
        return [target for target in chosen if draws[target.person] < self.share]

    def prepare(self, context: FaultContext) -> None:
        """Tell the paths, before the run, which packets will be lost. Other faults need nothing."""

    @abstractmethod
    def inject(self, context: FaultContext) -> Injection:
        """Begin the fault, wait for its duration, and end it."""


class LastingFault(Fault, frozen=True, kw_only=True):
    """A fault that is over after `duration` seconds."""

    duration: PositiveDuration

    @property
    def end_at(self) -> float:
        return self.at + self.duration


class LosingFault(LastingFault, frozen=True, kw_only=True):
    """A lasting fault that loses packets, which TCP sends again."""

    @property
    def lost_share(self) -> float:
        """Share of the packets that are lost."""
        return 1.0

    @property
    def loses(self) -> bool:
        return True

    @property
    def deaf_until(self) -> float:
        return self.end_at

    def prepare(self, context: FaultContext) -> None:
        for target in context.hit:
            target.path.lose(self.at, self.end_at, self.lost_share)

    def inject(self, context: FaultContext) -> Injection:
        if (yield self.duration):
            context.end_losses(self.at)
