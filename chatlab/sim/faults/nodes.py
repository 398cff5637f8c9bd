"""One node of a service dies, or all are restarted, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from chatlab.errors import SettingsError
from chatlab.random_streams import RandomStreams
from chatlab.settings import Duration, PositiveDuration
from chatlab.sim.fault_context import FaultContext, FaultTarget
from chatlab.sim.faults.base import ALL_OTHERS, Fault, Injection, LastingFault
from chatlab.sim.groups import Membership

CODE, REASON = 1012, "service restart"


class NodeFault(Fault, frozen=True, kw_only=True):
    """A fault of nodes: it hits the people who are connected to them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.general:
            raise SettingsError(
                f"{type(self).__name__}: it hits everybody who is connected to a node; leave out the fields "
                "that choose people"
            )

    def others_serve(self, nodes: int) -> bool:
        return nodes > 1

    def hits(
        self,
        people: Sequence[FaultTarget],
        streams: RandomStreams,
        number: int,
        membership: Membership = ALL_OTHERS,
    ) -> list[FaultTarget]:
        """Return nobody: the nodes lose whoever is connected to them."""
        return []


class NodeDown(NodeFault, LastingFault, frozen=True, kw_only=True, tag="node_down"):
    """The node of that number dies, and is back after `duration` seconds: its connections are reset."""

    node: Annotated[int, Meta(ge=1, le=1000)] = 1

    def inject(self, context: FaultContext) -> Injection:
        context.server.stop(node=self.node)
        yield self.duration
        context.server.start(node=self.node)


class RollingRestart(NodeFault, frozen=True, kw_only=True, tag="rolling_restart"):
    """All nodes are restarted, one after the other.

    A node drains: it takes no new connections, and closes those that it has (1012) evenly over `drain`
    seconds, in order of acceptance. Then it is down for `down` seconds. The next one begins `pause` seconds
    after it is up again.
    """

    drain: Duration = 30.0
    down: PositiveDuration = 5.0
    pause: Duration = 10.0

    def ends_at(self, nodes: int) -> float:
        return self.at + nodes * (self.drain + self.down) + (nodes - 1) * self.pause

    @property
    def end_at(self) -> float:
        return self.ends_at(1)

    def inject(self, context: FaultContext) -> Injection:
        for node in range(1, context.server.node_count + 1):
            if node > 1 and (yield self.pause):
                return
            context.server.drain(self.drain, CODE, REASON, node)
            ended = yield self.drain + self.down
            context.server.start(node=node)
            if ended:
                return
