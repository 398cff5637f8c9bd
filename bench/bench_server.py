"""The embedded server's fan-out and held polls, beside peers: `python -m bench server`."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import psutil  # type: ignore[import-untyped]

from bench.bench_live import ROOT, serving
from bench.report import Figure, Report
from tests.interop.nginx import Nginx
from tests.requirements import find

ROUNDS = 5
SUBSCRIBERS, POLLS = 1_000, 200
SERVERS = {"websockets": "broadcast", "chatlab": "chatlab"}
"""Servers that run as a Python process of their own, and their names in `peers/live_servers.py`."""


class Served(Protocol):
    """A server in processes of its own."""

    url: str

    def used(self) -> tuple[float, int]:
        """Return the CPU seconds of the processes so far, and their resident bytes."""


class NginxServed:
    """nginx: its master and its only worker."""

    def __init__(self, nginx: Nginx) -> None:
        self.url = nginx.url
        self._master = psutil.Process(nginx.pid)

    def used(self) -> tuple[float, int]:
        processes = [self._master, *self._master.children()]
        times = [process.cpu_times() for process in processes]
        resident = sum(process.memory_info().rss for process in processes)
        return sum(time.user + time.system for time in times), resident


@contextmanager
def served(kind: str) -> Iterator[Served]:
    if kind == "nchan":
        with Nginx(connections=2 * SUBSCRIBERS + 100) as nginx:
            yield NginxServed(nginx)
    else:
        with serving(SERVERS[kind]) as server:
            yield server


class Round(NamedTuple):
    """A part of the work: the readers' report, the server's CPU seconds, and its resident bytes."""

    told: dict[str, float]
    cpu: float
    resident: int


def measured(work: str, kind: str, count: int) -> list[Round]:
    """Run the readers with a new server, and return each part of the work."""
    rounds = []
    command = [sys.executable, "-m", "bench.peers.server_readers", work, kind]
    with served(kind) as server:
        cpu, resident = server.used()
        with subprocess.Popen(
            [*command, server.url, str(count)],
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as readers:
            assert readers.stdout is not None
            assert readers.stdin is not None
            for line in readers.stdout:
                after, grown = server.used()
                rounds.append(Round(json.loads(line), after - cpu, grown - resident))
                cpu, _ = server.used()
                readers.stdin.write("\n")
                readers.stdin.flush()
        if readers.returncode:
            raise RuntimeError(f"the readers of {kind} ended with {readers.returncode}")
    return rounds


def in_turns(work: str, kinds: list[str], count: int) -> dict[str, list[list[Round]]]:
    """Return the rounds of each server; they take turns."""
    found: dict[str, list[list[Round]]] = {kind: [] for kind in kinds}
    for _ in range(ROUNDS):
        for kind in kinds:
            found[kind].append(measured(work, kind, count))
    return found


def best(rounds: list[list[Round]]) -> list[Round]:
    """Return the round in which a server took the least CPU."""
    return min(rounds, key=lambda parts: sum(part.cpu for part in parts[1:]))


def compared(what: str, found: dict[str, list[list[Round]]], part: int) -> list[Figure]:
    """Return our CPU for each message of a part of the work, over that of each other server."""
    each_takes = {
        kind: [parts[part].cpu / parts[part].told["messages"] for parts in rounds]
        for kind, rounds in found.items()
    }
    ours = each_takes.pop("chatlab")
    return [
        Figure.of_rounds(
            7, f"{what} over that of {kind}", [own / other for own, other in zip(ours, theirs, strict=True)]
        )
        for kind, theirs in each_takes.items()
    ]


def fan_out(kinds: list[str]) -> tuple[list[str], list[Figure]]:
    lines = [
        f"Fan-out to {SUBSCRIBERS:,} WebSockets in one room: a message at a time, the next one when all have "
        "it, then a burst.",
        "",
        "| server | kB a reader | until all have it, p50 ms | p99 ms | CPU µs a delivery | "
        "burst: deliveries/s | CPU µs a delivery |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    found = in_turns("fan-out", kinds, SUBSCRIBERS)
    for kind, rounds in found.items():
        opened, alone, burst = best(rounds)
        one, many = (SUBSCRIBERS * each.told["messages"] for each in (alone, burst))
        cells = [
            kind,
            f"{opened.resident / SUBSCRIBERS / 1e3:,.1f}",
            f"{alone.told['p50'] * 1e3:,.1f}",
            f"{alone.told['p99'] * 1e3:,.1f}",
            f"{alone.cpu / one * 1e6:,.1f}",
            f"{many / burst.told['seconds']:,.0f}",
            f"{burst.cpu / many * 1e6:,.2f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    figures = [
        *compared(f"a message to {SUBSCRIBERS:,} WebSockets: CPU a delivery", found, 1),
        *compared("the same in a burst: CPU a delivery", found, 2),
    ]
    return [*lines, ""], figures


def held(kinds: list[str]) -> tuple[list[str], list[Figure]]:
    lines = [
        f"{POLLS} long polls held in one room: a message at a time, the next one when all polls have been "
        "answered and asked again.",
        "",
        "| server | kB a poll | until all have it, p50 ms | p99 ms | CPU µs an answer |",
        "|---|--:|--:|--:|--:|",
    ]
    found = in_turns("held", kinds, POLLS)
    for kind, rounds in found.items():
        _, opened, alone = best(rounds)
        cells = [
            kind,
            f"{opened.resident / POLLS / 1e3:,.1f}",
            f"{alone.told['p50'] * 1e3:,.1f}",
            f"{alone.told['p99'] * 1e3:,.1f}",
            f"{alone.cpu / POLLS / alone.told['messages'] * 1e6:,.1f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""], compared(f"a message to {POLLS} held polls: CPU an answer", found, 2)


def main() -> Report:
    """Return the tables of fan-out and of held polls."""
    others = ["nchan"] if find("nginx") else []
    delivered, to_websockets = fan_out(["websockets", "chatlab", *others])
    answered, to_polls = held(["chatlab", *others])
    lines = [
        "### The embedded server",
        "",
        "Server and readers are a process each.",
        f"The table has the round with the least CPU of the server, of {ROUNDS} rounds in turn.",
        "The readers only count, and are the same for all.",
        "*websockets* passes frames on by the library's `broadcast`, without log, room or names.",
        "*nchan* is a module of nginx in C, for comparison.",
        "",
        *delivered,
        *answered,
    ]
    if not others:
        lines.append("nginx with nchan isn't installed, so it was skipped.")
    return Report("\n".join(lines).rstrip() + "\n", [*to_websockets, *to_polls])


if __name__ == "__main__":
    sys.stdout.write(main().page)
