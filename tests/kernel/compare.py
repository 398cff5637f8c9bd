"""The table "kernel, model and wire" of docs/fidelity.md:

    python -m tests.kernel.compare kernel.json            # print it
    python -m tests.kernel.compare kernel.json --write    # write it into the page

The kernel's measurements are read from the file, or made and kept there, which takes seven minutes and needs
what `wire` needs. The exit code is 1 if a figure differs by more than the page allows.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

from tests.kernel import simulated
from tests.kernel.measure import result, start
from tests.kernel.quantiles import ALIKE, QUARTER, agrees, quantile

PAGE = Path(__file__).parents[2] / "docs" / "fidelity.md"
MARK = "<!-- kernel -->"
DELAYS, LOSSES = (0.01, 0.04, 0.1), (0.01, 0.05, 0.1)
CUTS, CUT_DELAY = (1.5, 5.0, 12.0), 0.04
CLIENTS = 300
HERD = {"delay": 0.04, "clients": CLIENTS, "backlog": 30, "rate": 60.0}
SPREADS = {0.08: "within one round trip", 2.0: "within 2 s"}
SEEDS = (1, 2, 3)
SHARES = {"one way": (0.5, 0.95, 0.99), "round trip": (0.5, 0.95, 0.99), "connect": (0.5, 0.9, 0.99)}
WORLDS = ("model", "wire")
Measured = dict[str, list[float]]
Ranges = dict[str, tuple[float, float]]


def options(loss: float) -> dict[str, Any]:
    """Return the number of connections, twice as many where one packet in ten is lost."""
    return {"connections": 300 if loss >= LOSSES[-1] else 150}


def measure_kernel() -> dict[str, Any]:
    """Return all measurements of the kernel."""
    herds = {
        str(spread): [_herd(spread, seed) for seed in SEEDS]
        for spread in SPREADS  # One after the other.
    }
    cuts = start("cuts", delay=CUT_DELAY, durations=CUTS)
    round_trips = {}
    for delay in DELAYS:
        for loss, process in [(loss, _start_loss(delay, loss)) for loss in LOSSES]:
            round_trips[f"{delay} {loss}"] = result(process)
    return {"round trips": round_trips, "cuts": result(cuts)["cuts"], "herds": herds}


def _start_loss(delay: float, loss: float) -> subprocess.Popen[str]:
    return start("round_trips", delay=delay, loss=loss, **options(loss))


def _herd(spread: float, seed: int) -> dict[str, Any]:
    measured = result(start("herd", spread=spread, seed=seed, **HERD))
    return {kind: measured[kind] for kind in ("connect", "answer", "late")}


@cache
def simulated_round_trips(world: str, delay: float, loss: float) -> Measured:
    """Return what a world measures in the place of the kernel."""
    return simulated.ROUND_TRIPS[world](delay, loss, **options(loss))


class Table:
    """Rows of figures, of which those that differ from the kernel's are marked."""

    def __init__(self, *heads: str) -> None:
        self.differing = 0
        self.lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]

    def add(self, *cells: str) -> None:
        """Add a row."""
        self.lines.append("| " + " | ".join(cells) + " |")

    def figure(self, value: float, *, fine: bool = True, digits: int = 3) -> str:
        """Return a figure as the table shows it."""
        return f"{value:.{digits}f}{self.mark(fine)}"

    def mark(self, fine: bool) -> str:
        """Return the mark of a figure that differs, and count it."""
        self.differing += not fine
        return "" if fine else " ✗"

    def __str__(self) -> str:
        return "\n".join(self.lines)


