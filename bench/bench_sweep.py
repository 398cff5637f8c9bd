"""A sweep of 200 short runs: one after the other, on two processes, and on a Dask cluster of two.

What the machine gains by a second process is measured in between, as others may use it at the same time.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, as_completed
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from time import perf_counter
from typing import Any, NamedTuple

import psutil  # type: ignore[import-untyped]

from bench.report import Figure, Report, table
from chatlab.experiment.library import load_scenario
from chatlab.experiment.percentiles import Value
from chatlab.experiment.sweep import processes, run_cell, sweep
from chatlab.experiment.worlds.runner import run

ROUNDS = 5
WORKERS = 2
POOL = "a pool"
OVER: dict[str, list[Any]] = {
    "transport.reconnect.jitter": ["seed", "equal", "full", "decorrelated", "proportional"],
    "people.count": [150, 250],
}
SEEDS = range(20)
RUNS = len(SEEDS) * 10
NOTHINGS = 1_000
SPIN = 3_000_000


class Took(NamedTuple):
    """Seconds by the clock, and CPU seconds of all processes."""

    clock: float
    cpu: float


def swept(executor: Executor | None) -> Took:
    """Return the cost of the sweep, on processes that have started."""
    began, before = perf_counter(), used()
    found = sweep(load_scenario("thundering_herd"), OVER, seeds=SEEDS, executor=executor, progress=False)
    if len(found) != RUNS or found["error"].notna().any():
        raise RuntimeError(f"{len(found)} runs, of which these failed: {found['error'].dropna()}")
    return Took(perf_counter() - began, used() - before)


def used() -> float:
    """Return the CPU seconds of this process and its children so far."""
    own = psutil.Process()
    return sum(sum(process.cpu_times()[:2]) for process in (own, *own.children(recursive=True)))


def spin(_number: int) -> int:
    """Compute. Dask runs equal tasks only once, so `number` makes them different."""
    total = 0
    for number in range(SPIN):
        total += number * number
    return total


def gain(pool: Executor) -> float:
    """Return the speed-up of bare arithmetic on two processes."""
    began = perf_counter()
    for number in range(WORKERS):
        pool.submit(spin, number).result()
    between = perf_counter()
    for future in [pool.submit(spin, WORKERS + number) for number in range(WORKERS)]:
        future.result()
    return (between - began) / (perf_counter() - between)


def echo(_number: int, _scenario: str, figures: dict[str, Value]) -> dict[str, Value]:
    """A task without its run."""
    return figures


def each(executor: Executor, figures: dict[str, Value]) -> float:
    """Return the seconds that an executor takes for an empty task of a run's size."""
    scenario = load_scenario("thundering_herd").to_toml()
    began = perf_counter()
    futures = [executor.submit(echo, number, scenario, figures) for number in range(NOTHINGS)]
    for future in as_completed(futures):
        future.result()
    return (perf_counter() - began) / NOTHINGS


@contextmanager
def dask_cluster() -> Iterator[Executor]:
    """A Dask cluster of processes on this machine."""
    import distributed

    with (
        distributed.LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=WORKERS, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        distributed.Client(cluster) as client,  # type: ignore[no-untyped-call]
    ):
        yield client.get_executor()


WAYS: dict[str, Callable[[], AbstractContextManager[Executor]]] = {
    POOL: lambda: processes(WORKERS),
    "Dask": dask_cluster,
}


def warmed(executor: Executor) -> None:
    """Wait until each process has run a task."""
    scenario = load_scenario("thundering_herd")
    tiny = scenario.replace(people=scenario.people.replace(count=2)).to_toml()
    for future in [executor.submit(run_cell, tiny, "model", None) for _ in range(WORKERS)]:
        future.result()


def start(name: str) -> float:
    """Return the seconds until each of a program's first processes has run a task."""
    program = [sys.executable, "-m", __spec__.name, name]
    return float(subprocess.run(program, check=True, stdout=subprocess.PIPE).stdout)


