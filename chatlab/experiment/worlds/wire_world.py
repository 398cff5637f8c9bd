"""The wire world: the real transports and the real server on simulated TCP and virtual time.

`websockets`, `httpx` and the embedded server run unmodified on an event loop whose clock is a SimPy
environment (`chatlab.sim.virtual_loop`), over a simulated TCP (`chatlab.sim.tcp`). Each person
connects to a loopback address of their own, by which the simulated internet finds the connection's path.
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
from chatlab.experiment.worlds.httpcore_clock import httpcore_uses_loop_time
from chatlab.experiment.worlds.stack import run_stack
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.random_streams import RandomStreams
from chatlab.sim.capacity import AcceptQueue, QueueOverflow
from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.fault_context import Breakable
from chatlab.sim.internet import CLIENT_HOST, Internet
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.path import Path, Paths
from chatlab.sim.simulated_socket import Address
from chatlab.sim.tcp import TcpConnection
from chatlab.sim.virtual_loop import VirtualLoop

Result = TypeVar("Result")

MAX_WIRE_PEOPLE = 10_000
"""Maximum number of people in the wire world. Their connections take about 0.1 MB each."""


def run_wire(scenario: Scenario, sample: int) -> Run:
    """Run a scenario in the wire world, and record the steps of the first `sample` people.

    Errors: `SettingsError` when it can't run this scenario.
    """
    if scenario.people.count > MAX_WIRE_PEOPLE:
        raise SettingsError(
            f"people.count: the wire world holds at most {MAX_WIRE_PEOPLE:,} people, got "
            f"{scenario.people.count:,}; the model world holds more"
        )
    lines = WireLines(scenario.network.tls, scenario.people.begins_at)
    return _run_from_any_thread(lines, lambda: run_stack("wire", scenario, sample, lines))


def talk_on_wire(
    talk: Callable[[str, WireLines], Coroutine[Any, Any, Result]], network: NetworkConfig | None = None
) -> Result:
    """Run a client of any kind against a new server in the wire world; return the client's result.

    `talk` takes the server's root URL and the lines, which count the bytes and requests. Everything must run
    on the event loop of `talk`: give transports `loop="current"`.

    Errors: those of `talk`.
    """
    network = NetworkConfig() if network is None else network
    lines = WireLines(network.tls)

    async def serve_and_talk() -> Result:
        async with EmbeddedServer() as server:
            path = Paths(network, RandomStreams(0)).make(0)
            (line,) = await lines.open(server, [path], AcceptQueue(None, 1), "drop")
            return await talk(line.url, lines)

    return _run_from_any_thread(lines, serve_and_talk)


def _run_from_any_thread(lines: WireLines, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Run a coroutine on the lines' virtual time, from any thread, and return its result."""
    if not _inside_loop():
        return _run(lines, work)
    # A thread runs only one loop at a time, and this one already runs one, such as a notebook's.
    with ThreadPoolExecutor(1, thread_name_prefix="chatlab-wire") as thread:
        return thread.submit(_run, lines, work).result()


def _inside_loop() -> bool:
    with suppress(RuntimeError):
        return asyncio.get_running_loop().is_running()
    return False


def _run(lines: WireLines, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    with (
        httpcore_uses_loop_time(),
        lines.internet,
        asyncio.Runner(loop_factory=lambda: VirtualLoop(lines.environment, lines.internet)) as runner,
    ):
        return runner.run(work())


class WireLine:
    """One person's connections to the server, over the simulated internet."""

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
    def up_to_date(self) -> bool:
        """Whether nothing is in flight to the person, and nothing was lost on the way."""
        return all(connection.up_to_date for connection in self.connections)

    def adapt(self) -> None:
        """Apply the changes of the path."""
        for connection in self._internet.connections(self._path):
            connection.adapt()


class WireLines:
    """The access lines of all people on one simulated internet. Its time begins at `begins_at`."""

    def __init__(self, tls: bool, begins_at: float = 0.0) -> None:
        self.environment = LadderEnvironment(begins_at)
        self._begins_at = begins_at
        self.internet = Internet(self.environment, self._find_path, tls=tls)
        self._paths: dict[str, Path] = {}

    @property
    def bytes_up(self) -> int:
        """Bytes above TCP that people have sent."""
        return self.internet.bytes_up

    @property
    def bytes_down(self) -> int:
        """Bytes above TCP that the server has sent."""
        return self.internet.bytes_down

    @property
    def requests(self) -> int:
        """Requests that people have sent, including the opening handshakes of WebSockets."""
        return self.internet.requests

    async def open(
        self, server: EmbeddedServer, paths: Sequence[Path], queue: AcceptQueue, overflow: QueueOverflow
    ) -> Sequence[WireLine]:
        """Return a line to the listening server for each path."""
        self.internet.queue, self.internet.overflow = queue, overflow
        self._paths = {_host(person): path for person, path in enumerate(paths)}
        return [
            WireLine(self.internet, path, f"http://{host}:{server.port}")
            for host, path in self._paths.items()
        ]

    def _find_path(self, host: str) -> Path:
        return self._paths[host]

    def client_address(self, connection: Breakable) -> Address:
        """Return the client address of a connection, as the server sees it."""
        return CLIENT_HOST, connection.number

    def reset_unaccepted(self, connection: Breakable) -> None:
        """Reset a connection if the server hasn't accepted it yet."""
        found = self.internet.find(connection.number)
        if found is not None:
            found.reset_unaccepted()

    def reset_all_unaccepted(self) -> None:
        """Do nothing: the simulated listener resets them when it closes."""

    def path_of(self, client: Address) -> Path | None:
        """Return the path of the connection from this client address; None: the connection has ended."""
        _, number = client
        connection = self.internet.find(number)
        return None if connection is None else connection.path

    def overflowed(self, client: Address) -> bool:
        """Return whether the connection from this client address found the accept queue full."""
        connection = self.internet.find(client[1])
        return connection is not None and connection.overflowed

    async def begin(self) -> None:
        """Check that no time has passed."""
        assert self.environment.now == self._begins_at

    async def close(self) -> None:
        """Do nothing: the server ends its connections."""


def _host(person: int) -> str:
    """Return a person's loopback address. The first have as many characters as 127.0.0.1."""
    high, low = divmod(person + 1, 250)
    higher, high = divmod(high, 250)
    return f"127.{higher}.{high}.{low}"
