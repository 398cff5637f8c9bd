"""The wire world: the real transports and the real server, byte for byte, on virtual time.

`websockets`, `httpx` and the embedded server run unmodified on an event loop whose clock is a SimPy
environment (`chatlab.sim.virtual_loop`) over a simulated TCP (`chatlab.sim.tcp`). Each person dials a
loopback address of his own, by which the simulated internet knows whose path the connection takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from chatlab.errors import SettingsError
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.httpcore_clock import httpcore_on_loop_time
from chatlab.experiment.worlds.stack import run_stack
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.luck import Luck
from chatlab.sim.capacity import AcceptQueue
from chatlab.sim.endpoint import Address
from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.internet import CLIENT_HOST, Internet
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.path import Path, Paths
from chatlab.sim.scene import Breakable
from chatlab.sim.tcp import TcpConnection
from chatlab.sim.virtual_loop import VirtualLoop

Result = TypeVar("Result")

MOST_PEOPLE = 10_000
"""People in the wire world at most: their connections take about 0.1 MB each."""


def run_wire(scenario: Scenario, sample: int) -> Run:
    """Run a scenario in the wire world, and record the first `sample` people's steps.

    Errors: `SettingsError` when it can't run this scenario.
    """
    if scenario.people.count > MOST_PEOPLE:
        raise SettingsError(
            f"people.count: the wire world holds at most {MOST_PEOPLE:,} people, got "
            f"{scenario.people.count:,}; the model world holds more"
        )
    lines = WireLines(scenario.network.tls)
    return _on(lines, lambda: run_stack("wire", scenario, sample, lines))


def talk_on_wire(
    talk: Callable[[str, WireLines], Coroutine[Any, Any, Result]], network: NetworkConfig | None = None
) -> Result:
    """Return what a client of any kind makes of a fresh server, both in the wire world.

    `talk` is given the server's root URL, and the lines, which count what goes over them. What lives on
    another loop than `talk` itself isn't in that world: transports want `loop="current"`.

    Errors: those of `talk`.
    """
    network = NetworkConfig() if network is None else network
    lines = WireLines(network.tls)

    async def serve_and_talk() -> Result:
        async with EmbeddedServer() as server:
            path = Paths(network, Luck(0)).make(0)
            (line,) = await lines.lay(server, [path], AcceptQueue(None, 1))
            return await talk(line.url, lines)

    return _on(lines, serve_and_talk)


def _on(lines: WireLines, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Run a coroutine on the lines' virtual time, and wait for it, in any thread."""
    if not _inside_loop():
        return _run(lines, work)
    # A thread runs one loop at a time, and this one, maybe a notebook's, has its own.
    with ThreadPoolExecutor(1, thread_name_prefix="chatlab-wire") as thread:
        return thread.submit(_run, lines, work).result()


def _inside_loop() -> bool:
    with suppress(RuntimeError):
        return asyncio.get_running_loop().is_running()
    return False


def _run(lines: WireLines, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    with (
        httpcore_on_loop_time(),
        lines.internet,
        asyncio.Runner(loop_factory=lambda: VirtualLoop(lines.environment, lines.internet)) as runner,
    ):
        return runner.run(work())


class WireLine:
    """One person's way to the server, over the simulated internet."""

    def __init__(self, internet: Internet, path: Path, url: str) -> None:
        self.url = url
        self._internet = internet
        self._path = path

    @property
    def connections(self) -> Sequence[TcpConnection]:
        """All connections, whether in use or kept for later."""
        return tuple(
            connection for connection in self._internet.connections(self._path) if not connection.client.gone
        )

    @property
    def quiet(self) -> bool:
        """Whether nothing is on its way to the person, or has vanished."""
        return all(connection.quiet for connection in self.connections)

    def adapt(self) -> None:
        """Take note that the path has changed."""
        for connection in self._internet.connections(self._path):
            connection.adapt()


class WireLines:
    """Everybody's lines on one simulated internet."""

    def __init__(self, tls: bool) -> None:
        self.environment = LadderEnvironment()
        self.internet = Internet(self.environment, self._find_path, tls=tls)
        self._paths: dict[str, Path] = {}

    @property
    def bytes_up(self) -> int:
        """Bytes that people have sent."""
        return self.internet.bytes_up

    @property
    def bytes_down(self) -> int:
        """Bytes that the server has sent."""
        return self.internet.bytes_down

    @property
    def requests(self) -> int:
        """Requests that people have sent."""
        return self.internet.requests

    async def lay(
        self, server: EmbeddedServer, paths: Sequence[Path], queue: AcceptQueue
    ) -> Sequence[WireLine]:
        """Return a line for each path to a server that listens."""
        self.internet.queue = queue
        self._paths = {_host(person): path for person, path in enumerate(paths)}
        return [
            WireLine(self.internet, path, f"http://{host}:{server.port}")
            for host, path in self._paths.items()
        ]

    def _find_path(self, host: str) -> Path:
        return self._paths[host]

    def client_of(self, connection: Breakable) -> Address:
        """Return the address that the server sees a connection come from."""
        return CLIENT_HOST, connection.number

    def turn_away(self, connection: Breakable) -> None:
        """Reset a connection if the server hasn't accepted it yet."""
        there = self.internet.find(connection.number)
        if there is not None:
            there.turn_away()

    def stop(self) -> None:
        """Nothing is to be done: its listener resets them."""

    def path_of(self, client: Address) -> Path | None:
        """Return the path of the connection that the server sees come from this address."""
        _, number = client
        connection = self.internet.find(number)
        return None if connection is None else connection.path

    async def begin(self) -> None:
        """The run begins: nothing has taken any time yet."""
        assert self.environment.now == 0

    async def close(self) -> None:
        """Nothing runs by itself; the server ends its connections."""


def _host(person: int) -> str:
    """Return a loopback address for each person; the first have names as long as the usual one's."""
    high, low = divmod(person + 1, 250)
    higher, high = divmod(high, 250)
    return f"127.{higher}.{high}.{low}"