def loss_table(kernel_round_trips: dict[str, Measured]) -> Table:
    """Return how loss delays messages and connects."""
    table = Table(
        "delay, loss",
        "",
        "one way: p50 / p95 / p99, mean",
        "round trip: p50 / p95 / p99, mean",
        "above 10 s",
        "connect: p50 / p90 / p99",
    )
    for (delay, loss), kernel in zip(product(DELAYS, LOSSES), kernel_round_trips.values(), strict=True):
        for name in ("kernel", *WORLDS):
            measured = kernel if name == "kernel" else simulated_round_trips(name, delay, loss)
            cells = [_quantiles(table, kernel, measured, kind) for kind in SHARES]
            long = sum(trip > 10 for trip in measured["round trip"]) / len(measured["round trip"])
            first = f"{delay * 1000:.0f} ms, {loss:.0%}" if name == "kernel" else ""
            table.add(first, name, *cells[:2], f"{long:.2%}", cells[2])
    return table


def _quantiles(table: Table, kernel: Measured, measured: Measured, kind: str) -> str:
    alike = 1 if kind == "connect" else ALIKE
    values = [(share, quantile(measured[kind], share)) for share in SHARES[kind]]
    shown = [
        table.figure(value, fine=measured is kernel or agrees(kernel[kind], share, value, 0.01, alike))
        for share, value in values
    ]
    mean = "" if kind == "connect" else f", {fmean(measured[kind]):.3f}"
    return " / ".join(shown) + mean


def cut_table(kernel_cuts: list[dict[str, Any]]) -> Table:
    """Return how long a message takes that is sent into a cut."""
    table = Table("cut", "kernel", *WORLDS)
    worlds = [simulated.CUTS[world](CUT_DELAY, CUTS) for world in WORLDS]
    for cut, *arrived in zip(kernel_cuts, *worlds, strict=True):
        expected = cut["arrived"]
        figures = [
            table.figure(seconds, fine=abs(seconds - expected) <= 0.2 * expected, digits=1)
            for seconds in arrived
        ]
        table.add(f"{cut['duration']:g} s", table.figure(expected, digits=1), *figures)
    return table


def herd_table(kernel_herds: dict[str, list[Measured]]) -> Table:
    """Return what becomes of a herd at a full accept queue."""
    table = Table(
        "300 clients come", "", "connected within 0.5 s", "answered", "lost", "answered after: p50", "p90"
    )
    for spread, words in SPREADS.items():
        kernel = simulated.herd_figures(kernel_herds[str(spread)])
        _add_herd(table, words, "kernel", kernel, kernel)
        for world in WORLDS:
            figures = simulated.herd_figures(simulated.herds(world, spread=spread, **HERD))
            _add_herd(table, "", world, kernel, figures)
    return table


def _add_herd(table: Table, words: str, name: str, kernel: Ranges, figures: Ranges) -> None:
    cells = {}
    for figure, (least, most) in figures.items():
        fine = (1 - QUARTER) * least <= kernel[figure][0] and kernel[figure][1] <= (1 + QUARTER) * most
        digits = 1 if figure in ("p50", "p90") else 0
        cells[figure] = _range(least, most, digits) + table.mark(fine)
    least, most = figures["answered"]
    lost = _range(CLIENTS - most, CLIENTS - least, 0)
    table.add(words, name, cells["connected"], cells["answered"], lost, cells["p50"], cells["p90"])


def _range(least: float, most: float, digits: int) -> str:
    first, last = f"{least:.{digits}f}", f"{most:.{digits}f}"
    return first if first == last else f"{first}–{last}"


def with_tables(page: str, tables: Sequence[Table]) -> str:
    """Return the page with the tables of now."""
    before, _, rest = page.partition(MARK)
    _, _, after = rest.partition(MARK)
    return "\n\n".join([before + MARK, *map(str, tables), MARK]) + after


def main(file: str, *options: str) -> int:
    """Print the tables, or write them into the page."""
    path = Path(file)
    if not path.exists():
        path.write_text(json.dumps(measure_kernel()), encoding="utf-8")
    kernel = json.loads(path.read_text(encoding="utf-8"))
    tables = [loss_table(kernel["round trips"]), cut_table(kernel["cuts"]), herd_table(kernel["herds"])]
    if "--write" in options:
        PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8"), tables), encoding="utf-8")
    sys.stdout.write("\n\n".join(map(str, tables)) + "\n")
    return any(table.differing for table in tables)


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
