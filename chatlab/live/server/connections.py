"""The limits of a server, and all of its open connections.

The connections themselves are uvicorn's protocols (`http_connection`, `websocket_connection`) with limits
that uvicorn lacks. uvicorn waits without limit for the end of a request's headers, and for a reader that
doesn't read. It also logs URLs with their query, which may hold tokens.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, MutableSet
from itertools import count
from math import inf
from operator import attrgetter
from typing import Any

from uvicorn.server import ServerState

from chatlab.settings import PositiveDuration, Settings, Size

SILENT = logging.getLogger(f"{__name__}.uvicorn")
"""The logger that uvicorn writes to, disabled: the service logs its own errors, without queries."""
SILENT.setLevel(logging.CRITICAL + 1)


def never() -> bool:
    """Return False: the `mute` of a connection without an injected fault."""
    return False


class Limits(Settings, frozen=True):
    """The limits of a server.

    Connections beyond `max_connections` are answered with 503, but only `Connections.REFUSALS` of them at a
    time. Further ones are aborted without an answer.

    A request must arrive whole within `request_timeout`. `max_backlog` bytes may wait for a slow reader, and
    `max_backlogs` for all of them together. Close frames must be answered within `close_timeout`. Pings
    detect dead connections; with `ping_interval` None none are sent.

    An event stream gets a comment every `keep_alive` seconds. Any answer over HTTP is cut off if bytes wait
    for its reader, and the reader has read nothing for that long. Readers of streams get
    `reconnection_time` as their `retry`, unless it is None. A poll is held for `max_hold` at most.
    """

    max_connections: Size = 1000
    request_timeout: PositiveDuration = 10.0
    max_backlog: Size = 4 * 1024 * 1024
    max_backlogs: Size = 256 * 1024 * 1024
    close_timeout: PositiveDuration = 0.5
    ping_interval: PositiveDuration | None = 20.0
    ping_timeout: PositiveDuration = 20.0
    keep_alive: PositiveDuration = 15.0
    reconnection_time: PositiveDuration | None = None
    max_hold: PositiveDuration = 25.0


class BoundedConnection(asyncio.BaseProtocol):
    """The common part of a server's connections: bounds on the bytes that wait for a reader, and on the
    time that an end takes."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    server_state: Connections
    _replayed = inf
    _full = False
    _go_on: Callable[[], None] | None = None
    accepted = 0
    """Its number in order of acceptance, which it keeps when it becomes a WebSocket."""
    close_timer: asyncio.TimerHandle | None = None
    """The timer of `abort_soon`. uvicorn's WebSockets have one of that name: while it runs, they read on."""

    def begin_replay(self) -> None:
        """Begin a replay: any number of bytes may wait for the reader."""
        self._replayed = inf

    def end_replay(self) -> None:
        """End the replay: in addition to its bytes, at most `max_backlog` may wait."""
        self._replayed = self.transport.get_write_buffer_size()

    @property
    def overfull(self) -> bool:
        """Whether too many bytes wait for the reader."""
        return self.transport.get_write_buffer_size() > self._replayed + self.server_state.max_backlog

    def when_read(self, go_on: Callable[[], None]) -> None:
        """Call `go_on` in a later iteration of the loop, once most of the written bytes have been read."""
        if self._full:
            self._go_on = go_on
        else:
            self.loop.call_soon(go_on)

    def pause_writing(self) -> None:
        self._full = True
        super().pause_writing()

    def resume_writing(self) -> None:
        self._full = False
        super().resume_writing()
        go_on, self._go_on = self._go_on, None
        if go_on is not None:
            self.loop.call_soon(go_on)

    def abort_soon(self) -> None:
        """Abort the connection after `close_timeout`. Until then, remaining bytes can be written, read and
        answered."""
        if self.close_timer is None:
            timeout = self.server_state.limits.close_timeout
            self.close_timer = self.loop.call_later(timeout, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.server_state.lost()


class _InOrder(MutableSet[Any]):
    """A set that iterates in insertion order, so that connections always end in the same order."""

    def __init__(self) -> None:
        self._items: dict[Any, None] = {}

    def __contains__(self, item: object) -> bool:
        return item in self._items

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def add(self, value: Any) -> None:
        self._items[value] = None

    def discard(self, value: Any) -> None:
        self._items.pop(value, None)


class Connections(ServerState):
    """All open connections of a server, and the tasks that serve them."""

    REFUSALS = 100
    """Connections beyond the limit that still get an answer: 503, too many connections."""

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self.connections = _InOrder()  # type: ignore[assignment]  # uvicorn's set has no order
        self.limits = limits
        self.closing = False
        self.draining = False
        self._numbers = count(1)
        self._lost = asyncio.Event()
        self._hurried = False
        self._grace: asyncio.Timeout | None = None
        self._drain: asyncio.Timeout | None = None

    @property
    def max_backlog(self) -> int:
        """Bytes that may wait for each reader in addition to its replay: fewer, the more connections there
        are."""
        return min(self.limits.max_backlog, self.limits.max_backlogs // max(1, len(self.connections)))

    @property
    def full(self) -> bool:
        """Whether there are more connections than the limit."""
        return len(self.connections) > self.limits.max_connections

    def next_number(self) -> int:
        """Return the number of a connection that has just been accepted."""
        return next(self._numbers)

    def lost(self) -> None:
        """Wake `close`, since a connection has ended."""
        self._lost.set()

    async def drain(self, seconds: float) -> None:
        """Close the connections evenly over `seconds`: of N, in order of acceptance, the i-th (from 0) after
        i/N of them. Return when none is left, after `seconds`, or at `end_drain`.

        Until its turn a connection is served, but nothing lasting begins on it: see `Guard`.
        """
        self.draining = True
        loop = asyncio.get_running_loop()
        began = loop.time()
        connections = sorted(self.connections, key=attrgetter("accepted"))
        turns = [
            loop.call_at(began + index * seconds / len(connections), self._end_turn, connection)
            for index, connection in enumerate(connections)
        ]
        try:
            async with asyncio.timeout_at(began + seconds) as self._drain:
                await self._gone()
        except TimeoutError:
            pass
        finally:
            self._drain = None
            for turn in turns:
                turn.cancel()

    def _end_turn(self, connection: Any) -> None:
        """End a connection, if it is still there."""
        if connection in self.connections:
            connection.shutdown()

    def end_drain(self) -> None:
        """End a `drain` under way."""
        if self._drain is not None and not self._drain.expired():
            self._drain.reschedule(asyncio.get_running_loop().time())

    async def close(self, *, abrupt: bool) -> None:
        """End all connections: with a close frame and `close_timeout` to answer it, or `abrupt`, as in a
        crash."""
        self.closing = True
        if abrupt or self._hurried:  # A crash may have ended a drain.
            self.hurry()
        else:
            for connection in list(self.connections):
                connection.shutdown()
            await self._give_time(self._gone())
        for connection in list(self.connections):
            connection.transport.abort()
        await self._gone()
        if self.tasks:
            await self._give_time(asyncio.wait(self.tasks))
        while self.tasks:
            for task in self.tasks:
                task.cancel()
            await asyncio.wait(self.tasks, timeout=self.limits.close_timeout)

    def hurry(self) -> None:
        """End the grace time of a `close` under way."""
        self._hurried = True
        if self._grace is not None and not self._grace.expired():
            self._grace.reschedule(asyncio.get_running_loop().time())

    async def _give_time(self, work: Coroutine[Any, Any, object]) -> None:
        """Wait for `work`, at most for `close_timeout`."""
        try:
            async with asyncio.timeout(0 if self._hurried else self.limits.close_timeout) as self._grace:
                await work
        except TimeoutError:
            pass
        finally:
            self._grace = None

    def end(self, client: tuple[str, int], *, abrupt: bool) -> None:
        """End the connection that comes from this address, if there is one."""
        for connection in list(self.connections):
            if getattr(connection, "client", None) == client:
                connection.transport.abort() if abrupt else connection.shutdown()

    async def _gone(self) -> None:
        while self.connections:
            self._lost.clear()
            await self._lost.wait()
