"""The part that wire and live world share: a scenario's people, with real transports and a real server.

A world provides `AccessLines`, which connect people to the server, and a running asyncio loop whose `time()`
is the seconds since the run began. This module schedules the script and the faults, and records the results.
Faults and paths are those of the model. The lines apply a path's delays, bandwidth and impairments.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path as FilePath
from tempfile import TemporaryDirectory
from typing import Protocol

from anyio import CancelScope

from chatlab.dialects import ChatlabDialect, find_dialect
from chatlab.errors import SettingsError
from chatlab.experiment.column_recorder import ColumnRecorder
from chatlab.experiment.percentiles import Value
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.embedded_control import EmbeddedServerControl, ServerLines
from chatlab.experiment.worlds.fault_middleware import Address, FaultMiddleware
from chatlab.experiment.worlds.person import AccessLine, Person
from chatlab.experiment.worlds.results import incidents, make_run
from chatlab.experiment.worlds.scheduler import LoopScheduler
from chatlab.hub import HubConfig
from chatlab.live.client.kinds import KINDS, kind_of
from chatlab.live.server.connections import Limits
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.random_streams import RandomStreams
from chatlab.settings import AnyConfig, FallbackConfig, HeartbeatConfig
from chatlab.sim.as_written.settings import AsWritten
from chatlab.sim.capacity import AcceptQueue, QueueOverflow, ServerConfig
from chatlab.sim.fault_context import FaultContext
from chatlab.sim.faults import Fault, NodeFault, Outage, fault_contexts, loses_packets
from chatlab.sim.meter import Meter
from chatlab.sim.model import personal
from chatlab.sim.needs import Needs
from chatlab.sim.path import Path, Paths
from chatlab.sim.people import schedule_people
from chatlab.sim.server import BEGINNING
from chatlab.sim.stopping import CLOSE_TIMEOUT
from chatlab.trace import Step
from chatlab.transports.heartbeat import server_heartbeat

UNBOUNDED = 10_000_000
"""A limit that no run reaches, in connections or seconds. For limits that the model doesn't have."""


class AccessLines(ServerLines, Protocol):
    """The access lines of all people in one world."""

    @property
    def requests(self) -> int:
        """Requests that people have sent, including the opening handshakes of WebSockets."""

    @property
    def bytes_up(self) -> int:
        """Bytes above TCP that people have sent."""

    @property
    def bytes_down(self) -> int:
        """Bytes above TCP that the server has sent."""

    async def open(
        self, server: EmbeddedServer, paths: Sequence[Path], queue: AcceptQueue, overflow: QueueOverflow
    ) -> Sequence[AccessLine]:
        """Return a line to the listening server for each path.

        Connections enter the accept `queue`; `overflow` says what happens if it is full.
        """

    def path_of(self, client: Address) -> Path | None:
        """Return the path of the connection from this client address; None: the connection has ended."""

    def overflowed(self, client: Address) -> bool:
        """Return whether the connection from this client address found the accept queue full."""

    async def begin(self) -> None:
        """Start the loop's clock at 0."""

    async def close(self) -> None:
        """End all connections and tasks."""


