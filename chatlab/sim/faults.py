"""Faults: what goes wrong, when, for how long, and for whom.

A fault is plain data, which the other worlds read too. Here it also knows how to happen.
To add one: a class with its own tag and `happen`, or `trouble`, and its name in `AnyFault`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Sequence
from functools import partial
from math import inf
from typing import Annotated, Any, ClassVar, TypeAlias

from msgspec import Meta
from simpy.events import Event

from chatlab.errors import SettingsError
from chatlab.luck import Luck
from chatlab.settings import Duration, Name, PositiveDuration, Settings, Size
from chatlab.sim.driver import Driver
from chatlab.sim.latency import Latency, LogNormal, NetworkConfig
from chatlab.sim.path import Trouble
from chatlab.sim.server import Server
from chatlab.transports.backoff import Uniform

Happening: TypeAlias = Generator[Event, Any, None]
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
    def happen(self, scene: Scene) -> Happening:
        """Let it happen, wait as long as it lasts, and let it be over: a process of SimPy."""


class LastingFault(Fault, frozen=True, kw_only=True):
    """A fault that is over after `duration` seconds."""

    duration: PositiveDuration

    @property
    def end_at(self) -> float:
        return self.at + self.duration


# The server process


class Outage(LastingFault, frozen=True, kw_only=True):
    """The server stops, and starts again.

    Where it hits only some, they are those of one of several front ends: the rooms live on.
    """

    _code: ClassVar[int | None] = None
    _reason: ClassVar[str] = ""

    def happen(self, scene: Scene) -> Happening:
        self._stop(scene)
        yield scene.wait(self.duration)
        self._start(scene)

    def _stop(self, scene: Scene) -> None:
        if self.general:
            scene.server.stop(self._code, self._reason)
            return
        for driver in scene.hit:
            driver.path.refusing += 1
            for connection in driver.connections:
                scene.server.drop(connection, self._code, self._reason)

    def _start(self, scene: Scene) -> None:
        if self.general:
            scene.server.start()
            return
        for driver in scene.hit:
            driver.path.refusing -= 1


class ServerDown(Outage, frozen=True, kw_only=True, tag="server_down"):
    """The server process dies: all connections are lost at once, and new ones are refused."""


class ServerRestart(Outage, frozen=True, kw_only=True, tag="server_restart"):
    """The server takes its leave (1012), answers held polls, and refuses connections until it's back.

    Where it hits only some, held polls are cut off.
    """

    duration: PositiveDuration = 1.0

    _code: ClassVar[int | None] = 1012
    _reason: ClassVar[str] = "service restart"


class Flapping(Outage, frozen=True, kw_only=True, tag="flapping"):
    """The server dies every `period` seconds, and is back after `down` seconds."""

    period: PositiveDuration = 10.0
    down: PositiveDuration = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.down >= self.period:
            raise SettingsError(
                f"Flapping.down: give less than the period ({self.period:g}), got {self.down:g}"
            )

    def happen(self, scene: Scene) -> Happening:
        begins = self.at
        while begins < self.end_at:
            self._stop(scene)
            yield scene.wait(min(self.down, self.end_at - begins))
            self._start(scene)
            begins += self.period
            if begins < self.end_at:
                yield scene.wait(begins - scene.server.environment.now)


# Connections


class ConnectionReset(Fault, frozen=True, kw_only=True, tag="connection_reset"):
    """Something on the way resets the connections: each side is told that the other has gone."""

    def happen(self, scene: Scene) -> Happening:
        for driver in scene.hit:
            for connection in driver.connections:
                connection.reset()
        yield scene.wait(0.0)


class HalfOpen(Fault, frozen=True, kw_only=True, tag="half_open"):
    """The connections go silent for good, untold, and so do those that are opened within `duration`."""

    duration: Duration = 0.0

    @property
    def end_at(self) -> float:
        return self.at + self.duration

    def happen(self, scene: Scene) -> Happening:
        for driver in scene.hit:
            driver.path.swallowing += 1
            for connection in driver.connections:
                connection.silent_at = min(connection.silent_at, self.at)
        yield scene.wait(self.duration)
        for driver in scene.hit:
            driver.path.swallowing -= 1


class Partition(LastingFault, frozen=True, kw_only=True, tag="partition"):
    """The network drops all packets; TCP sends them again, so they arrive after it if nobody has given up."""

    def happen(self, scene: Scene) -> Happening:
        for driver in scene.hit:
            driver.path.cut_until = max(driver.path.cut_until, self.end_at)
        yield scene.wait(self.duration)


# Conditions that last


class Condition(LastingFault, frozen=True, kw_only=True):
    """Something that is wrong with a path for a time."""

    @abstractmethod
    def trouble(self, uniform: Uniform) -> Trouble:
        """Return what is wrong with a path, which has luck of its own."""

    def happen(self, scene: Scene) -> Happening:
        troubles = [self.trouble(scene.luck_of(driver)) for driver in scene.hit]
        for driver, trouble in zip(scene.hit, troubles, strict=True):
            driver.suffer(trouble)
        yield scene.wait(self.duration)
        for driver, trouble in zip(scene.hit, troubles, strict=True):
            driver.recover(trouble)


class HighLatency(Condition, frozen=True, kw_only=True, tag="latency"):
    """Each packet takes `latency` more, and up to `jitter` more than that, uniformly."""

    latency: Duration | LogNormal = 1.0
    jitter: Duration = 0.0

    def trouble(self, uniform: Uniform) -> Trouble:
        return Trouble(delays=(Latency(NetworkConfig(latency=self.latency, jitter=self.jitter), uniform),))


class LowBandwidth(Condition, frozen=True, kw_only=True, tag="bandwidth"):
    """A person's line carries only `bandwidth` bytes a second in each direction."""

    bandwidth: PositiveDuration

    def trouble(self, uniform: Uniform) -> Trouble:
        return Trouble(bandwidth=self.bandwidth)


