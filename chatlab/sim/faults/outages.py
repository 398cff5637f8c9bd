"""The server process stops, and starts again."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from chatlab.errors import SettingsError
from chatlab.settings import PositiveDuration
from chatlab.sim.fault_context import FaultContext
from chatlab.sim.faults.base import Injection, LastingFault


class Outage(LastingFault, frozen=True, kw_only=True):
    """The server stops, and starts again.

    If it hits only some people, they are connected to one of several front ends: the rooms remain.
    """

    _code: ClassVar[int | None] = None
    _reason: ClassVar[str] = ""

    def inject(self, context: FaultContext) -> Injection:
        self._stop(context)
        yield self.duration
        self._start(context)

    def _stop(self, context: FaultContext) -> None:
        if self.general:
            context.server.stop(self._code, self._reason)
            return
        for target in context.hit:
            target.path.refusing += 1
            target.adapt()
        dropped = [connection for target in context.hit for connection in target.connections]
        context.server.drop(dropped, self._code, self._reason)

    def _start(self, context: FaultContext) -> None:
        if self.general:
            context.server.start()
            return
        for target in context.hit:
            target.path.refusing -= 1
            target.adapt()


class ServerDown(Outage, frozen=True, kw_only=True, tag="server_down"):
    """The server process dies: all connections are lost at once, and new ones are refused."""


class ServerRestart(Outage, frozen=True, kw_only=True, tag="server_restart"):
    """The server closes connections (1012), answers requests under way, and refuses new ones until it's back.

    Answers that take longer than half a second, or than the outage, are cut off.
    """

    duration: PositiveDuration = 1.0

    _code: ClassVar[int | None] = 1012
    _reason: ClassVar[str] = "service restart"


class Flapping(Outage, frozen=True, kw_only=True, tag="flapping"):
    """The server dies every `period` seconds, and is back after `down` seconds."""

    period: Annotated[float, Meta(ge=0.001, le=1e9)] = 10.0
    down: PositiveDuration = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.down >= self.period:
            raise SettingsError(
                f"Flapping.down: give less than the period ({self.period:g}), got {self.down:g}"
            )

    def inject(self, context: FaultContext) -> Injection:
        begins = self.at
        while begins < self.end_at:
            self._stop(context)
            ended = yield min(self.down, self.end_at - begins)
            self._start(context)
            begins += self.period
            if ended or (begins < self.end_at and (yield begins - context.now)):
                return
