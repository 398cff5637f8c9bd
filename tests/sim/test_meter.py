"""Counts of each second, whatever the crowd."""

from __future__ import annotations

from types import SimpleNamespace

from chatlab.sim.capacity import AcceptQueue, ServerConfig, WorkQueue
from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.meter import Meter
from chatlab.sim.node import Node


def test_it_reads_at_the_end_of_each_second_and_closes_the_last() -> None:
    environment = LadderEnvironment()
    traffic = SimpleNamespace(requests=5)  # made before
    listener, work = AcceptQueue(2.0, 10), WorkQueue()
    meter = Meter(environment, traffic, [listener], [work])

    def arrive() -> None:
        traffic.requests += 1
        listener.enter(environment.now)

    for at in (0.25, 0.5, 0.75, 3.1):
        environment.call_at(at, arrive)
    environment.run(until=3.5)
    # Served at 0.75, 1.25 and 1.75: the queue empties though nobody comes.
    assert meter.close() == {"requests": [3, 0, 0, 1], "queue": [2, 2, 0, 1], "work": [0, 0, 0, 0]}


def test_nodes_are_counted_from_its_beginning_on() -> None:
    environment = LadderEnvironment()
    nodes = [Node(number, environment, ServerConfig(accept_rate=2.0)) for number in (1, 2)]
    nodes[1].attempts, nodes[1].peak = 7, 9
    traffic = SimpleNamespace(requests=0)
    meter = Meter(environment, traffic, [node.queue for node in nodes], [node.work for node in nodes], nodes)

    def come(node: Node) -> None:
        node.attempts += 1
        node.refused += node is nodes[0]
        node.enter()

    for at, node in ((0.25, nodes[1]), (0.5, nodes[1]), (1.5, nodes[0]), (1.6, nodes[1])):
        environment.call_at(at, come, node)
    environment.run(until=2.5)
    meter.close()
    counts = meter.node_counts()
    assert counts.series == {
        "attempts": [[0, 1, 0], [2, 1, 0]],
        "refused": [[0, 1, 0], [0, 0, 0]],
        "connected": [[0, 0, 0], [0, 0, 0]],
        "queue": [[0, 1, 0], [2, 1, 1]],
    }
    assert counts.totals == {
        "attempts": [1, 3],
        "refused": [1, 0],
        "accepted": [0, 0],
        "disconnected": [0, 0],
        "connected": [0, 0],
        "connected_max": [0, 0],
        "queue_max": [1, 2],
    }
