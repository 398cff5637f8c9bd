"""Measurements of Linux's TCP, each in a process of its own, which prints JSON:

    python -m tests.kernel.measure round_trips '{"delay": 0.04, "loss": 0.01}'

Times are in seconds, delays one way. Messages have 48 bytes. `round_trips`, `cuts` and `herd` also measure
simulated networks, see `simulated`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import astuple
from math import inf
from random import Random
from typing import Any, Protocol

from tests.kernel.wire import become_root, hurry, joined, lateness, why_not

PORT = 7000
SIZE = 48
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Ends(Protocol):
    """Two ends of a network, of which one serves: the kernel's, or simulated ones."""

    async def connect(self) -> Streams:
        """Connect to the serving end."""

    async def serve(self, answer: Answer) -> object:
        """Accept connections at the serving end."""

    def cut(self, until: float) -> None:
        """Drop all packets that are sent before `until`, in the loop's seconds."""


class KernelEnds:
    """Two hosts of this machine's kernel, joined by a wire."""

    def __init__(self, delay: float, loss: float = 0.0, seed: int = 1, together: int = 0) -> None:
        self.client, self.server, self.wire = joined(delay, loss, seed, together)
        self.sockets: list[socket.socket] = []  # Making one takes a while.

    async def connect(self) -> Streams:
        made = self.sockets.pop() if self.sockets else self.client.open()
        await asyncio.get_running_loop().sock_connect(made, (self.server.address, PORT))
        return await asyncio.open_connection(sock=made)

    async def serve(self, answer: Answer) -> object:
        return await asyncio.start_server(answer, sock=self.server.listen(PORT, 512), backlog=512)

    def cut(self, until: float) -> None:
        self.wire.cut_until = until


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send everything back."""
    try:
        while data := await reader.read(65536):
            writer.write(data)
    except OSError:
        pass
    writer.close()


async def round_trips(
    ends: Ends,
    *,
    seconds: float = 60.0,
    interval: float = 2.0,
    connections: int = 150,
    patience: float = 8.0,
    seed: int = 1,
) -> dict[str, list[float]]:
    """Send a message every `interval` on each connection, which the server sends back.

    Return the one-way times, the round trips, and the connects' times. Messages under way `patience` s after
    the last one are left out.
    """
    clock = asyncio.get_running_loop().time
    one_way: list[float] = []
    trips: list[float] = []
    connects: list[float] = []
    random = Random(seed)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                record = await reader.readexactly(SIZE)
                one_way.append(clock() - struct.unpack_from("d", record)[0])
                writer.write(record)
        except (OSError, asyncio.IncompleteReadError):
            writer.close()

    async def read(reader: asyncio.StreamReader) -> None:
        while True:
            record = await reader.readexactly(SIZE)
            trips.append(clock() - struct.unpack_from("d", record)[0])

    async def talk() -> None:
        await asyncio.sleep(random.random() * interval)
        begun = clock()
        reader, writer = await ends.connect()
        connects.append(clock() - begun)
        reading = asyncio.ensure_future(read(reader))
        end = clock() + seconds
        while clock() < end:
            writer.write(struct.pack("d", clock()).ljust(SIZE, b"x"))
            await asyncio.sleep(interval)
        await asyncio.sleep(patience)
        reading.cancel()
        writer.close()

    await ends.serve(answer)
    await asyncio.gather(*(talk() for _ in range(connections)))
    return {"one way": one_way, "round trip": trips, "connect": connects}


async def cuts(
    ends: Ends, *, delay: float, durations: Sequence[float], warm_up: int = 25
) -> list[dict[str, Any]]:
    """Send a message into a cut of each duration; return when it was sent, and how long it took."""
    clock = asyncio.get_running_loop().time
    await ends.serve(echo)
    reader, writer = await ends.connect()
    results: list[dict[str, Any]] = []
    for duration in durations:
        for _ in range(warm_up):  # The estimator settles.
            writer.write(b"x" * SIZE)
            await reader.readexactly(SIZE)
            await asyncio.sleep(0.1)
        begun = clock()
        ends.cut(begun + duration)
        writer.write(b"y" * SIZE)
        await reader.readexactly(SIZE)
        results.append({"duration": duration, "begun": begun, "arrived": clock() - begun - delay})
    writer.close()
    return results


async def kernel_round_trips(
    delay: float, loss: float = 0.0, seed: int = 1, **options: Any
) -> dict[str, Any]:
    """Measure round trips in the kernel."""
    ends = KernelEnds(delay, loss, seed)
    return {**await round_trips(ends, seed=seed, **options), "late": ends.wire.late}


async def kernel_cuts(delay: float, **options: Any) -> dict[str, Any]:
    """Measure cuts in the kernel, and when it sent the message again."""
    ends = KernelEnds(delay)
    results = await cuts(ends, delay=delay, **options)
    packets = [packet.at for packet in ends.wire.packets if packet.up and packet.size]
    for cut in results:
        begun, arrived = cut["begun"], cut["begun"] + cut["arrived"]
        cut["sent"] = [at - begun for at in packets if begun <= at <= arrived]
    return {"cuts": results, "late": ends.wire.late}


async def herd(
    ends: Ends, *, clients: int, spread: float, patience: float = 40.0, seed: int = 1
) -> dict[str, Any]:
    """Connect `clients` within `spread` s, each of which sends 100 bytes and waits for them.

    Return the times of the connects and of the answers, since each client's begin, the failures, and by how
    many seconds each client began late.
    """
    clock = asyncio.get_running_loop().time
    begin = clock() + 0.3
    random = Random(seed)
    connects: list[float] = []
    answers: list[float] = []
    failures: list[str] = []
    late: list[float] = []

    async def come(start: float) -> None:
        await asyncio.sleep(start - clock())
        late.append(clock() - start)
        try:
            reader, writer = await ends.connect()
            connects.append(clock() - start)
            with contextlib.closing(writer):
                writer.write(b"x" * 100)
                await reader.readexactly(100)
                answers.append(clock() - start)
        except (OSError, asyncio.IncompleteReadError) as error:
            failures.append(type(error).__name__)

    coming = [asyncio.ensure_future(come(begin + spread * random.random())) for _ in range(clients)]
    _, waiting = await asyncio.wait(coming, timeout=begin + patience - clock())
    for client in waiting:
        client.cancel()
    return {"connect": connects, "answer": answers, "failures": failures, "begun late": late}


async def kernel_herd(
    delay: float, clients: int, backlog: int, rate: float, spread: float, **options: Any
) -> dict[str, Any]:
    """Measure a herd at a listener that accepts `rate` a second; with `spread` 0 all SYNs arrive at once.

    `backlog` is the length of its accept queue. Return all packets that arrived, and when the server
    accepted, too. What was late is the wire, the server, or a client.
    """
    ends = KernelEnds(delay, together=0 if spread else clients)
    listener = ends.server.listen(PORT, backlog)
    ends.sockets = [ends.client.open() for _ in range(clients)]
    accepts: list[float] = []
    late: list[float] = []
    served: list[asyncio.Task[None]] = []

    async def accept() -> None:
        due = 0.0
        while True:
            if (wait := due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
                late.append(time.monotonic() - due)
            else:
                await asyncio.sleep(0.001)
            try:
                made, _ = listener.accept()
            except BlockingIOError:
                continue
            accepts.append(time.monotonic())
            due = max(due, accepts[-1] - 0.02) + 1 / rate
            made.setblocking(False)
            served.append(asyncio.ensure_future(_serve_one(made)))

    accepting = asyncio.ensure_future(accept())
    measured = await herd(ends, clients=clients, spread=spread, **options)
    accepting.cancel()
    packets = [astuple(packet) for packet in ends.wire.packets if packet.passed < inf]
    kinds = [ends.wire.late, lateness(late), lateness(measured["begun late"] if spread else ())]
    return {
        **measured,
        "packets": packets,
        "accepts": accepts,
        "late": [max(kind) for kind in zip(*kinds, strict=True)],
    }


async def _serve_one(made: Any) -> None:
    await echo(*await asyncio.open_connection(sock=made))


MEASUREMENTS: dict[str, Callable[..., Awaitable[Any]]] = {
    "round_trips": kernel_round_trips,
    "cuts": kernel_cuts,
    "herd": kernel_herd,
}


def start(name: str, **arguments: Any) -> subprocess.Popen[str]:
    """Start a measurement in a process of its own."""
    command = [sys.executable, "-m", "tests.kernel.measure", name, json.dumps(arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def result(process: subprocess.Popen[str]) -> Any:
    """Wait for a measurement, and return its result."""
    output, _ = process.communicate()
    assert process.returncode == 0, f"exit code {process.returncode}"
    return json.loads(output)


async def _print(name: str, **arguments: Any) -> None:
    measured = await MEASUREMENTS[name](**arguments)
    sys.stdout.write(json.dumps(measured))
    sys.stdout.flush()
    os._exit(0)  # Connections and the wire end with the process.


def main(name: str, arguments: str = "{}") -> None:
    """Print a measurement's result; `available` prints why none can be made, or nothing."""
    if name == "available":
        print(json.dumps(why_not()))  # noqa: T201
        return
    hurry()
    become_root()
    asyncio.run(_print(name, **json.loads(arguments)))


if __name__ == "__main__":
    main(*sys.argv[1:])
