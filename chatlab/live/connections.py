"""What a server bears, and all of its open connections.

The connections themselves are uvicorn's protocols (`http_connection`, `websocket_connection`) with the bounds
that they leave open: on time, on memory, and on what they log. uvicorn itself waits for ever for the end of a
request's headers and for a reader that doesn't read; and it logs URLs with their query, where tokens may be.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, MutableSet
from math import inf
from typing import Any

from uvicorn.server import ServerState

from chatlab.settings import PositiveDuration, Settings, Size

SILENT = logging.getLogger(f"{__name__}.uvicorn")
"""Where uvicorn writes: the service logs its own errors, without queries."""
SILENT.setLevel(logging.CRITICAL + 1)


def never() -> bool:
    """What a connection is mute at, where there is no such fault."""
    return False


class Limits(Settings, frozen=True):
    """What a server bears. Beyond `max_connections` it answers 503, and beyond a few more it doesn't answer.

    A request must be there whole within `request_timeout`. `max_backlog` bytes may wait for a reader that
    lags, and `max_backlogs` for all of them. Close frames must be answered within `close_timeout`. Pings find
    connections that are dead; with `ping_interval` None there are none.

    An event stream gets a comment every `keep_alive`. Any answer over HTTP is cut off when something waits of
    which nothing has been read for that long. Readers of streams are told their `reconnection_time`, unless
    it's None. A poll is held for `max_hold` at most.
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


class Backpressure(asyncio.BaseProtocol):
    """The part of a connection's protocol that knows how much waits for its reader."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    server_state: Connections
    _replayed = inf
    _full = False
    _go_on: Callable[[], None] | None = None

    def begin_replay(self) -> None:
        """Begin a replay: any number of bytes may wait for the reader."""
        self._replayed = inf

    def admit(self) -> None:
        """End the replay: beside it, at most `max_backlog` bytes may wait."""
        self._replayed = self.transport.get_write_buffer_size()

    @property
    def overfull(self) -> bool:
        """Whether too much waits for the reader already."""
        return self.transport.get_write_buffer_size() > self._replayed + self.server_state.max_backlog

    def when_read(self, go_on: Callable[[], None]) -> None:
        """Call something, not at once, when most of what was written has been read."""
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


class _InOrder(MutableSet[Any]):
    """A set whose items keep the order in which they came, so that they always end in the same one."""

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
    """So many connections beyond the limit are still told that there are too many."""

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self.connections = _InOrder()  # type: ignore[assignment]  # uvicorn's set has no order
        self.limits = limits
        self.closing = False
        self._lost = asyncio.Event()
        self._hurried = False
        self._grace: asyncio.Timeout | None = None

    @property
    def max_backlog(self) -> int:
        """Bytes that may wait for each reader beside its replay: less, the more connections there are."""
        return min(self.limits.max_backlog, self.limits.max_backlogs // max(1, len(self.connections)))

    @property
    def full(self) -> bool:
        """Whether there are more than the limit."""
        return len(self.connections) > self.limits.max_connections

    def lost(self) -> None:
        """Take note that a connection has ended."""
        self._lost.set()

    async def close(self, *, abrupt: bool) -> None:
        """End all connections: with a close frame and a moment to answer it, or as a crash would."""
        self.closing = True
        if abrupt:
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
        """Give no more time to what is still under way, as `close` does."""
        self._hurried = True
        if self._grace is not None and not self._grace.expired():
            self._grace.reschedule(asyncio.get_running_loop().time())

    async def _give_time(self, work: Coroutine[Any, Any, object]) -> None:
        """Wait for something, a moment at most."""
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
