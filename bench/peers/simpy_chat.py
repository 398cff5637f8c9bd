"""Chat as a SimPy user would write it to get figures: one process per person, and nothing else.

There is no ledger, outbox, cursor, frame or trace: a message is a tuple, and a packet the time that it takes.
The network is that of the model world: four latencies until a WebSocket is open, and no packet overtakes
another.
"""

from collections import deque
from collections.abc import Generator
from math import exp, log
from random import Random
from statistics import NormalDist
from typing import Any, TypeAlias

import simpy

Process: TypeAlias = Generator[simpy.Event, Any, None]

CONNECT_TIMEOUT = 10.0
BASE_DELAY, MAX_DELAY = 1.0, 30.0
_Z99 = NormalDist().inv_cdf(0.99)


class Network:
    """Log-normal one-way latencies, by their median and 99th percentile."""

    def __init__(self, random: Random, median: float, p99: float) -> None:
        self.random, self.median, self.sigma = random, median, log(p99 / median) / _Z99

    def latency(self) -> float:
        """Return the latency of the next packet, in seconds."""
        return self.median * exp(self.sigma * self.random.gauss(0.0, 1.0))


class Door:
    """An accept queue: `rate` connections a second, in their order; `backlog` of them may wait."""

    def __init__(self, env: simpy.Environment, rate: float, backlog: int) -> None:
        self.env, self.interval, self.backlog = env, 1 / rate, backlog
        self.turns: deque[float] = deque()

    def knock(self) -> float | None:
        """Return the time at which a new connection is accepted; None if the queue is full."""
        now, turns = self.env.now, self.turns
        while turns and turns[0] <= now:
            turns.popleft()
        if len(turns) >= self.backlog:
            return None
        turns.append((turns[-1] if turns else now) + self.interval)
        return turns[-1]


class Herd:
    """All connect, are cut off at `lost_at`, and reconnect with full jitter."""

    def __init__(
        self, people: int, *, rate: float, backlog: int, latency: float, arrive_over: float, lost_at: float
    ) -> None:
        self.env = simpy.Environment()
        self.random = Random(1)
        self.latency = latency
        self.attempts = 0
        self.back_at: list[float] = []
        self._door = Door(self.env, rate, backlog)
        self._lost = self.env.timeout(lost_at + latency)
        for _ in range(people):
            self.env.process(self._person(arrive_over))

    def _person(self, arrive_over: float) -> Process:
        yield self.env.timeout(arrive_over * self.random.random())
        yield from self._connect(0)
        yield self._lost
        yield from self._connect(1)
        self.back_at.append(self.env.now)

    def _connect(self, retries: int) -> Process:
        """Connect until accepted, at once first, or after a delay."""
        env, latency = self.env, self.latency
        while True:
            if retries:
                yield env.timeout(self.random.random() * min(MAX_DELAY, BASE_DELAY * 2.0 ** (retries - 1)))
            retries += 1
            self.attempts += 1
            yield env.timeout(latency)  # SYN
            turn = self._door.knock()
            if turn is None:
                yield env.timeout(latency)  # RST
                continue
            patience = env.now - latency + CONNECT_TIMEOUT
            open_at = max(env.now + 2 * latency, turn) + latency  # SYN-ACK, upgrade, the turn, 101
            yield env.timeout(min(open_at, patience) - env.now)
            if open_at <= patience:
                return


class Heartbeats:
    """All connect, and ping the server as long as pongs come in time."""

    def __init__(
        self,
        people: int,
        *,
        interval: float,
        timeout: float,
        median: float,
        p99: float,
        arrive_over: float,
    ) -> None:
        self.env = simpy.Environment()
        self.random = Random(1)
        self.interval, self.timeout = interval, timeout
        self.network = Network(self.random, median, p99)
        self.pongs = self.cuts = 0
        for _ in range(people):
            self.env.process(self._person(arrive_over))

    def _person(self, arrive_over: float) -> Process:
        env, latency = self.env, self.network.latency
        yield env.timeout(arrive_over * self.random.random())
        while True:
            yield env.timeout(latency() + latency() + latency() + latency())
            yield env.timeout(self.interval)
            while True:
                beat, pong = env.timeout(self.interval), env.timeout(latency() + latency())
                if pong not in (yield pong | env.timeout(self.timeout)):
                    self.cuts += 1
                    break
                self.pongs += 1
                yield beat


class Rooms:
    """All connect, and send at random to rooms whose members get all messages."""

    def __init__(
        self,
        people: int,
        rooms: int,
        *,
        send_rate: float,
        median: float,
        p99: float,
        arrive_over: float,
    ) -> None:
        self.env = simpy.Environment()
        self.random = Random(1)
        self.send_rate = send_rate
        self.network = Network(self.random, median, p99)
        self.latencies: list[float] = []
        self._inboxes: list[list[simpy.Store]] = [[] for _ in range(rooms)]
        for person in range(people):
            self.env.process(self._person(self._inboxes[person % rooms], arrive_over))

    def _person(self, room: list[simpy.Store], arrive_over: float) -> Process:
        env, latency = self.env, self.network.latency
        yield env.timeout(arrive_over * self.random.random())
        env.process(self._write(room))
        yield env.timeout(latency() + latency() + latency() + latency())
        inbox = simpy.Store(env)
        room.append(inbox)
        while True:
            arrives_at, sent_at = yield inbox.get()
            if arrives_at > env.now:
                yield env.timeout(arrives_at - env.now)
            self.latencies.append(env.now - sent_at)

    def _write(self, room: list[simpy.Store]) -> Process:
        while True:
            yield self.env.timeout(self.random.expovariate(self.send_rate))
            self.env.process(self._carry(room, self.env.now))

    def _carry(self, room: list[simpy.Store], sent_at: float) -> Process:
        """Send a message to the server, which passes it on to all members."""
        yield self.env.timeout(self.network.latency())
        for inbox in room:
            inbox.put((self.env.now + self.network.latency(), sent_at))