async def run_stack(world: str, scenario: Scenario, sample: int, lines: AccessLines) -> Run:
    """Run a scenario on the running loop; record the steps of the first `sample` people.

    Errors: `SettingsError` when the real transports or server can't run it.
    """
    transport = scenario.transport
    transports = [transport, *(group.transport for group in scenario.people.groups if group.transport)]
    if any(isinstance(each, AsWritten) for each in transports):
        raise SettingsError("transport: the snippets as written run in the world 'model' only")
    for number, group in enumerate(scenario.people.groups):
        if group.network is not None and group.network.tls != scenario.network.tls:
            raise SettingsError(
                f"people.groups[{number}].network.tls: in the world {world!r} everybody has that of "
                f"network.tls, {scenario.network.tls}; only the world 'model' mixes them"
            )
    if not isinstance(find_dialect(transport.dialect), ChatlabDialect):
        raise SettingsError(f"transport.dialect: the server speaks 'chatlab', got {transport.dialect!r}")
    if scenario.server.nodes > 1:
        raise SettingsError(
            f"server.nodes: the world {world!r} has one node, got {scenario.server.nodes}; only the world "
            "'model' has several"
        )
    loop = asyncio.get_running_loop()
    streams = RandomStreams(scenario.seed)
    heartbeats: list[HeartbeatConfig | None] = []  # The server's, for each person.
    scheduler = LoopScheduler(loop)
    needs = Needs(scenario.server.needs, streams, scheduler)
    middleware = FaultMiddleware(
        scenario.server,
        lines.path_of,
        streams.uniform(0, "service"),
        needs,
        lines.overflowed,
        lambda path: heartbeats[path.person],
    )
    with _history(scenario) as db:
        server = _server(scenario.server, db, middleware, loop)
        people: list[Person] = []
        control = EmbeddedServerControl(server, middleware, lines, scheduler, people)
        recorder, steps = ColumnRecorder(), list[Step]()
        warm_up = scenario.people.begins_at < 0
        queue = AcceptQueue(None if warm_up else scenario.server.accept_rate, scenario.server.backlog)
        middleware.loaded &= not warm_up
        try:
            await server.start()
            membership, groups = scenario.people.membership, scenario.people.groups
            group_of = [membership.group(person) for person in range(scenario.people.count)]
            all_paths = _paths(scenario, streams)
            person_paths = [all_paths[group].make(person) for person, group in enumerate(group_of)]
            opened = await lines.open(server, person_paths, queue, scenario.server.overflow)
            configs = [(group.transport or transport).config() for group in groups] + [transport.config()]
            for number, name in enumerate(scenario.people.names):
                room = f"room-{scenario.people.room(number) + 1}"
                line = opened[number]
                own_config = addressed(personal(configs[group_of[number]], room, name), line.url)
                heartbeats.append(server_heartbeat(own_config))
                recorded = steps if number < sample else None
                people.append(
                    Person(number, own_config, person_paths[number], line, streams, recorder, recorded)
                )
            ended: asyncio.Future[list[float]] = loop.create_future()
            traffic: dict[str, Value] = {}
            counts: dict[str, list[int]] = {}

            def end() -> None:
                ended.set_result([person.complete_until for person in people])
                for person in people:
                    person.end()
                traffic.update({name: total - before[name] for name, total in totals(lines).items()})
                traffic.update(queue_max=queue.longest, work_max=middleware.work.longest)
                traffic.update(needs.figures())
                counts.update(meter.close())

            before = totals(lines)
            meter: Meter

            def start() -> None:
                nonlocal meter
                queue.limit(scenario.server.accept_rate)
                middleware.loaded = scenario.server.service_time > 0
                before.update(totals(lines))
                meter = Meter(scheduler, lines, [queue], [middleware.work])

            scheduler.call_at(scenario.duration, end)
            if warm_up:
                scheduler.call_at(0.0, start)
            contexts = fault_contexts(scenario.faults, people, control, streams, membership)
            for fault, context in zip(scenario.faults, contexts, strict=True):
                scheduler.call_at(fault.at, _inject, scheduler, fault, context)
            schedule_people(scenario.people, people, scheduler, streams)
            await lines.begin()
            if not warm_up:
                meter = Meter(scheduler, lines, [queue], [middleware.work])
            complete_until = await ended
        finally:
            scheduler.close()
            with CancelScope(shield=True):
                for person in people:
                    person.end()
                await asyncio.gather(*(person.transport.disconnect() for person in people))
                await lines.close()
                await control.close()
    for person in people:
        if person.errors:
            raise person.errors[0]
    return make_run(
        world,
        scenario,
        scenario.people.names[:sample],
        recorder,
        complete_until,
        incidents(scenario.faults, contexts),
        traffic,
        steps,
        counts,
        needs=needs.totals(),
    )


def totals(lines: AccessLines) -> dict[str, int]:
    """Return all requests and bytes so far."""
    return {"requests": lines.requests, "bytes_up": lines.bytes_up, "bytes_down": lines.bytes_down}


def _paths(scenario: Scenario, streams: RandomStreams) -> list[Paths]:
    """Return the paths of each group, and of the others."""
    networks = [group.network or scenario.network for group in scenario.people.groups] + [scenario.network]
    names = scenario.people.membership.names
    return [
        Paths(network, streams, lossy=loses_packets(network, scenario.faults, name))
        for network, name in zip(networks, names, strict=True)
    ]


def _inject(scheduler: LoopScheduler, fault: Fault, context: FaultContext) -> None:
    scheduler.inject(fault.inject(context))


def _server(
    config: ServerConfig, db: FilePath | None, middleware: FaultMiddleware, loop: asyncio.AbstractEventLoop
) -> EmbeddedServer:
    """Return an embedded server with the model's settings, and without limits that the model doesn't have."""
    epochs = count(1)
    return EmbeddedServer(
        db,
        config=HubConfig(
            rate=config.rate,
            burst=config.burst,
            address_factor=UNBOUNDED,
            presence_limit=HubConfig().presence_limit if config.presence else 0,
        ),
        limits=Limits(
            max_connections=config.max_connections or UNBOUNDED,
            max_backlogs=UNBOUNDED * Limits().max_backlog,
            request_timeout=UNBOUNDED,
            ping_interval=config.ping_interval,
            ping_timeout=config.ping_timeout,
            keep_alive=config.keep_alive,
            reconnection_time=config.reconnection_time,
            max_hold=config.max_hold,
            close_timeout=CLOSE_TIMEOUT,
        ),
        utc=lambda: BEGINNING + timedelta(seconds=loop.time()),
        new_epoch=lambda: f"{next(epochs)}",
        around=middleware.wrap,
    )


@contextmanager
def _history(scenario: Scenario) -> Iterator[FilePath | None]:
    """Yield a file for the history if a fault restarts the server, and the server keeps its history."""
    stopping = Outage, NodeFault
    stops = any(isinstance(fault, stopping) and fault.general for fault in scenario.faults)
    if not (stops and scenario.server.keep_history):
        yield None
        return
    with TemporaryDirectory(prefix="chatlab-") as folder:
        yield FilePath(folder) / "history.db"


def addressed(config: AnyConfig, root: str) -> AnyConfig:
    """Return a copy of the config for the server at this root URL."""
    if isinstance(config, FallbackConfig):
        return config.replace(transports=tuple(addressed(inner, root) for inner in config.transports))
    return config.replace(url=KINDS[kind_of(config)].address(root))
