"""CPU time per event of SimPy, a plain heap and the ladder environment, under four loads, in one run.

    python bench/bench_environment.py [people]

*timers*: ten random timers a person, one after another. *beats*: ten heartbeats, all with one interval.
*pong*: the same with an answer each, and a time-out that the answer makes stale. *herd*: everybody reconnects
with full jitter against a limited accept rate. An event is a callback of the heap's run, for every engine.
"""

import gc
import sys
from collections.abc import Callable, Generator
from heapq import heappop, heappush
from itertools import count
from random import Random
from time import process_time
from typing import Any, Protocol

import simpy

from chatlab.sim.environment import LadderEnvironment

ROUNDS = 10
INTERVAL, TIMEOUT = 30.0, 10.0


class Clock(Protocol):
    @property
    def now(self) -> float: ...
    def call_later(self, delay: float, callback: Callable[[], object]) -> None: ...
    def run(self) -> object: ...


class Heap:
    """The minimal engine that runs callbacks in the order of time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.events = 0
        self._queue: list[tuple[float, int, Callable[[], object]]] = []
        self._next_insertion = count().__next__

    def call_later(self, delay: float, callback: Callable[[], object]) -> None:
        heappush(self._queue, (self.now + delay, self._next_insertion(), callback))

    def run(self) -> None:
        queue = self._queue
        while queue:
            self.now, _, callback = heappop(queue)
            callback()
        self.events = self._next_insertion()


class SimPyEvents(simpy.Environment):
    """Stock SimPy, with a `Timeout` and a callback in place of a process."""

    def call_later(self, delay: float, callback: Callable[[], object]) -> None:
        def run_it(_: simpy.Event) -> None:
            callback()

        simpy.Timeout(self, delay).callbacks.append(run_it)


class Server:
    """Accepts connections at a fixed rate, and refuses those that would wait longer than a second."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.free_at = 0.0

    def accepts(self, now: float) -> bool:
        if self.free_at > now + 1.0:
            return False
        self.free_at = max(self.free_at, now) + 1 / self.rate
        return True


class Person:
    """One client of a load, by callbacks."""

    __slots__ = ("answered", "clock", "random", "rounds", "server")

    def __init__(self, clock: Clock, random: Callable[[], float], server: Server, load: str) -> None:
        self.clock, self.random, self.server = clock, random, server
        self.rounds = 0
        self.answered = True
        clock.call_later(INTERVAL * random(), getattr(self, load))

    def timers(self) -> None:
        self.rounds += 1
        if self.rounds < ROUNDS:
            self.clock.call_later(INTERVAL * self.random(), self.timers)

    def beats(self) -> None:
        self.rounds += 1
        if self.rounds < ROUNDS:
            self.clock.call_later(INTERVAL, self.beats)

    def pong(self) -> None:
        self.rounds += 1
        self.answered = False
        self.clock.call_later(0.02 + 0.2 * self.random(), self.answer)
        self.clock.call_later(TIMEOUT, self.time_out)
        if self.rounds < ROUNDS:
            self.clock.call_later(INTERVAL, self.pong)

    def answer(self) -> None:
        self.answered = True

    def time_out(self) -> None:
        if not self.answered:
            raise TimeoutError

    def herd(self) -> None:
        if not self.server.accepts(self.clock.now):
            self.clock.call_later(min(30.0, 2.0**self.rounds) * self.random(), self.herd)
            self.rounds += 1


def person(
    env: simpy.Environment, random: Callable[[], float], server: Server, load: str
) -> Generator[simpy.Event, Any, None]:
    """The same client as a SimPy process."""
    yield env.timeout(INTERVAL * random())
    if load == "herd":
        for attempt in count():
            if server.accepts(env.now):
                return
            yield env.timeout(min(30.0, 2.0**attempt) * random())
    for _ in range(ROUNDS - (load != "pong")):
        if load == "timers":
            yield env.timeout(INTERVAL * random())
        elif load == "beats":
            yield env.timeout(INTERVAL)
        else:
            beat, answer = env.timeout(INTERVAL), env.timeout(0.02 + 0.2 * random())
            if answer not in (yield answer | env.timeout(TIMEOUT)):
                raise TimeoutError
            yield beat


def by_processes(env: simpy.Environment, people: int, load: str) -> float:
    random, server = Random(7).random, Server(people / 60)
    start = process_time()
    for _ in range(people):
        env.process(person(env, random, server, load))
    env.run()
    return process_time() - start


def by_callbacks(clock: Clock, people: int, load: str) -> float:
    random, server = Random(7).random, Server(people / 60)
    start = process_time()
    for _ in range(people):
        Person(clock, random, server, load)
    clock.run()
    return process_time() - start


ENGINES: dict[str, Callable[[int, str], float]] = {
    "SimPy, processes": lambda people, load: by_processes(simpy.Environment(), people, load),
    "SimPy, events and callbacks": lambda people, load: by_callbacks(SimPyEvents(), people, load),
    "ladder, processes": lambda people, load: by_processes(LadderEnvironment(), people, load),
    "heapq and callbacks": lambda people, load: by_callbacks(Heap(), people, load),
    "ladder, callbacks": lambda people, load: by_callbacks(LadderEnvironment(), people, load),
}


def main(people: int = 20_000, repeats: int = 3) -> str:
    """Return the table, as Markdown."""
    loads = ("timers", "beats", "pong", "herd")
    best: dict[tuple[str, str], float] = {}
    for load in loads:
        heap = Heap()
        by_callbacks(heap, people, load)
        for _ in range(repeats):
            for name, engine in ENGINES.items():
                gc.collect()
                gc.freeze()
                best[name, load] = min(engine(people, load) / heap.events * 1e6, best.get((name, load), 1e9))
                gc.unfreeze()
    lines = [
        "# The simulator's environment and its peers",
        "",
        f"CPU µs per event, {people:,} people, best of {repeats} (times the ladder's callbacks).",
        "",
        "| engine | " + " | ".join(loads) + " |",
        "|---|" + "--:|" * len(loads),
    ]
    for name in ENGINES:
        cells = (
            f"{best[name, load]:.2f} ({best[name, load] / best['ladder, callbacks', load]:.1f})"
            for load in loads
        )
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(main(*map(int, sys.argv[1:])))