class Cost(NamedTuple):
    """Seconds of the start, of the sweep (by the clock, and CPU), and of an empty task."""

    start: float
    sweep: float
    cpu: float
    task: float


def main() -> Report:
    """Return the table, with the speed-up and the cost of Dask over a pool."""
    costs: dict[str, list[Cost]] = {name: [] for name in WAYS if name != "Dask" or find_spec("distributed")}
    metrics = run(load_scenario("thundering_herd"), sample=0).metrics
    serial: list[Took] = []
    gains: list[float] = []
    for _ in range(ROUNDS):  # By turns: what else the machine does hits all.
        for name, found in costs.items():
            serial.append(swept(None))
            begun = start(name)
            with WAYS[name]() as executor:
                warmed(executor)
                gains.append(gain(executor))
                found.append(Cost(begun, *swept(executor), each(executor, metrics)))
    least = {name: Cost(*map(min, zip(*found, strict=True))) for name, found in costs.items()}
    figures_of_pool = _aimed(serial[:: len(costs)], costs[POOL], gains)
    return _told(Took(*map(min, zip(*serial, strict=True))), gains, least, figures_of_pool)


def _aimed(serial: list[Took], pool: list[Cost], gains: list[float]) -> list[Figure]:
    """Return the figures of the pool: medians of the rounds' ratios."""
    rounds = list(zip(serial, pool, strict=True))
    return [
        Figure.of_rounds(
            4,
            "200 runs: speed-up by two processes",
            [one.clock / cost.sweep for one, cost in rounds],
            at_least=1.8,
        ),
        Figure.of_rounds(
            4,
            "the same, with their start",
            [one.clock / (cost.start + cost.sweep) for one, cost in rounds],
            at_least=1.8,
        ),
        Figure.of_rounds(
            4,
            "200 runs: CPU on two processes over that on one",
            [cost.cpu / one.cpu for one, cost in rounds],
        ),
        Figure.of_rounds(4, "bare arithmetic: speed-up by two processes", gains),
    ]


def _told(serial: Took, gains: list[float], costs: dict[str, Cost], figures: list[Figure]) -> Report:
    rows = [("one after the other", "–", f"{serial.clock:.2f}", "1.00", "1.00", f"{serial.cpu:.2f}", "–")]
    rows += [
        (
            name,
            f"{cost.start:.2f}",
            f"{cost.sweep:.2f}",
            f"{serial.clock / cost.sweep:.2f}",
            f"{serial.clock / (cost.start + cost.sweep):.2f}",
            f"{cost.cpu:.2f}",
            f"{1e3 * cost.task:.2f}",
        )
        for name, cost in costs.items()
    ]
    pool = costs[POOL]
    if dask := costs.get("Dask"):
        later, more = dask.start - pool.start, 1e3 * (dask.task - pool.task)
        figures += [
            Figure(item=4, what="Dask over a pool: seconds until it has started", reached=later),
            Figure(item=4, what="Dask over a pool: ms a task", reached=more),
        ]
    head = ["", "start (s)", "sweep (s)", "speed-up", "with the start", "CPU (s)", "ms a task"]
    return Report(
        f"{RUNS} runs of a herd, {serial.cpu / RUNS * 1e3:.0f} ms of CPU each; seconds by the clock, the "
        f"minimum of {ROUNDS} rounds in turn.\n*start* lasts until each of a program's first two processes "
        "has run a task; *ms a task* is for an empty one.\nMeanwhile two processes of bare arithmetic were "
        f"{min(gains):.2f} to **{max(gains):.2f}** times as fast as one, which limits a sweep's gain.\n\n"
        + table(head, rows),
        figures,
    )


def _print_start(name: str) -> None:
    began = perf_counter()
    with WAYS[name]() as executor:
        warmed(executor)
        print(perf_counter() - began)


if __name__ == "__main__":
    _print_start(*sys.argv[1:])
