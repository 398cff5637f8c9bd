"""The measurements of `measure` on chatlab's own networks: those of the model and of the wire world.

In the wire world the very same coroutines run as in the kernel. The model has a client of its own here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import cache
from itertools import product
from random import Random
from typing import Any, TypeVar

from chatlab.random_streams import RandomStreams
from chatlab.sim.capacity import AcceptQueue
from chatlab.sim.connection import Connection
from chatlab.sim.duplex import Traffic
from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.internet import Internet
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.opening import Handshake
from chatlab.sim.path import Path, Paths
from chatlab.sim.virtual_loop import VirtualLoop
from tests.kernel.measure import PORT, SIZE, Answer, Streams, cuts, echo, herd, round_trips
from tests.kernel.quantiles import quantile

T = TypeVar("T")


def _paths(delay: float, loss: float, seed: int, jitter: float = 0.0) -> Callable[[int], Path]:
    config = NetworkConfig(latency=delay, loss=loss, jitter=jitter)
    return Paths(config, RandomStreams(seed), lossy=True).make


# Wire


class WireEnds:
    """Two ends of the wire world's internet; each connection has a path of its own."""

    def __init__(
        self,
        delay: float,
        loss: float = 0.0,
        seed: int = 1,
        *,
        jitter: float = 0.0,
        queue: AcceptQueue | None = None,
    ) -> None:
        self._paths: dict[str, Path] = {}
        make = _paths(delay, loss, seed, jitter)
        environment = LadderEnvironment()
        self._internet = Internet(
            environment, lambda host: self._paths.setdefault(host, make(len(self._paths))), queue=queue
        )
        self._make_loop = lambda: VirtualLoop(environment, self._internet)

    def run(self, measure: Callable[[WireEnds], Coroutine[Any, Any, T]]) -> T:
        """Measure in virtual time."""

        async def work() -> T:
            measured = await measure(self)
            await asyncio.sleep(1000)  # All connections end.
            return measured

        with self._internet, asyncio.Runner(loop_factory=self._make_loop) as runner:
            return runner.run(work())

    async def connect(self) -> Streams:
        return await asyncio.open_connection(f"host-{len(self._paths)}", PORT)

    async def serve(self, answer: Answer) -> object:
        return await asyncio.start_server(answer, "server", PORT)

    def cut(self, until: float) -> None:
        for path in self._paths.values():
            path.lose(0.0, until)


def wire_round_trips(
    delay: float, loss: float = 0.0, seed: int = 1, **options: Any
) -> dict[str, list[float]]:
    """Measure round trips in the wire world."""
    return WireEnds(delay, loss, seed).run(lambda ends: round_trips(ends, seed=seed, **options))


def wire_cuts(delay: float, durations: Sequence[float]) -> list[float]:
    """Return how long a message takes into a cut of each duration, in the wire world."""
    measured = WireEnds(delay).run(lambda ends: cuts(ends, delay=delay, durations=durations))
    return [cut["arrived"] for cut in measured]


# Model


class Open:
    """A server whose one node accepts each connection at once."""

    lives = refused = 0
    listening = True
    drops = False

    @property
    def is_full(self) -> bool:
        return False

    def route(self, connection: Connection) -> None:
        connection.node = self

    def keep_handshake(self) -> bool:
        return True

    def end_handshake(self, handshake: Handshake) -> None:
        pass

    def accept(self, connection: Connection) -> float | None:
        return 0.0

    def on_peer_closed(self, connection: Connection) -> None:
        pass


class Talk(Connection):
    """A connection whose client sends a message at each of `times` since it is open, and gets it back."""

    def __init__(
        self,
        traffic: Traffic,
        path: Path,
        measured: dict[str, list[float]],
        times: Sequence[float],
        listener: Open | None = None,
    ) -> None:
        super().__init__(traffic, listener or Open(), path)
        self._measured = measured
        self._times = times

    def begin(self) -> None:
        self._begun = self._environment.now
        self.connect()

    def _on_established(self) -> None:
        now = self._environment.now
        self._measured["connect"].append(now - self._begun)
        for after in self._times:
            self._environment.call_at(now + after, self.send)

    def send(self) -> None:
        self._environment.call_at(self._up(SIZE), self._take, self._environment.now)

    def _take(self, sent_at: float) -> None:
        self._measured["one way"].append(self._environment.now - sent_at)
        self._environment.call_at(self._down(SIZE), self._take_answer, sent_at)

    def _take_answer(self, sent_at: float) -> None:
        self._measured["round trip"].append(self._environment.now - sent_at)

    def _on_refused(self) -> None:
        raise AssertionError

    def reply(self, frame: str | bytes, size: int) -> None:
        raise AssertionError

    def _on_server_closed(self, reset: bool) -> None:
        raise AssertionError

    def _on_time_out(self) -> None:
        raise AssertionError


