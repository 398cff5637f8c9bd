"""The part that worlds of real parts share: real transports and a real server around a scenario's people.

A world gives `Lines`, everybody's way to the server, and a running asyncio loop whose `time()` is the seconds
since the run began. All else is here, and the same in each: who does what when, what goes wrong, and what is
recorded of it. Faults are those of the model, on paths of the model; how a path's delays, bandwidth and cuts
come about is the lines' business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path as FilePath
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from anyio import CancelScope

from chatlab.errors import SettingsError
from chatlab.experiment.column_recorder import Ledger
from chatlab.experiment.metrics import Value
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.fault_middleware import Address, Ailing
from chatlab.experiment.worlds.person import Line, Person
from chatlab.experiment.worlds.results import incidents, outcome
from chatlab.experiment.worlds.scheduler import Agenda
from chatlab.hub import HubConfig
from chatlab.live.client.kinds import KINDS, kind_of
from chatlab.live.server.connections import Limits
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.luck import Luck
from chatlab.settings import AnyConfig, FallbackConfig
from chatlab.sim.as_written.settings import AsWritten
from chatlab.sim.capacity import AcceptQueue, ServerConfig
from chatlab.sim.faults import Fault, Outage, scenes
from chatlab.sim.meter import Meter
from chatlab.sim.model import personal
from chatlab.sim.path import Path, Paths
from chatlab.sim.people import bring
from chatlab.sim.scene import Breakable, Scene
from chatlab.sim.server import BEGINNING, CLOSE_TIMEOUT
from chatlab.trace import Step

UNBOUNDED = 10_000_000
"""Connections, or seconds, that are never reached: for limits that the model doesn't have."""


class Lines(Protocol):
    """Everybody's lines, in one world."""

    @property
    def requests(self) -> int:
        """Requests that people have sent, opening handshakes of WebSockets included."""

    @property
    def bytes_up(self) -> int:
        """Bytes above TCP that people have sent."""

    @property
    def bytes_down(self) -> int:
        """Bytes above TCP that the server has sent."""

    async def lay(self, server: EmbeddedServer, paths: Sequence[Path], queue: AcceptQueue) -> Sequence[Line]:
        """Return a line for each path to a server that listens.

        Every connection has to be accepted by the `queue` when its SYN has arrived, which may refuse it.
        """

    def client_of(self, connection: Breakable) -> Address:
        """Return the address that the server sees a connection come from."""

    def turn_away(self, connection: Breakable) -> None:
        """Reset a connection if the server hasn't accepted it yet."""

    def stop(self) -> None:
        """Reset all connections that the server hasn't accepted yet: it has stopped."""

    def path_of(self, client: Address) -> Path | None:
        """Return the path of the connection that the server sees come from this address."""

    async def begin(self) -> None:
        """The run begins: the loop's clock goes, from 0."""

    async def close(self) -> None:
        """End all connections, and leave nothing running."""


class ServerSite:
    """The embedded server, as faults see it."""

    def __init__(self, server: EmbeddedServer, ailing: Ailing, lines: Lines, agenda: Agenda) -> None:
        self.environment = agenda
        self._lines = lines
        self.people: list[Person] = []
        self._server = server
        self._ailing = ailing
        self._outages = 0
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def loaded(self) -> bool:
        """Whether its work takes time."""
        return self._ailing.loaded

    @loaded.setter
    def loaded(self, loaded: bool) -> None:
        self._ailing.loaded = loaded

    def stop(self, code: int | None = None, reason: str = "") -> None:
        """Stop serving until as many calls of `start`; connections end by a close code, or without a word."""
        self._outages += 1
        if self._outages == 1:
            self._ailing.work.clear()
            self._refuse(1)
            self._lines.stop()
        if self._outages == 1 or code is None:
            self._do(self._server.stop(abrupt=code is None))

    def start(self) -> None:
        """Serve again."""
        self._outages -= 1
        if self._outages == 0:
            self._do(self._restart())

    async def _restart(self) -> None:
        await self._server.stop(abrupt=True)  # It is back in time, whatever was still to be finished.
        await self._server.start()
        self._refuse(-1)

    def _refuse(self, change: int) -> None:
        for person in self.people:
            person.path.refusing += change
            person.adapt()

    def drop(self, connections: Iterable[Breakable], code: int | None = None, reason: str = "") -> None:
        """End some connections, as `stop` does all."""
        for connection in connections:
            self._lines.turn_away(connection)
            self._server.end(self._lines.client_of(connection), abrupt=code is None)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work))

    async def close(self) -> None:
        """End what is still happening, and stop the server. Errors: those of what has happened."""
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.stop(abrupt=True)
        for result in results:
            if isinstance(result, Exception):
                raise result


