"""The model world beside the same loads as compiled loops over one heap, and beside bare SimPy.

`bench/peers/numba_chat.py` is about the processor's limit for these loads; compilation isn't counted.
"""

import gc
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from math import isclose
from time import process_time

from bench.bench_simulator import LOADS, MEDIAN, P99, Cost, Load, cost_of_chatlab, cost_of_peer
from bench.peers.simpy_chat import Network
from bench.report import Figure, Report, table

REPEATS = 5
FEW = 50
"""The number of people in the run that compiles the loops."""


def compiled() -> dict[str, Callable[[int], int]]:
    """Return by load the functions that run it and return the number of events."""
    from random import Random

    from bench.peers import numba_chat

    sigma = Network(Random(), MEDIAN, P99).sigma
    lasting = {load.name: load.scenario(FEW).duration for load in LOADS}
    return {
        "herd": lambda people: numba_chat.herd(
            people, people / 15, max(1, people // 15), 0.03, 20.0, 30.0, lasting["herd"]
        ),
        "heartbeats": lambda people: numba_chat.heartbeats(
            people, 30.0, 10.0, MEDIAN, sigma, 30.0, lasting["heartbeats"]
        ),
        "rooms": lambda people: numba_chat.rooms(
            people, max(1, people // 50), 0.1, MEDIAN, sigma, 5.0, lasting["rooms"]
        ),
    }


def cost_of_loop(loop: Callable[[int], int], load: Load) -> Cost:
    gc.collect()
    start = process_time()
    happened = loop(load.people)
    return Cost(process_time() - start, happened)


def main() -> Report | str:
    """Return the table, and the model world's time over the compiled heap's."""
    if not find_spec("numba"):
        return "numba isn't installed, so there is no limit to compare with."
    rows: list[Sequence[str]] = []
    figures = []
    for name, loop in compiled().items():
        load = next(load for load in LOADS if load.name == name)
        loop(FEW)
        by: dict[str, list[Cost]] = {"compiled heap": [], "SimPy": [], "chatlab": []}
        for _ in range(REPEATS):  # By turns: what else the machine does hits all.
            by["compiled heap"].append(cost_of_loop(loop, load))
            by["SimPy"].append(cost_of_peer(load))
            by["chatlab"].append(cost_of_chatlab(load))
        least = {who: min(costs) for who, costs in by.items()}
        limit = least["compiled heap"]
        for who, cost in least.items():
            if not isclose(cost.happened, limit.happened, rel_tol=0.1):
                raise RuntimeError(f"{name}: {who} saw {cost.happened} {load.what}, not {limit.happened}")
        rows += [
            (
                name,
                who,
                f"{load.people:,}",
                f"{cost.happened:,} {load.what}",
                f"{cost.seconds:.3f}",
                f"{cost.seconds / cost.happened * 1e6:.2f}",
                f"{_factor(cost, limit):,.1f}",
            )
            for who, cost in least.items()
        ]
        what = f"{name}: CPU time over a compiled heap's"
        rounds = map(_factor, by["chatlab"], by["compiled heap"])
        figures.append(Figure.of_rounds(2, what, rounds))
    head = ["load", "by", "people", "happened", "CPU s", "µs each", "× compiled"]
    return Report(
        f"CPU seconds, the minimum of {REPEATS} in turn, without compilation.\n"
        "*µs each* is the time of one event, and the last column its ratio.\n\n" + table(head, rows, words=2),
        figures,
    )


def _factor(cost: Cost, limit: Cost) -> float:
    return (cost.seconds / cost.happened) / (limit.seconds / limit.happened)


if __name__ == "__main__":
    found = main()
    print(found if isinstance(found, str) else found.page)
