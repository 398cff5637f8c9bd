"""The model world beside hand-written SimPy, in one run; and how its time and memory grow with the crowd.

    python -m bench.bench_simulator [largest crowd of the growth table]

chatlab does everything: ledgers, cursors, JSON frames, a server with its rooms, all metrics. Where nobody
says anything, people are silent clients (`chatlab.sim.fast`); it is also measured without short cuts. Its
peers in `bench/peers/simpy_chat.py` are bare processes of SimPy that live through the same.
"""

import gc
import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from time import process_time
from typing import NamedTuple

import simpy

from bench.peers.simpy_chat import Heartbeats, Herd, Rooms
from bench.report import Figure, Report, table
from chatlab.experiment.column_recorder import ColumnRecorder
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.settings import HeartbeatConfig, ReconnectConfig
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.faults import ConnectionReset
from chatlab.sim.latency import LogNormal, NetworkConfig
from chatlab.sim.model import find_model
from chatlab.sim.people import PeopleConfig
from chatlab.sim.transport_settings import WebSocketSettings

LARGEST = 100_000
FEW, MANY = 200, 800
"""Sizes of crowds; their difference gives the cost of one more person."""

QUIET = HeartbeatConfig(enabled=False)
MEDIAN, P99 = 0.04, 0.2
LATENCY = LogNormal(median=MEDIAN, p99=P99)


class Peer(NamedTuple):
    """A model in bare SimPy: its environment, and its counter of events."""

    env: simpy.Environment
    happened: Callable[[], int]


class Load(NamedTuple):
    """A load for both. `count` returns the number of `what` in a run of ours; at `settled` everybody is
    connected."""

    name: str
    what: str
    people: int
    settled: float
    scenario: Callable[[int], Scenario]
    count: Callable[[Run], int]
    peer: Callable[[int], Peer]


