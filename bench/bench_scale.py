"""The cost of crowds of growing size, and of a quiet day of ten thousand people.

python -m bench.bench_scale [largest crowd]
"""

import resource
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from math import log
from multiprocessing import get_context
from pathlib import Path
from time import process_time
from typing import NamedTuple, TypeVar

from bench.bench_simulator import LATENCY, herd
from bench.report import Figure, Growth, Report, table
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.settings import HeartbeatConfig
from chatlab.sim.latency import LogNormal, NetworkConfig
from chatlab.sim.people import PeopleConfig
from chatlab.sim.transport_settings import WebSocketSettings

A = TypeVar("A")
B = TypeVar("B")

LARGEST = 1_000_000
DAY, PEOPLE, INTERVAL = 86_400.0, 10_000, 30.0
NETWORKS: dict[str, float | LogNormal] = {"40 ms, always": 0.04, "log-normal, median 40 ms": LATENCY}


def main(largest: int = LARGEST) -> Report:
    """Return the tables, and the cost of the largest crowd."""
    crowds = list(_crowds(largest))
    days = {name: apart(_quiet_day, latency) for name, latency in NETWORKS.items()}
    page = (
        "### The herd grows\n\n"
        "Each crowd runs in a process of its own; memory is the growth to the process's peak.\n\n"
        + table(["people", "CPU s", "µs a person", "MB", "bytes a person"], map(_grown, crowds))
        + "\n\n### A quiet day\n\n"
        f"{PEOPLE:,} people are connected for 24 hours, with a heartbeat every {INTERVAL:g} s, and send "
        "nothing.\n\n"
        + table(
            ["latency", "heartbeats", "MB each way", "CPU s", "times real time"],
            [
                (
                    name,
                    f"{day.beats:,}",
                    f"{day.bytes / 1e6:,.0f}",
                    f"{day.seconds:.1f}",
                    f"{DAY / day.seconds:,.0f}",
                )
                for name, day in days.items()
            ],
        )
    )
    return Report(page, list(_aimed(crowds, days)), crowds)


class Day(NamedTuple):
    """A quiet day: its CPU seconds, and its counts."""

    seconds: float
    beats: int
    bytes: int


def _aimed(crowds: Sequence[Growth], days: dict[str, Day]) -> Iterable[Figure]:
    most = crowds[-1]
    herd = f"herd of {most.people:,}"
    yield Figure(item=3, what=f"{herd}: CPU seconds", reached=most.seconds, at_most=60)
    yield Figure(item=3, what=f"{herd}: GB", reached=most.bytes / 1e9, at_most=2)
    for base in crowds[:-1]:
        allowed = most.people * log(most.people) / (base.people * log(base.people))
        what = f"growth from {base.people:,} to {most.people:,} people, over that of n·log n"
        aim = 1 if base is crowds[0] else None
        yield Figure(item=3, what=what, reached=most.seconds / base.seconds / allowed, at_most=aim)
    for name, day in days.items():
        what = f"a quiet day of {PEOPLE:,} ({name}): CPU seconds"
        yield Figure(item=3, what=what, reached=day.seconds, at_most=10)


def _crowds(largest: int) -> Iterable[Growth]:
    people = 1_000
    while people <= largest:
        yield apart(_alone, people)
        people *= 10


def apart(measure: Callable[[A], B], argument: A) -> B:
    """Run a measurement in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart:
        return apart.submit(measure, argument).result()


def _grown(crowd: Growth) -> Sequence[str]:
    return (
        f"{crowd.people:,}",
        f"{crowd.seconds:.2f}",
        f"{crowd.seconds / crowd.people * 1e6:.0f}",
        f"{crowd.bytes / 1e6:,.0f}",
        f"{crowd.bytes / crowd.people:,.0f}",
    )


def _alone(people: int) -> Growth:
    """Return the cost of a herd in a process that has run only a tiny one before."""
    run(herd(10), sample=0)
    before, start = peak(), process_time()
    run(herd(people), sample=0)
    return Growth(people, process_time() - start, peak() - before)


def _quiet_day(latency: float | LogNormal) -> Day:
    scenario = Scenario(
        duration=DAY,
        people=PeopleConfig(count=PEOPLE, rooms=PEOPLE // 10, arrive_over=INTERVAL),
        transport=WebSocketSettings(heartbeat=HeartbeatConfig(interval=INTERVAL, timeout=10.0)),
        network=NetworkConfig(latency=latency),
    )
    start = process_time()
    metrics = run(scenario, sample=0).metrics
    seconds = process_time() - start
    assert metrics["attempts"] == PEOPLE  # Nobody has missed a pong.
    return Day(seconds, int(PEOPLE * (DAY - INTERVAL / 2) / INTERVAL), int(metrics["bytes_up"] or 0))


def peak() -> int:
    """Return the peak of resident bytes of this process."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # Bytes on macOS.
    # Linux hands the other one, in `rusage`, down from parent to child.
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


if __name__ == "__main__":
    print(main(*map(int, sys.argv[1:])).page)
