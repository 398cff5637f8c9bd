"""All parts of the model world: people's machines, a modelled network and server, the real hub, faults."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from sys import maxsize
from typing import Protocol, TypeVar, cast

import msgspec

from chatlab.dialects import find_dialect
from chatlab.dialects.base import Dialect
from chatlab.dialects.chatlab import MAX_FRAME_SIZE
from chatlab.random_streams import RandomStreams
from chatlab.settings import AnyConfig, FallbackConfig, TransportConfig, WebSocketConfig
from chatlab.sim.as_written.seed_factory import make_as_written
from chatlab.sim.as_written.settings import AsWritten
from chatlab.sim.calendar import Calendar
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.driver import Driver
from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.fault_context import FaultTarget
from chatlab.sim.faults import Fault, loses_packets, schedule
from chatlab.sim.garbage import rare_garbage
from chatlab.sim.groups import OTHERS, Group
from chatlab.sim.http_session import Session
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.link import Link
from chatlab.sim.meter import Meter
from chatlab.sim.network import Network
from chatlab.sim.path import Paths
from chatlab.sim.people import Names, PeopleConfig, schedule_people
from chatlab.sim.recorder import Recorder, Steps
from chatlab.sim.server import Server
from chatlab.sim.shared_dialect import SharedDialect
from chatlab.sim.sizes import framed_size, upgrade_size
from chatlab.sim.transport_settings import AnyTransport
from chatlab.trace import Step
from chatlab.transports.factory import make_machine
from chatlab.transports.heartbeat import server_heartbeat
from chatlab.transports.machine import Machine

C = TypeVar("C", bound=AnyConfig)
D = TypeVar("D", bound=Driver)


class OrderLost(Exception):
    """Short cuts may have changed the order of two events at the same instant: run the model without them."""


class Person(FaultTarget, Protocol):
    """A person of the model."""

    @property
    def complete_until(self) -> float:
        """Time up to which deliveries are complete: each message that the server had before it must have been
        delivered. inf: the whole run."""

    def close(self) -> None:
        """Close all connections at the end of the run."""


class Part:
    """The parts that people share who have one transport and one network: all, or those of a group.

    `lossy`: packets may be lost some time in the run.
    """

    def __init__(self, config: AnyConfig | AsWritten, network_config: NetworkConfig, *, lossy: bool) -> None:
        self.config = config
        self.network_config = network_config
        self.lossy = lossy
        self.paths: Paths
        self.network: Network


class Model:
    """All simulated parts of one run.

    `config`, the same for all except room and sender, and `network` are those of everybody whose group has
    none of its own. `steps` are those of the first `sample` people; the `recorder` gets the events of all.
    `bytes_up` and `bytes_down` are as of the end of the latest `run`.
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
    ) -> None:
        self._people = people
        self._membership = people.membership
        self._recorder = recorder
        self._sample = sample
        self._faults = faults
        self._dialect = cast(Dialect, SharedDialect(find_dialect(config.dialect)))
        self._names = Names(people)
        self._rooms = [f"room-{number}" for number in range(1, people.rooms + 1)]
        self.environment = LadderEnvironment(people.begins_at)
        self._streams = self._make_streams(seed)
        self.server = self._make_server(server)
        self._parts = self._make_parts(config, network)
        self.networks = list(dict.fromkeys(part.network for part in self._parts))
        self.meter: Meter
        warm_up = people.begins_at < 0
        if not warm_up:
            self.meter = self._make_meter()
        self.steps: list[Step] = Steps()
        self.everybody: list[Person] = []
        self.bytes_up = self.bytes_down = 0
        self._add_people()
        if warm_up:
            self._fault_calendar().call_at(0.0, Model._begin, self)
        self.fault_contexts = schedule(
            faults, self.everybody, self.server, self._streams, self._fault_calendar(), self._membership
        )
        self._schedule_people()

    @property
    def requests(self) -> int:
        """Number of requests, including the opening handshakes of WebSockets."""
        return sum(network.requests for network in self.networks)

    @rare_garbage()
    def run(self, duration: float) -> None:
        """Run for `duration` seconds, the first time from 0."""
        self.environment.run(until=self._end_of(duration))
        self._count_bytes()

    def _end_of(self, duration: float) -> float:
        return max(0.0, self.environment.now) + duration

    def _begin(self) -> None:
        """Begin to count, at 0, after people have connected."""
        self.server.begin()
        for network in self.networks:
            network.begin()
        self.meter = self._make_meter()

    def _make_meter(self) -> Meter:
        nodes = self.server.nodes
        queues, works = [node.queue for node in nodes], [node.work for node in nodes]
        return Meter(self.environment, self, queues, works, nodes)

    def _count_bytes(self) -> None:
        self.bytes_up = sum(network.bytes_up for network in self.networks)
        self.bytes_down = sum(network.bytes_down for network in self.networks)

    def close(self) -> None:
        """Drop all references.

        People, connections and the server refer to one another, and would stay until garbage is collected.
        """
        self.environment.clear()
        vars(self).pop("meter", None)  # It counts the model's requests.
        for person in self.everybody:
            person.close()
        self.everybody.clear()
        self.fault_contexts.clear()
        self.server.close()

    # The parts, which a subclass may replace

    def _make_streams(self, seed: int) -> RandomStreams:
        return RandomStreams(seed)

    def _make_parts(self, config: AnyConfig | AsWritten, network: NetworkConfig) -> list[Part]:
        """Return the part of each group, and of the others. Groups that don't differ share one."""
        groups, names = self._people.groups, self._membership.names
        lossy = [
            loses_packets(group.network or network, self._faults, name)
            for group, name in zip((*groups, Group(name=OTHERS, share=0.0)), names, strict=True)
        ]
        others = self._make_part(config, network, lossy=lossy[-1])
        parts = []
        for group, loses in zip(groups, lossy, strict=False):
            if group.transport is None and group.network is None and loses == others.lossy:
                parts.append(others)
                continue
            own = config if group.transport is None else config_of(group.transport)
            parts.append(self._make_part(own, group.network or network, lossy=loses))
        return [*parts, others]

    def _make_part(
        self, config: AnyConfig | AsWritten, network_config: NetworkConfig, *, lossy: bool
    ) -> Part:
        part = Part(config, network_config, lossy=lossy)
        part.paths = self._make_paths(part)
        part.network = self._make_network(part)
        return part

    def _part(self, person: int) -> Part:
        """Return the part of a person."""
        return self._parts[self._membership.group(person)]

    def _make_paths(self, part: Part) -> Paths:
        return Paths(part.network_config, self._streams, lossy=part.lossy)

    def _make_server(self, config: ServerConfig) -> Server:
        return Server(self.environment, config, self._streams)

    def _make_network(self, part: Part, link: type[Link] = Link) -> Network:
        config, tls = part.config, part.network_config.tls
        transports = config.transports if isinstance(config, FallbackConfig) else (config,)
        largest = [_largest_frame(transport) for transport in transports]
        upgrades = [
            upgrade_size(transport.protocols if isinstance(transport, WebSocketConfig) else ())
            for transport in transports
        ]
        asked = None if isinstance(config, AsWritten) else server_heartbeat(config)
        return Network(
            self.environment,
            self.server,
            tls=tls,
            largest=largest,
            upgrades=upgrades,
            link=link,
            heartbeat=asked or self.server.config.pings,
        )

    def _add_people(self) -> None:
        self.everybody += [self._make_person(person) for person in range(self._people.count)]

    def _make_person(self, person: int) -> Person:
        return self._make_driver(person)

    def _make_driver(self, person: int) -> Driver:
        return self._drive(Driver, person)

    def _drive(self, kind: type[D], person: int) -> D:
        """Return a person's driver of a kind."""
        part = self._part(person)
        return kind(
            person,
            self._names[person],
            self._make_machine(person),
            part.network,
            part.paths.make(person),
            self._recorder,
            self._steps_of(person),
            self._make_session,
        )

    def _make_machine(self, person: int) -> Machine:
        config, uniform = self._part(person).config, self._streams.uniform(person, "backoff")
        room, name = self._room(person), self._names[person]
        if isinstance(config, AsWritten):
            return make_as_written(config, self._dialect, uniform, room, name)
        return make_machine(personal(config, room, name), self._dialect, uniform)

    def _room(self, person: int) -> str:
        return self._rooms[self._people.room(person)]

    def _steps_of(self, person: int) -> list[Step] | None:
        return self.steps if person < self._sample else None

    def _make_session(self, driver: Driver) -> Session:
        http = self._dialect.http
        assert http is not None  # The machine has checked that.
        part = self._part(driver.person)
        keep_alive = part.network_config.keep_alive
        return Session(part.network, self.server, driver.path, driver, http, keep_alive)

    def _fault_calendar(self) -> Calendar:
        return self.environment

    def _schedule_people(self) -> None:
        drivers = [person for person in self.everybody if isinstance(person, Driver)]
        schedule_people(self._people, drivers, self.environment, self._streams)


