"""The live transports, with their ledger, beside the bare libraries: `python -m bench live`.

Client and server are a process each. Clients of one work take turns, so that what else the machine does
strikes them alike. Peers that are not installed are said to be skipped.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from operator import itemgetter
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench.report import Figure, Report

ROUNDS = 5
ROOT = Path(__file__).parent.parent
NEEDS = {"python-socketio": ("socketio", "aiohttp"), "httpx-sse": ("httpx_sse",)}
CLIENTS, SERVERS = "bench.peers.live_clients", "bench.peers.live_servers"


class Work(NamedTuple):
    """A measurement: `number` messages with one server, by several clients; the first is the bare one."""

    title: str
    kind: str
    number: int
    runs: Sequence[tuple[str, str]]
    """The clients with idle connections, and their servers."""


def against(server: str, *clients: str) -> list[tuple[str, str]]:
    return [(client, server) for client in clients]


OURS = ("chatlab WebSocket", "chatlab WebSocket, own thread")
BARE = ("websockets", "websockets, own thread")
PLAIN, EMBEDDED, HTTP = "plain WebSocket", "chatlab", "plain HTTP"
SOCKETIO = ("python-socketio", "socketio")
WORKS = (
    Work("Send and be acknowledged, 64 at once, by a plain server", "rate", 6_000,
         [*against(PLAIN, *BARE, *OURS), SOCKETIO]),
    Work("The same, by the embedded server", "rate", 4_000, against(EMBEDDED, "websockets", *OURS)),
    Work("Send and be acknowledged, one by one, by a plain server", "trips", 2_000,
         [*against(PLAIN, *BARE, *OURS), SOCKETIO]),
    Work("POST, one by one, to a plain server", "trips", 1_000,
         against(HTTP, "httpx", "httpx, own thread", "chatlab POST", "chatlab POST, own thread")),
    Work("Read a WebSocket at full speed", "receive", 50_000, against(PLAIN, "websockets", *OURS)),
    Work("Read an event stream at full speed", "receive", 50_000,
         against(HTTP, "httpx-sse", "chatlab SSE", "chatlab SSE, own thread")),
)  # fmt: skip
IDLE = 1_000
IDLERS = (("websockets", PLAIN), ("chatlab WebSocket", EMBEDDED), SOCKETIO)


class Server:
    """A server in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.url = self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def used(self) -> tuple[float, int]:
        """Return the CPU seconds of the process so far, and its resident bytes."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        seconds, resident = self._line().split()
        return float(seconds), int(resident)


@contextmanager
def serving(name: str) -> Iterator[Server]:
    with subprocess.Popen(
        [sys.executable, "-m", SERVERS, name],
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        yield Server(process)
        process.communicate()  # It ends with its input.
    if process.returncode:
        raise RuntimeError(f"the server {name} ended with {process.returncode}")


def client(*arguments: object) -> list[str]:
    return [sys.executable, "-m", CLIENTS, *map(str, arguments)]


Figures = dict[str, float]


def measured(work: Work) -> dict[str, list[Figures]]:
    """Return each client's figures of each round, in seconds per message."""
    rounds: dict[str, list[Figures]] = {}
    for _ in range(ROUNDS):
        for name, server in filter(installed, work.runs):
            with serving(server) as served:
                output = subprocess.run(
                    client(work.kind, name, served.url, work.number),
                    cwd=ROOT,
                    check=True,
                    text=True,
                    stdout=subprocess.PIPE,
                ).stdout
            rounds.setdefault(name, []).append(json.loads(output))
    return rounds


def ratios(own: list[Figures], others: list[Figures], what: str) -> list[float]:
    """Return the ratio of each round, which other load on the machine affects least."""
    return [mine[what] / theirs[what] for mine, theirs in zip(own, others, strict=True)]


def aims(work: Work, rounds: dict[str, list[Figures]]) -> Iterator[Figure]:
    """Yield the rate of our client on the application's own loop, over the first client's and over
    python-socketio's."""
    bare = next(iter(rounds))
    ours = next(name for name in rounds if name.startswith("chatlab"))
    for peer, at_least in ((bare, 0.8), ("python-socketio", 1.0)):
        if peer in rounds:
            what = f"{work.title}: rate over that of {peer}"
            yield Figure.of_rounds(5, what, ratios(rounds[peer], rounds[ours], "wall"), at_least=at_least)


def table(work: Work, rounds: dict[str, list[Figures]]) -> list[str]:
    """Return the figures of all clients, with ratios to the bare library's."""
    first = next(iter(rounds.values()))
    trips = "p50" in first[0]
    lines = [
        f"**{work.title}**",
        "",
        "| client | messages/s | of the first | CPU µs | of the first |"
        + (" p50 µs | p99 µs |" if trips else ""),
        "|---|--:|--:|--:|--:|" + ("--:|--:|" if trips else ""),
    ]
    for name, own in rounds.items():
        best = {what: min(map(itemgetter(what), own)) for what in own[0]}
        cells = [
            name,
            f"{1 / best['wall']:,.0f}",
            f"{median(ratios(first, own, 'wall')):.2f}",
            f"{best['cpu'] * 1e6:,.1f}",
            f"{median(ratios(own, first, 'cpu')):.2f}",
            *(f"{best[what] * 1e6:,.0f}" for what in ("p50", "p99") if trips),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def idle() -> list[str]:
    """Return the cost of connections on which only heartbeats are sent."""
    lines = [
        f"**{IDLE:,} idle connections**",
        "",
        "The cost of each connection at both ends in 31 s, with one heartbeat of ours and of "
        "python-socketio, and one or two of websockets.",
        "",
        "| client and server | client kB | server kB | client CPU µs/s | server CPU µs/s |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, kind in filter(installed, IDLERS):
        with serving(kind) as server:
            _, empty = server.used()
            with subprocess.Popen(
                client("idle", name, server.url, IDLE), cwd=ROOT, text=True, stdout=subprocess.PIPE
            ) as process:
                assert process.stdout is not None
                process.stdout.readline()
                before, resident = server.used()
                process.stdout.readline()
                after, _ = server.used()
                own = json.loads(process.stdout.read())
        cells = [
            f"{name}, {kind}",
            f"{own['bytes'] / 1e3:,.1f}",
            f"{(resident - empty) / IDLE / 1e3:,.1f}",
            f"{own['cpu'] * 1e6:,.1f}",
            f"{(after - before) / own['seconds'] / IDLE * 1e6:,.1f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def installed(run: tuple[str, str]) -> bool:
    return all(find_spec(module) for module in NEEDS.get(run[0], ()))


def main() -> Report:
    """Return the tables of rates, round trips and CPU time, and of idle connections."""
    lines = [
        "### Live transports",
        "",
        "Client and server are a process each.",
        f"Rates are the best of {ROUNDS} rounds in turn, ratios the median of the rounds' ratios.",
        "CPU is the client's, for each message.",
        "Our client keeps the ledger, the outbox and the cursor.",
        "*Own thread* is its default: the application runs on another loop than the transport.",
        "A bare client on a thread of its own is called by `run_coroutine_threadsafe`.",
        "python-socketio sends with acks, to its own server.",
        "",
    ]
    figures: list[Figure] = []
    for work in WORKS:
        rounds = measured(work)
        lines += table(work, rounds)
        figures += aims(work, rounds)
    lines += idle()
    skipped = sorted(name for name in NEEDS if not installed((name, "")))
    if skipped:
        lines += ["Not installed, so skipped: " + ", ".join(skipped) + "."]
    return Report("\n".join(lines).rstrip() + "\n", figures)


if __name__ == "__main__":
    sys.stdout.write(main().page)
