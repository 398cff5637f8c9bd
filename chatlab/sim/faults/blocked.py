"""A proxy that blocks transports."""

from __future__ import annotations

from math import inf
from typing import Annotated

from msgspec import Meta

from chatlab.errors import SettingsError
from chatlab.settings import PositiveDuration
from chatlab.sim.blocking import BlockableTransport, Blocking
from chatlab.sim.fault_context import FaultContext
from chatlab.sim.faults.base import Fault, Injection
from chatlab.sim.path import Impairment


class Blocked(Fault, frozen=True, kw_only=True, tag="blocked"):
    """A proxy blocks new requests of some `transports`, for `duration` seconds or (None) the rest of the run.

    It answers them with 403, strips the field `Upgrade` (so the server sees no WebSocket, and refuses with
    426), swallows them without an answer, or resets their connections. WebSockets and streams that are open
    stay, and posts pass.
    """

    transports: Annotated[tuple[BlockableTransport, ...], Meta(min_length=1)] = ("websocket",)
    how: Blocking = "403"
    duration: PositiveDuration | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        others = [transport for transport in self.transports if transport != "websocket"]
        if self.how == "strip_upgrade" and others:
            raise SettingsError(
                f"Blocked.how: 'strip_upgrade' blocks only websocket; choose another one for {others[0]}"
            )

    @property
    def end_at(self) -> float:
        return inf if self.duration is None else self.at + self.duration

    @property
    def severity(self) -> int:
        return int(any(transport.endswith("polling") for transport in self.transports))

    def inject(self, context: FaultContext) -> Injection:
        impairment = Impairment(blocked=dict.fromkeys(self.transports, self.how))
        for target in context.hit:
            target.add_impairment(impairment)
        if self.duration is not None:
            yield self.duration
            for target in context.hit:
                target.remove_impairment(impairment)
