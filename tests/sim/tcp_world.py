"""A simulated internet with one path, and protocols that keep what they hear. `D` is the latency."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

from chatlab.sim.capacity import AcceptQueue, QueueOverflow
from chatlab.sim.endpoint import Endpoint
from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.internet import Internet
from chatlab.sim.path import Impairment, Path
from chatlab.sim.tcp import TcpConnection
from chatlab.sim.virtual_loop import VirtualLoop

T = TypeVar("T")
D = 0.125  # exact in binary, and so are its multiples
NEVER_LOST = 0.999999
"""The random number of a packet that only a partition loses."""


class World:
    """A loop on a simulated internet, with one path to everywhere."""

    def __init__(
        self,
        delays: Sequence[float] = (),
        *,
        latency: float = D,
        tls: bool = False,
        queue: AcceptQueue | None = None,
        overflow: QueueOverflow = "drop",
        lossy: bool = False,
        up: Sequence[float] = (),
        down: Sequence[float] = (),
    ) -> None:
        """Packets take `delays`, in the order of their sending, and then `latency`.

        `up` and `down` are the numbers by which packets are lost: small ones are lost first. Those beyond are
        never lost.
        """
        self.drawn = 0
        self.latency = latency
        self._delays = delays
        self.environment = LadderEnvironment()
        self.path = Path(self._draw, self._draw, self._draw)
        self.path.lossy = lossy
        self.path.lose_up = partial(next, iter(up), NEVER_LOST)
        self.path.lose_down = partial(next, iter(down), NEVER_LOST)
        self.internet = Internet(
            self.environment, lambda host: self.path, tls=tls, queue=queue, overflow=overflow
        )

    def _draw(self) -> float:
        self.drawn += 1
        return self._delays[self.drawn - 1] if self.drawn <= len(self._delays) else self.latency

    def run(self, work: Callable[[World], Coroutine[Any, Any, T]]) -> T:
        make_loop = lambda: VirtualLoop(self.environment, self.internet)  # noqa: E731
        with self.internet, asyncio.Runner(loop_factory=make_loop) as runner:
            return runner.run(work(self))

    @property
    def now(self) -> float:
        return self.environment.now

    async def listen(self) -> Listening:
        """Listen with protocols that keep what they hear."""
        listening = Listening()
        listening.server = await asyncio.get_running_loop().create_server(listening.make, "127.0.0.1", 80)
        return listening

    async def connect(self) -> Heard:
        _, heard = await asyncio.get_running_loop().create_connection(Heard, "127.0.0.1", 80)
        assert isinstance(heard, Heard)
        return heard

    async def pair(self) -> tuple[Heard, Heard]:
        """Return the two ends of a new connection."""
        listening = await self.listen()
        client = await self.connect()
        return client, listening.accepted[-1]

    @property
    def connection(self) -> TcpConnection:
        [connection] = self.internet.connections()
        return connection

    def add_impairment(self, **impairment: Any) -> Impairment:
        suffered = Impairment(**impairment)
        self.path.add_impairment(suffered)
        for connection in self.internet.connections():
            connection.adapt()
        return suffered

    def remove_impairment(self, impairment: Impairment) -> None:
        self.path.remove_impairment(impairment)
        for connection in self.internet.connections():
            connection.adapt()


class Heard(asyncio.Protocol):
    """Keeps what happens to it, and when."""

    transport: Endpoint

    def __init__(self, *, stays: bool = False) -> None:
        self.events: list[tuple[float, Any]] = []
        self.stays = stays
        self.lost = asyncio.get_running_loop().create_future()

    def _note(self, event: Any) -> None:
        self.events.append((round(asyncio.get_running_loop().time(), 9), event))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, Endpoint)
        self.transport = transport
        self._note("made")

    def data_received(self, data: bytes) -> None:
        self._note(data)

    def eof_received(self) -> bool:
        self._note("eof")
        return self.stays

    def connection_lost(self, exc: Exception | None) -> None:
        self._note(type(exc) if exc else "lost")
        self.lost.set_result(None)

    def pause_writing(self) -> None:
        self._note("pause")

    def resume_writing(self) -> None:
        self._note("resume")

    @property
    def news(self) -> list[tuple[float, Any]]:
        return self.events[1:]


class Listening:
    server: Any

    def __init__(self) -> None:
        self.accepted: list[Heard] = []

    def make(self) -> Heard:
        self.accepted.append(Heard())
        return self.accepted[-1]
