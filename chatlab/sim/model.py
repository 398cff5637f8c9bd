"""The model world put together: people's machines, a modelled network and server, the real hub, faults."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import lru_cache
from math import inf
from sys import maxsize
from typing import Any, TypeVar, cast

import msgspec

from chatlab.dialects import find_dialect
from chatlab.dialects.base import Answer, Dialect, HttpDialect, Page
from chatlab.dialects.chatlab import MAX_FRAME_SIZE
from chatlab.errors import SettingsError
from chatlab.luck import Luck
from chatlab.settings import AnyConfig, FallbackConfig, TransportConfig, WebSocketConfig
from chatlab.sim.as_written.making import make_as_written
from chatlab.sim.as_written.settings import AsWritten
from chatlab.sim.barriers import Barriers
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.driver import Driver
from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.extras import Cast, Extra, Stage, are_enough
from chatlab.sim.faults import Fault, schedule
from chatlab.sim.garbage import rare_garbage
from chatlab.sim.http import Session
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.meter import Meter
from chatlab.sim.network import Network
from chatlab.sim.path import Path, Paths
from chatlab.sim.people import Names, PeopleConfig, arrival_times, bring
from chatlab.sim.recorder import Recorder
from chatlab.sim.rest import Rest
from chatlab.sim.server import Server
from chatlab.sim.sizes import framed_size, upgrade_size
from chatlab.trace import Step
from chatlab.transports.backoff import Uniform
from chatlab.transports.crowd import CrowdWebSocketMachine
from chatlab.transports.factory import make_machine
from chatlab.transports.machine import Machine

REMEMBERED_FRAMES = 4096

Person = Driver | Extra

C = TypeVar("C", bound=AnyConfig)

MOST_STEPS = 5_000_000
"""Steps that a run records at most: 2.2 GB of them."""


class Steps(list[Step]):
    """The recorded steps of a run.

    Errors: `SettingsError` if there are too many.
    """

    def append(self, step: Step) -> None:
        """Record one more."""
        if len(self) >= MOST_STEPS:
            raise SettingsError(
                f"the recorded people took more than {MOST_STEPS:,} steps, the last at {step.at:g} s; record "
                "fewer people (sample), or run for a shorter time"
            )
        super().append(step)


class Model:
    """All simulated parts of one run.

    `config` is everybody's, but for room and sender. `steps` are those of the first `sample` people; the
    `recorder` hears of everybody. `bytes_up` and `bytes_down` are as of the end of the latest `run`.
    `extras`: nobody else will write, so who isn't recorded may be an extra.
    """

    @rare_garbage()
    def __init__(
        self,
        seed: int,
        config: AnyConfig | AsWritten,
        people: PeopleConfig,
        network: NetworkConfig,
        server: ServerConfig,
        faults: Sequence[Fault],
        recorder: Recorder,
        sample: int,
        *,
        extras: bool = False,
    ) -> None:
        luck = Luck(seed)
        self.environment = LadderEnvironment()
        self.server = Server(self.environment, server, luck)
        transports = config.transports if isinstance(config, FallbackConfig) else (config,)
        largest = [_largest_frame(transport) for transport in transports]
        upgrades = [
            upgrade_size(transport.protocols if isinstance(transport, WebSocketConfig) else ())
            for transport in transports
        ]
        self.network = Network(
            self.environment, self.server, tls=network.tls, largest=largest, upgrades=upgrades
        )
        self.meter = Meter(self.environment, self.network, self.server.queue, self.server.work)
        self.steps: list[Step] = Steps()
        self.everybody: list[Person] = []
        self.bytes_up = self.bytes_down = 0
        paths = Paths(network, luck)
        dialect = cast(Dialect, SharedDialect(find_dialect(config.dialect)))

        def make_session(driver: Driver) -> Session:
            assert dialect.http is not None  # The machine has seen to that.
            return Session(self.network, self.server, driver.path, driver, dialect.http, network.keep_alive)

        self._barriers = barriers = Barriers(self.environment)
        rest = Rest(self.server, config.heartbeat, barriers) if isinstance(config, WebSocketConfig) else None
        rooms = [f"room-{number}" for number in range(1, people.rooms + 1)]
        names = Names(people)

        def make(person: int, path: Path | None = None) -> Driver:
            name = names[person]
            machine = _make(
                config, dialect, luck.uniform(person, "backoff"), rooms[people.room(person)], name
            )
            steps = self.steps if person < sample else None
            path = path or paths.make(person)
            return Driver(person, name, machine, self.network, path, recorder, steps, make_session, rest)

        company: Cast | None = None
        unlimited = min(largest) == maxsize
        if extras and rest is not None and unlimited and are_enough(people, network, server, faults):
            parts = self.network, self.server, paths, luck, recorder, rest, names, rooms, barriers
            company = Cast(Stage(make, *parts))
        scripted = set(people.scripted)
        drivers: list[Driver] = []
        for person, name in enumerate(names):
            if company is None or person < sample or name in scripted:
                drivers.append(make(person))
                self.everybody.append(drivers[-1])
            else:
                self.everybody.append(company.hire(person))
        barriers.before = self._wake_everybody
        self.scenes = schedule(faults, self.everybody, self.server, luck, barriers)
        bring(people, drivers, self.environment, luck)
        if company is not None:
            company.bring(arrival_times(people, luck))

    @rare_garbage()
    def run(self, duration: float) -> None:
        """Run for `duration` seconds."""
        end = self.environment.now + duration
        self._barriers.set_end(end)
        try:
            self.environment.run(until=end)
        finally:
            self._barriers.set_end(-inf)
        owed = [person.reckon() for person in self.everybody]
        self.bytes_up = self.network.bytes_up + sum(up for up, _ in owed)
        self.bytes_down = self.network.bytes_down + sum(down for _, down in owed)

    def _wake_everybody(self) -> None:
        for person in self.everybody:
            person.wake()

    def close(self) -> None:
        """Release everybody.

        People, connections and the server refer to one another, and would stay until garbage is collected.
        """
        self.environment.clear()
        for person in self.everybody:
            person.close()
        self.everybody.clear()
        self.scenes.clear()
        self._barriers.before = None
        self.server.close()


def _largest_frame(config: TransportConfig | AsWritten) -> int:
    """Return how many bytes a frame has at most that a transport takes; `maxsize` if no frame has more."""
    if isinstance(config, WebSocketConfig) and config.max_frame_size < MAX_FRAME_SIZE:
        return framed_size(config.max_frame_size)
    return maxsize


def _make(
    config: AnyConfig | AsWritten, dialect: Dialect, uniform: Uniform, room: str, sender: str
) -> Machine:
    if isinstance(config, AsWritten):
        return make_as_written(config, dialect, uniform, room, sender)
    own = personal(config, room, sender)
    if isinstance(own, WebSocketConfig):
        return CrowdWebSocketMachine(own, dialect, uniform)
    return make_machine(own, dialect, uniform)


def personal(config: C, room: str, sender: str) -> C:
    """Return a copy of the config for one person. It isn't checked again, which takes long."""
    own = copy.copy(config)
    if isinstance(own, FallbackConfig):
        inner = tuple(personal(transport, room, sender) for transport in own.transports)
        msgspec.structs.force_setattr(own, "transports", inner)
    else:
        msgspec.structs.force_setattr(own, "room", room)
        msgspec.structs.force_setattr(own, "sender", sender)
    return own


class SharedDialect:
    """A dialect that reads a frame, an event or a page once for all its receivers, who so share the messages
    in memory too."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self.decode = lru_cache(REMEMBERED_FRAMES)(dialect.decode)
        self.http: HttpDialect | None = copy.copy(dialect.http)
        if dialect.http is not None:
            vars(self.http)["event"] = lru_cache(REMEMBERED_FRAMES)(dialect.http.event)
            vars(self.http)["page"] = _sharing_pages(dialect.http)

    def __getattr__(self, name: str) -> Any:
        value = vars(self)[name] = getattr(self._dialect, name)  # So that it is found sooner from now on.
        return value


def _sharing_pages(http: HttpDialect) -> Callable[[Answer], Page | None]:
    @lru_cache(REMEMBERED_FRAMES)
    def read(status: int, body: bytes, headers: tuple[tuple[str, str], ...]) -> Page | None:
        return http.page(Answer(status, body, dict(headers)))

    def page(answer: Answer) -> Page | None:
        return read(answer.status, answer.body, tuple(answer.headers.items()))

    return page