class IdleTimeout(Condition, frozen=True, kw_only=True, tag="idle_timeout"):
    """A proxy cuts connections through which nothing has come for `timeout` seconds."""

    timeout: PositiveDuration = 60.0

    def trouble(self, uniform: Uniform) -> Trouble:
        return Trouble(idle_timeout=self.timeout)


class Buffering(Condition, frozen=True, kw_only=True, tag="buffering"):
    """A proxy holds back event streams until there are `size` bytes (None: to their end)."""

    size: Size | None = None

    def trouble(self, uniform: Uniform) -> Trouble:
        return Trouble(buffer=inf if self.size is None else self.size)


class HttpError(Condition, frozen=True, kw_only=True, tag="http_error"):
    """Requests and opening handshakes are answered with `status`, and `retry_after` (seconds) if given."""

    status: Annotated[int, Meta(ge=400, le=599)] = 503
    retry_after: Duration | None = None

    def trouble(self, uniform: Uniform) -> Trouble:
        return Trouble(error=(self.status, self.retry_after))


class NoPong(Condition, frozen=True, kw_only=True, tag="no_pong"):
    """The server doesn't answer pings, and sends no comments on streams."""

    def trouble(self, uniform: Uniform) -> Trouble:
        return Trouble(mute=True)


class SlowServer(Condition, frozen=True, kw_only=True, tag="slow_server"):
    """Each request or frame keeps the server busy for `service_time` seconds more, one after the other."""

    service_time: PositiveDuration = 1.0

    def trouble(self, uniform: Uniform) -> Trouble:
        return Trouble(work=self.service_time)

    def happen(self, scene: Scene) -> Happening:
        scene.server.loaded = True
        yield from super().happen(scene)


AnyFault = (
    ServerDown
    | ServerRestart
    | ConnectionReset
    | HalfOpen
    | HighLatency
    | LowBandwidth
    | IdleTimeout
    | Buffering
    | HttpError
    | NoPong
    | SlowServer
    | Flapping
    | Partition
)


class Scene:
    """Where a fault happens: the server, and whom it hits. `number` is its place in the scenario."""

    __slots__ = ("_luck", "_number", "hit", "server")

    def __init__(self, server: Server, hit: Sequence[Driver], luck: Luck, number: int) -> None:
        self.server = server
        self.hit = hit
        self._luck = luck
        self._number = number

    def wait(self, duration: float) -> Event:
        """Return what a process yields to wait."""
        return self.server.environment.timeout(duration)

    def luck_of(self, driver: Driver) -> Uniform:
        """Return the numbers that the fault draws for one person."""
        return self._luck.uniform(driver.person, f"fault-{self._number}-packets")


def schedule(faults: Sequence[Fault], drivers: Sequence[Driver], server: Server, luck: Luck) -> None:
    """Let the faults happen when they are due."""
    environment = server.environment
    for number, fault in enumerate(faults):
        scene = Scene(server, fault.hits(drivers, luck, number), luck, number)
        environment.call_at(fault.at, partial(_begin, fault, scene))


def _begin(fault: Fault, scene: Scene) -> None:
    scene.server.environment.process(fault.happen(scene))