def find_model(*, fast: bool) -> type[Model]:
    """Return the class of models; with the short cuts of `chatlab.sim.fast` if `fast`, and if it exists."""
    if fast and find_spec("chatlab.sim.fast") is not None:
        return cast("type[Model]", import_module("chatlab.sim.fast").FastModel)
    return Model


def _largest_frame(config: TransportConfig | AsWritten) -> int:
    """Return the size of the largest frame that a transport accepts; `maxsize`: all."""
    if isinstance(config, WebSocketConfig) and config.max_frame_size < MAX_FRAME_SIZE:
        return framed_size(config.max_frame_size)
    return maxsize


def config_of(transport: AnyTransport) -> AnyConfig | AsWritten:
    """Return the config of a scenario's transport, for its machines."""
    return transport if isinstance(transport, AsWritten) else transport.config()


def personal(config: C, room: str, sender: str) -> C:
    """Return a copy of the config for one person. It isn't validated again, as that is slow."""
    own = copy.copy(config)
    if isinstance(own, FallbackConfig):
        inner = tuple(personal(transport, room, sender) for transport in own.transports)
        msgspec.structs.force_setattr(own, "transports", inner)
    else:
        msgspec.structs.force_setattr(own, "room", room)
        msgspec.structs.force_setattr(own, "sender", sender)
    return own
