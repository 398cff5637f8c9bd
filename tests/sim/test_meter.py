"""Counts of each second, whatever the crowd."""

from __future__ import annotations

from types import SimpleNamespace

from chatlab.sim.capacity import AcceptQueue, WorkQueue
from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.meter import Meter


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