async def run_stack(world: str, scenario: Scenario, sample: int, lines: Lines) -> Run:
    """Run a scenario on the running loop, over these lines, and record the first `sample` people's steps.

    Errors: `SettingsError` when such a world can't run it.
    """
    transport = scenario.transport
    if isinstance(transport, AsWritten):
        raise SettingsError("transport: there is no real one as the seed has it; choose the world 'model'")
    if transport.dialect != "chatlab":
        raise SettingsError(f"transport.dialect: the server speaks 'chatlab', got {transport.dialect!r}")
    loop = asyncio.get_running_loop()
    luck = Luck(scenario.seed)
    ailing = Ailing(scenario.server, lines.path_of, luck.uniform(0, "service"))
    with _history(scenario) as db:
        server = _server(scenario.server, db, ailing, loop)
        agenda = Agenda(loop)
        site = ServerSite(server, ailing, lines, agenda)
        ledger, steps = Ledger(), list[Step]()
        queue = AcceptQueue(scenario.server.accept_rate, scenario.server.backlog)
        try:
            await server.start()
            paths = Paths(scenario.network, luck)
            own = [paths.make(person) for person in range(scenario.people.count)]
            laid = await lines.lay(server, own, queue)
            config = transport.config()
            for number, name in enumerate(scenario.people.names):
                room = f"room-{scenario.people.room(number) + 1}"
                line = laid[number]
                own_config = addressed(personal(config, room, name), line.url)
                recorded = steps if number < sample else None
                site.people.append(Person(number, own_config, own[number], line, luck, ledger, recorded))
            over: asyncio.Future[list[float]] = loop.create_future()
            traffic: dict[str, Value] = {}
            counts: dict[str, list[int]] = {}

            def end() -> None:
                over.set_result([person.heard_until for person in site.people])
                for person in site.people:
                    person.end()
                traffic.update(requests=lines.requests, bytes_up=lines.bytes_up, bytes_down=lines.bytes_down)
                traffic.update(queue_max=queue.longest, work_max=ailing.work.longest)
                counts.update(meter.close())

            agenda.call_at(scenario.duration, end)
            happening = scenes(scenario.faults, site.people, site, luck)
            for fault, scene in zip(scenario.faults, happening, strict=True):
                agenda.call_at(fault.at, _begin, agenda, fault, scene)
            bring(scenario.people, site.people, agenda, luck)
            await lines.begin()
            meter = Meter(agenda, lines, queue, ailing.work)
            heard_until = await over
        finally:
            agenda.close()
            with CancelScope(shield=True):
                for person in site.people:
                    person.end()
                await asyncio.gather(*(person.transport.disconnect() for person in site.people))
                await lines.close()
                await site.close()
    for person in site.people:
        if person.failures:
            raise person.failures[0]
    return outcome(
        world,
        scenario,
        scenario.people.names[:sample],
        ledger,
        heard_until,
        incidents(scenario.faults, happening),
        traffic,
        steps,
        counts,
    )


def _begin(agenda: Agenda, fault: Fault, scene: Scene) -> None:
    agenda.let_happen(fault.happen(scene))


def _server(
    config: ServerConfig, db: FilePath | None, ailing: Ailing, loop: asyncio.AbstractEventLoop
) -> EmbeddedServer:
    """Return an embedded server of the model's settings, and without the limits that the model hasn't."""
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
            ping_interval=None,
            keep_alive=config.keep_alive,
            reconnection_time=config.reconnection_time,
            max_hold=config.max_hold,
            close_timeout=CLOSE_TIMEOUT,
        ),
        utc=lambda: BEGINNING + timedelta(seconds=loop.time()),
        new_epoch=lambda: f"{next(epochs)}",
        around=ailing.around,
    )


@contextmanager
def _history(scenario: Scenario) -> Iterator[FilePath | None]:
    """Give a file for the history where the server is to outlive itself."""
    stops = any(isinstance(fault, Outage) and fault.general for fault in scenario.faults)
    if not (stops and scenario.server.keep_history):
        yield None
        return
    with TemporaryDirectory(prefix="chatlab-") as folder:
        yield FilePath(folder) / "history.db"


def addressed(config: AnyConfig, root: str) -> AnyConfig:
    """Return a copy of a config for the server with this root URL."""
    if isinstance(config, FallbackConfig):
        return config.replace(transports=tuple(addressed(inner, root) for inner in config.transports))
    return config.replace(url=KINDS[kind_of(config)].address(root))