def model_round_trips(
    delay: float,
    loss: float = 0.0,
    seed: int = 1,
    *,
    seconds: float = 60.0,
    interval: float = 2.0,
    connections: int = 150,
    patience: float = 8.0,
) -> dict[str, list[float]]:
    """Measure round trips in the model."""
    environment, random = LadderEnvironment(), Random(seed)
    measured: dict[str, list[float]] = {"one way": [], "round trip": [], "connect": []}
    make = _paths(delay, loss, seed)
    times = [number * interval for number in range(int(seconds / interval))]
    for number in range(connections):
        talk = Talk(Traffic(environment), make(number), measured, times)
        environment.call_at(random.random() * interval, talk.begin)
    environment.run(until=seconds + 2 * interval + patience)
    return measured


def model_cuts(delay: float, durations: Sequence[float]) -> list[float]:
    """Return how long a message takes into a cut of each duration, in the model."""
    environment = LadderEnvironment()
    measured: dict[str, list[float]] = {"one way": [], "round trip": [], "connect": []}
    path = _paths(delay, 0.0, 1)(0)
    talk = Talk(Traffic(environment), path, measured, ())
    talk.begin()
    results = []
    for duration in durations:
        for _ in range(25):
            environment.run(until=environment.now + 0.2)
            talk.send()
        environment.run(until=environment.now + 1)
        measured["one way"].clear()
        path.lose(0.0, environment.now + duration)
        talk.send()
        environment.run(until=environment.now + 4 * duration)
        results.append(measured["one way"][0])
    return results


ROUND_TRIPS: dict[str, Callable[..., dict[str, list[float]]]] = {
    "model": model_round_trips,
    "wire": wire_round_trips,
}
CUTS: dict[str, Callable[[float, Sequence[float]], list[float]]] = {"model": model_cuts, "wire": wire_cuts}


# Herds

JITTERS = (0.0, 0.01, 0.02, 0.04)
"""Jitter in seconds. A busy machine delays the kernel's packets as much, which spreads a herd's retries."""


def wire_herd(
    delay: float, clients: int, backlog: int, rate: float, spread: float, jitter: float, seed: int
) -> dict[str, list[float]]:
    """Measure a herd at a full accept queue in the wire world."""
    ends = WireEnds(delay, seed=seed, jitter=jitter, queue=AcceptQueue(rate, backlog))

    async def work(ends: WireEnds) -> dict[str, list[float]]:
        await ends.serve(echo)
        return await herd(ends, clients=clients, spread=spread)

    return ends.run(work)


class Full(Open):
    """A listener with an accept queue."""

    drops = True

    def __init__(self, environment: LadderEnvironment, queue: AcceptQueue) -> None:
        self._environment = environment
        self._queue = queue

    @property
    def is_full(self) -> bool:
        return self._queue.is_full(self._environment.now)

    def keep_handshake(self) -> bool:
        return self._queue.keep_handshake()

    def end_handshake(self, handshake: Handshake) -> None:
        if handshake.kept:
            self._queue.end_handshake()

    def accept(self, connection: Connection) -> float | None:
        return self._queue.enter(self._environment.now)


class Comer(Talk):
    """A client of a herd."""

    def _on_established(self) -> None:
        self._measured["connect"].append(self._environment.now - self._begun)
        self._environment.call_at(self._up(100), self._take_request)

    def _take_request(self) -> None:
        self._once_accepted(self._answer)

    def _answer(self) -> None:
        self._environment.call_at(self._down(100), self._take_end_of_wait)

    def _take_end_of_wait(self) -> None:
        self._measured["answer"].append(self._environment.now - self._begun)


def model_herd(
    delay: float, clients: int, backlog: int, rate: float, spread: float, jitter: float, seed: int
) -> dict[str, list[float]]:
    """Measure a herd at a full accept queue in the model."""
    environment, random = LadderEnvironment(), Random(1)
    measured: dict[str, list[float]] = {"connect": [], "answer": []}
    traffic, listener = Traffic(environment), Full(environment, AcceptQueue(rate, backlog))
    make = _paths(delay, 0.0, seed, jitter)
    for number in range(clients):
        comer = Comer(traffic, make(number), measured, (), listener)
        environment.call_at(spread * random.random(), comer.begin)
    environment.run(until=40.0)
    return measured


HERDS: dict[str, Callable[..., dict[str, list[float]]]] = {"model": model_herd, "wire": wire_herd}


@cache
def herds(world: str, seeds: Sequence[int] = (1,), **options: float) -> list[dict[str, list[float]]]:
    """Measure a herd in a world with each of `JITTERS`, and each of the jitter's `seeds`."""
    return [HERDS[world](**options, jitter=jitter, seed=seed) for jitter, seed in product(JITTERS, seeds)]


def herd_figures(runs: Iterable[dict[str, list[float]]]) -> dict[str, tuple[float, float]]:
    """Return the least and the greatest of each figure of herds.

    That is the number of clients that connect at once, and that are answered, and when those are.
    """
    figures = [
        (
            sum(seconds < 0.5 for seconds in run["connect"]),
            len(run["answer"]),
            quantile(run["answer"], 0.5),
            quantile(run["answer"], 0.9),
        )
        for run in runs
    ]
    names, columns = ("connected", "answered", "p50", "p90"), zip(*figures, strict=True)
    return {name: (min(values), max(values)) for name, values in zip(names, columns, strict=True)}
