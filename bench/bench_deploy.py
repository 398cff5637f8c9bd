"""The cost of a service of many nodes that is restarted node by node, and that of faults that hit few people.

python -m bench.bench_deploy [people]
"""

import sys
from collections.abc import Sequence
from time import process_time
from typing import NamedTuple

from bench.bench_scale import apart, peak
from bench.bench_simulator import LATENCY
from bench.report import Figure, Report, table
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.settings import ReconnectConfig
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.faults import AnyFault, ConnectionReset, RollingRestart
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.people import PeopleConfig
from chatlab.sim.transport_settings import WebSocketSettings

PEOPLE, NODES, DRAIN = 200_000, 20, 30.0
ACCEPT_RATE = 500.0
FEW, FAULTS = 20_000, (0, 1, 5, 20)
RECONNECT = ReconnectConfig(jitter="full", max_attempts=None)


class Cost(NamedTuple):
    """CPU seconds, the growth to the process's peak in bytes, and disconnections."""

    seconds: float
    bytes: int
    disconnected: int


def main(people: int = PEOPLE) -> Report:
    """Return the tables, and the cost of the rolling restart."""
    deploy = apart(_deploy, people)
    faults = [(number, apart(_resets, number)) for number in FAULTS]
    page = (
        "### A rolling restart\n\n"
        f"{people:,} people at {NODES} nodes, which accept {ACCEPT_RATE:g} connections a second each and "
        f"drain for {DRAIN:g} s, one after the other; nobody sends a message.\n\n"
        + table(["people", "disconnected", "CPU s", "µs a disconnection", "MB"], [_row(people, deploy)])
        + "\n\n### Faults that hit few\n\n"
        f"Each fault resets the connections of 1 % of {FEW:,} people.\n\n"
        + table(
            ["faults", "disconnected", "CPU s"],
            [(f"{number}", f"{cost.disconnected:,}", f"{cost.seconds:.2f}") for number, cost in faults],
        )
    )
    what = f"rolling restart, {people:,} people, {NODES} nodes"
    return Report(
        page,
        [
            Figure(item=3, what=f"{what}: CPU seconds", reached=deploy.seconds, at_most=60),
            Figure(item=3, what=f"{what}: GB", reached=deploy.bytes / 1e9, at_most=1.5),
        ],
    )


def _row(people: int, cost: Cost) -> Sequence[str]:
    each = cost.seconds / cost.disconnected * 1e6
    return (
        f"{people:,}",
        f"{cost.disconnected:,}",
        f"{cost.seconds:.1f}",
        f"{each:.0f}",
        f"{cost.bytes / 1e6:,.0f}",
    )


def _deploy(people: int) -> Cost:
    restart = RollingRestart(at=60.0, drain=DRAIN)
    server = ServerConfig(nodes=NODES, accept_rate=ACCEPT_RATE)
    return _measured(people, 20.0 + restart.ends_at(NODES), server, restart)


def _resets(number: int) -> Cost:
    resets = [ConnectionReset(at=60.0 + 10.0 * fault, share=0.01) for fault in range(number)]
    return _measured(FEW, 300.0, ServerConfig(), *resets)


def _measured(people: int, duration: float, server: ServerConfig, *faults: AnyFault) -> Cost:
    """Return the cost of a run in a process that has run only a tiny one before."""
    _run(10, 10.0, server)
    before, start = peak(), process_time()
    attempts = _run(people, duration, server, *faults)
    return Cost(process_time() - start, peak() - before, attempts - people)


def _run(people: int, duration: float, server: ServerConfig, *faults: AnyFault) -> int:
    scenario = Scenario(
        duration=duration,
        people=PeopleConfig(count=people, rooms=max(1, people // 10), arrive_over=30.0),
        transport=WebSocketSettings(reconnect=RECONNECT),
        network=NetworkConfig(latency=LATENCY),
        server=server,
        faults=faults,
    )
    return int(run(scenario, sample=0).metrics["attempts"] or 0)


if __name__ == "__main__":
    print(main(*map(int, sys.argv[1:])).page)
