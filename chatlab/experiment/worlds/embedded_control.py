"""The functions by which faults control an embedded server."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, Protocol

from chatlab.experiment.worlds.fault_middleware import Address, FaultMiddleware
from chatlab.experiment.worlds.scheduler import LoopScheduler
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.sim.fault_context import Breakable, FaultTarget


class ServerLines(Protocol):
    """The access lines of all people to one server, as far as the server's faults need them."""

    def client_address(self, connection: Breakable) -> Address:
        """Return the client address of a connection, as the server sees it."""

    def reset_unaccepted(self, connection: Breakable) -> None:
        """Reset a connection if the server hasn't accepted it yet."""

    def reset_all_unaccepted(self) -> None:
        """Reset all connections that the server hasn't accepted yet, after it has stopped."""


class EmbeddedServerControl:
    """The functions by which faults control the embedded server. `people` are all who are connected to it."""

    def __init__(
        self,
        server: EmbeddedServer,
        middleware: FaultMiddleware,
        lines: ServerLines,
        scheduler: LoopScheduler,
        people: Sequence[FaultTarget],
    ) -> None:
        self.environment = scheduler
        self._lines = lines
        self._people = people
        self._server = server
        self._middleware = middleware
        self._outages = 0
        self._draining = False
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def loaded(self) -> bool:
        """Whether requests take service time."""
        return self._middleware.loaded

    @loaded.setter
    def loaded(self, loaded: bool) -> None:
        self._middleware.loaded = loaded

    @property
    def node_count(self) -> int:
        """Number of nodes: one."""
        return 1

    def stop(self, code: int | None = None, reason: str = "", node: int | None = None) -> None:
        """Stop serving until `start` has been called as often as `stop`. Without a close code, reset
        connections. There is one `node`."""
        first = self._close()
        if first:
            self._middleware.work.clear()
        if first or self._draining or code is None:
            self._draining = False
            self._start_task(self._server.stop(abrupt=code is None))

    def drain(self, seconds: float, code: int, reason: str, node: int) -> None:
        """Stop serving until `start`, but end the connections evenly over `seconds`."""
        if self._close():
            self._draining = True
            self._start_task(self._drain(seconds))

    async def _drain(self, seconds: float) -> None:
        """Stop the server within `seconds`, or until a stop or a start ends the drain; its work ends then."""
        await self._server.stop(drain=seconds)
        self._middleware.work.clear()

    def _close(self) -> bool:
        """Refuse connections, until one `start` for each `_close`; return whether it served until now."""
        self._outages += 1
        if self._outages > 1:
            return False
        self._change_refusing(1)
        self._lines.reset_all_unaccepted()
        return True

    def start(self, node: int | None = None) -> None:
        """Serve again."""
        self._outages -= 1
        if self._outages == 0:
            self._draining = False
            self._start_task(self._restart())

    async def _restart(self) -> None:
        await self._server.stop(abrupt=True)  # A restart doesn't wait for a graceful stop.
        try:
            await self._server.start()
        finally:  # If it can't start, the system refuses.
            self._change_refusing(-1)

    def _change_refusing(self, change: int) -> None:
        for person in self._people:
            person.path.refusing += change
            person.adapt()

    def drop(self, connections: Iterable[Breakable], code: int | None = None, reason: str = "") -> None:
        """End some connections, as `stop` ends all."""
        for connection in connections:
            self._lines.reset_unaccepted(connection)
            self._server.end(self._lines.client_address(connection), abrupt=code is None)

    def _start_task(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work))

    async def settle(self) -> None:
        """Wait until all stops and restarts are over. Errors: those of the first one that failed."""
        tasks = self._tasks
        results = await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks = [task for task in self._tasks if task not in tasks]
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def close(self) -> None:
        """Cancel unfinished stops and restarts, and stop the server. Errors: those of finished ones."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.stop(abrupt=True)
        await self.settle()