def herd(people: int) -> Scenario:
    """Return a load: all connect within 20 s, lose the server at 30 s, and reconnect at a low accept rate."""
    return Scenario(
        duration=130.0,
        people=PeopleConfig(count=people, rooms=max(1, people // 10), arrive_over=20.0),
        transport=WebSocketSettings(
            heartbeat=QUIET, reconnect=ReconnectConfig(jitter="full", max_attempts=None)
        ),
        network=NetworkConfig(latency=0.03),
        server=ServerConfig(accept_rate=people / 15, backlog=max(1, people // 15), overflow="refuse"),
        faults=(ConnectionReset(at=30.0),),
    )


def herd_peer(people: int) -> Peer:
    herd = Herd(
        people,
        rate=people / 15,
        backlog=max(1, people // 15),
        latency=0.03,
        arrive_over=20.0,
        lost_at=30.0,
    )
    return Peer(herd.env, lambda: herd.attempts)


def heartbeats(people: int) -> Scenario:
    """Return a load: all connect within 30 s, and ping every 30 s, ten times."""
    return Scenario(
        duration=330.0,
        people=PeopleConfig(count=people, rooms=max(1, people // 10), arrive_over=30.0),
        transport=WebSocketSettings(heartbeat=HeartbeatConfig(interval=30.0, timeout=10.0)),
        network=NetworkConfig(latency=LATENCY),
    )


def heartbeats_peer(people: int) -> Peer:
    beats = Heartbeats(people, interval=30.0, timeout=10.0, median=MEDIAN, p99=P99, arrive_over=30.0)
    return Peer(beats.env, lambda: beats.pongs)


def rooms(people: int) -> Scenario:
    """Return a load: for a minute, everybody in rooms of 50 sends every ten seconds."""
    return Scenario(
        duration=60.0,
        people=PeopleConfig(count=people, rooms=max(1, people // 50), arrive_over=5.0, send_rate=0.1),
        transport=WebSocketSettings(heartbeat=QUIET),
        network=NetworkConfig(latency=LATENCY),
    )


def rooms_peer(people: int) -> Peer:
    rooms = Rooms(people, max(1, people // 50), send_rate=0.1, median=MEDIAN, p99=P99, arrive_over=5.0)
    return Peer(rooms.env, lambda: len(rooms.latencies))


def _metric(name: str) -> Callable[[Run], int]:
    return lambda result: int(result.metrics[name] or 0)


LOADS = (
    Load("herd", "attempts", 10_000, 25.0, herd, _metric("attempts"), herd_peer),
    # Whoever missed a pong would have tried to connect again; each of the others had ten.
    Load(
        "heartbeats",
        "pongs",
        5_000,
        300.0,
        heartbeats,
        lambda result: 10 * (2 * result.scenario.people.count - _metric("attempts")(result)),
        heartbeats_peer,
    ),
    Load("rooms", "deliveries", 1_000, 10.0, rooms, _metric("delivered"), rooms_peer),
)


class Cost(NamedTuple):
    """CPU seconds, and the number of events in them."""

    seconds: float
    happened: int


def cost_of_chatlab(load: Load, *, fast: bool = True) -> Cost:
    scenario = load.scenario(load.people)
    gc.collect()
    start = process_time()
    result = run(scenario, sample=0, fast=fast)
    return Cost(process_time() - start, load.count(result))


def cost_of_peer(load: Load) -> Cost:
    gc.collect()
    start = process_time()
    peer = load.peer(load.people)
    peer.env.run(load.scenario(load.people).duration)
    return Cost(process_time() - start, peer.happened())


class Footprint(NamedTuple):
    """Bytes once everybody is connected, and entries of the queue until the end."""

    bytes: int
    entries: int


def footprint_of_chatlab(load: Load, people: int, *, fast: bool = True) -> Footprint:
    scenario = load.scenario(people)
    transport = scenario.transport
    assert isinstance(transport, WebSocketSettings)
    tracemalloc.start()
    built = find_model(fast=fast)(
        scenario.seed,
        transport.config(),
        scenario.people,
        scenario.network,
        scenario.server,
        scenario.faults,
        ColumnRecorder(),
        0,
    )
    return _footprint(built.environment, built.run, load.settled, scenario.duration)


def footprint_of_peer(load: Load, people: int) -> Footprint:
    tracemalloc.start()
    peer = load.peer(people)
    run = lambda seconds: peer.env.run(peer.env.now + seconds)  # noqa: E731
    return _footprint(peer.env, run, load.settled, load.scenario(people).duration)


def _footprint(
    env: simpy.Environment, run: Callable[[float], object], settled: float, duration: float
) -> Footprint:
    run(settled)
    gc.collect()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    run(duration - settled)
    return Footprint(size, next(env._eid))  # SimPy numbers what it schedules, and so do we.


def each(footprint: Callable[[Load, int], Footprint], load: Load) -> Footprint:
    """Return the cost of one more person: bytes, and entries."""
    few, many = footprint(load, FEW), footprint(load, MANY)
    return Footprint(*((more - less) // (MANY - FEW) for more, less in zip(many, few, strict=True)))


def main(repeats: int = 5) -> Report:
    """Return the table, with the ratios to bare SimPy."""
    rows, figures = [], []
    for load in LOADS:
        ours, theirs, plain = [], [], []
        for _ in range(repeats):  # By turns: what else the machine does hits all.
            theirs.append(cost_of_peer(load))
            ours.append(cost_of_chatlab(load))
            plain.append(cost_of_chatlab(load, fast=False))
        peer, size = min(theirs), each(footprint_of_chatlab, load)
        rows.append(_row(load, "SimPy", peer, peer, each(footprint_of_peer, load)))
        rows.append(_row(load, "chatlab", min(ours), peer, size))
        if not load.scenario(1).people.send_rate:
            size_of_plain = each(partial(footprint_of_chatlab, fast=False), load)
            rows.append(_row(load, "no short cuts", min(plain), peer, size_of_plain))
        figures += list(_aimed(load, ours, theirs, size))
    page = (
        "### The model world beside bare SimPy\n\n"
        f"CPU seconds in one run, the minimum of {repeats}.\n*entries* are scheduled events, *bytes* the "
        "memory of one more person when everybody is connected.\nIn herd and heartbeats nobody sends a "
        "message, so people are silent clients; *no short cuts* is the same without them.\n\n"
        + table(
            ["load", "people", "by", "happened", "seconds", "× SimPy", "entries/s", "bytes a person"], rows
        )
    )
    return Report(page, figures)


def _row(load: Load, by: str, cost: Cost, peer: Cost, footprint: Footprint) -> Sequence[str]:
    return (
        load.name,
        f"{load.people:,}",
        by,
        f"{cost.happened:,} {load.what}",
        f"{cost.seconds:.2f}",
        f"{cost.seconds / peer.seconds:.2f}",
        f"{footprint.entries * load.people / cost.seconds:,.0f}",
        f"{footprint.bytes:,}",
    )


def _aimed(
    load: Load, ours: Sequence[Cost], theirs: Sequence[Cost], footprint: Footprint
) -> Iterable[Figure]:
    rounds = [own.seconds / peer.seconds for own, peer in zip(ours, theirs, strict=True)]
    at_most = 1.0 if load.scenario(1).people.send_rate else 0.5
    yield Figure.of_rounds(1, f"{load.name}: CPU time over bare SimPy's", rounds, at_most=at_most)
    yield Figure(item=1, what=f"{load.name}: bytes a person", reached=footprint.bytes, at_most=1000)


if __name__ == "__main__":
    print(main().page)
