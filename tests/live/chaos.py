"""The chaos test's scenario: a thousand messages each way while the network and the server fail, and the
check for lost, duplicated and misplaced ones."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from chatlab.live.client.kinds import TITLES, make_config, make_transport
from chatlab.live.client.receipt import Receipt
from chatlab.live.client.transport import ChatTransport
from chatlab.messages import ChatEvent, ConnectionStatus, DeliveryState, OutgoingMessage, StatusChange
from chatlab.settings import HeartbeatConfig, OutboxConfig, ReconnectConfig
from tests.http_clients import http_client
from tests.live.flow_proxy import FlowProxy
from tests.processes import address_of, serve

Trouble = Callable[["Scene"], Awaitable[None]]
SETTINGS: dict[str, Any] = {
    "reconnect": ReconnectConfig(max_attempts=None, base_delay=0.1, max_delay=1.0, jitter="full"),
    "outbox": OutboxConfig(max_size=5000, max_in_flight=500),
    "connect_timeout": 1.0,
    "request_timeout": 1.0,
    "heartbeat": HeartbeatConfig(interval=0.5, timeout=0.4),
    "idle_timeout": 1.0,
    "hold": 0.5,
    "timeout": 1.0,
    "error_delay": 0.1,
    "interval": 0.2,
    "upgrade_after": 1.0,
}
"""Settings of all transports: short time-outs, and unlimited attempts."""


class ServerProcess:
    """`chatlab serve` in a process of its own, with its history in a file."""

    def __init__(self, db: Path, port: int = 0) -> None:
        self.db = db
        self.port = port
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._process = serve("--port", str(self.port), "--db", str(self.db))
        address = await asyncio.to_thread(address_of, self._process)
        self.port = int(address.rpartition(":")[2].removesuffix("/ws"))

    async def kill(self) -> None:
        """Send SIGKILL: no close frames, nothing flushed."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        await self._end(signal.SIGTERM)

    async def _end(self, number: int) -> None:
        if (process := self._process) is not None:
            process.send_signal(number)
            await asyncio.to_thread(process.communicate)
            self._process = None


@dataclass
class Scene:
    """A server behind a proxy; `outage` counts the seconds without any connectivity."""

    server: ServerProcess
    proxy: FlowProxy
    outage: float = 0.0

    @contextlib.contextmanager
    def out(self) -> Iterator[None]:
        """Count the time within as outage."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.outage += time.monotonic() - start


@dataclass
class Outcome:
    """The result of one exchange: `seconds` until both sides had settled and read everything, of which
    `outage` without connectivity."""

    seconds: float
    outage: float
    states: Counter[DeliveryState]
    faults: dict[str, list[str]] = field(default_factory=dict)


Table = dict[tuple[str, str], Outcome]
"""The outcome of each kind of transport with each fault."""


@contextlib.asynccontextmanager
async def scene(db: Path) -> AsyncIterator[Scene]:
    server = ServerProcess(db)
    await server.start()
    try:
        async with FlowProxy(server.url) as proxy:
            yield Scene(server, proxy)
    finally:
        await server.stop()


class _Reader:
    """The texts of one sender, in the order in which they arrive."""

    def __init__(self, transport: ChatTransport, sender: str) -> None:
        self.texts: list[str] = []
        self.resyncs = 0
        self._sender = sender
        transport.on_message(self._note)

    def _note(self, event: ChatEvent) -> None:
        if event.type == "message" and event.message is not None and event.message.sender == self._sender:
            self.texts.append(event.message.text)
        self.resyncs += event.type == "resync"


def _come_back(person: ChatTransport, change: StatusChange) -> None:
    """Reconnect as an application does that expects captive portals: a 204 ends an event stream, whatever
    sent it."""
    if change.code == 204 and change.status is ConnectionStatus.DISCONNECTED:
        person.start()


def faults_of(sent: list[str], received: list[str]) -> dict[str, list[str]]:
    """Return the lost, duplicated and misplaced messages: compare those acked, in order, with those
    received."""
    counts = Counter(received)
    places = {text: place for place, text in enumerate(sent)}
    order = [places[text] for text in received if text in places]
    return {
        "lost": [text for text in sent if not counts[text]],
        "duplicated": [text for text, count in counts.items() if count > 1],
        "out of order": [sent[b] for a, b in itertools.pairwise(order) if b < a],
        "unknown": [text for text in counts if text not in places],
    }


async def exchange(
    stage: Scene, kind: str, trouble: str, *, messages: int = 1000, rate: float = 250.0
) -> Outcome:
    """Exchange `messages` from ada and from bob at `rate` a second by one kind of transport, both through the
    proxy, during `trouble`."""
    names = ("ada", "bob")
    url = stage.proxy.rebase(stage.server.url)
    people = {name: make_transport(make_config(kind, url, sender=name, **SETTINGS)) for name in names}
    readers = {name: _Reader(people[{"ada": "bob", "bob": "ada"}[name]], name) for name in names}
    receipts: dict[str, list[Receipt]] = {name: [] for name in names}

    async def talk(name: str, start: float) -> None:
        for number in range(messages):
            due = start + number / rate
            if (wait := due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            receipts[name].append(await people[name].send(OutgoingMessage(text=f"{name} {number}")))

    for person in people.values():
        person.on_status_change(partial(_come_back, person))
        await person.connect()
    started = time.monotonic()
    mischief = asyncio.ensure_future(TROUBLES[trouble](stage)) if trouble != CALM else None
    try:
        await asyncio.gather(*(talk(name, started) for name in names))
        if mischief is not None:
            await mischief
        await asyncio.gather(
            *(receipt.settled(or_error=True) for name in names for receipt in receipts[name])
        )
        acked = {
            name: [r.message.text for r in receipts[name] if r.state is DeliveryState.ACKED] for name in names
        }
        await until(lambda: all(set(acked[name]) <= set(readers[name].texts) for name in names), 30)
        seconds = time.monotonic() - started
    finally:
        if mischief is not None:
            mischief.cancel()
        await asyncio.gather(*(person.disconnect() for person in people.values()))
    states = Counter(receipt.state for name in names for receipt in receipts[name])
    outcome = Outcome(seconds, stage.outage, states)
    log = await server_log(stage.server.url)
    for name in names:
        at_server = [message["text"] for message in log if message["sender"] == name]
        for where, texts in (("at the server", at_server), ("at the other", readers[name].texts)):
            for what, culprits in faults_of(acked[name], texts).items():
                if culprits:
                    outcome.faults[f"{name}'s {what} {where}"] = culprits
    return outcome


async def server_log(url: str) -> list[dict[str, Any]]:
    """Return all of the room's messages, page by page, as a client that isn't a member reads them."""
    messages: list[dict[str, Any]] = []
    async with http_client(url) as client:
        while True:
            query = {"room": "lobby", "limit": "200"} | (
                {"after": messages[-1]["id"]} if messages else {"history": "10000"}
            )
            page = (await client.get("/messages", params=query)).raise_for_status().json()
            if not page:
                return messages
            messages += page


async def until(condition: Callable[[], bool], timeout: float) -> None:
    """Wait until the condition holds, at most `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition() and time.monotonic() < deadline:  # noqa: ASYNC110 - it has no event
        await asyncio.sleep(0.01)


# Troubles


async def server_killed(stage: Scene) -> None:
    """Kill the server after 1 s and restart it 1 s later, twice."""
    for _ in range(2):
        await asyncio.sleep(1.0)
        with stage.out():
            await stage.server.kill()
            await asyncio.sleep(1.0)
            await stage.server.start()


async def resets(stage: Scene) -> None:
    """Reset every connection each half second, eight times."""
    for _ in range(8):
        await asyncio.sleep(0.5)
        stage.proxy.reset()


async def black_hole(stage: Scene) -> None:
    """Drop all packets both ways for 5 s; connections of that time never recover."""
    await asyncio.sleep(1.0)
    with stage.out():
        stage.proxy.set(silent=True)
        await asyncio.sleep(5.0)
        stage.proxy.heal()


async def lost_answers(stage: Scene) -> None:
    """Pass on what clients send and drop the server's answers, then reset the connections; three times."""
    for _ in range(3):
        await asyncio.sleep(0.7)
        with stage.out():
            stage.proxy.set("down", silent=True)
            await asyncio.sleep(0.3)
            stage.proxy.reset()
            stage.proxy.heal()


PAGE = b"<!doctype html><title>Hotel Wi-Fi</title>Please log in"
PORTALS: dict[str, bytes] = {
    "page": b"200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%b" % (len(PAGE), PAGE),
    "redirect": b"302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n",
    "nothing": b"204 No Content\r\n\r\n",
    "empty JSON": b"200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
}
"""Answers of a captive portal, to any request."""


@contextlib.asynccontextmanager
async def portal(answer: bytes) -> AsyncIterator[tuple[str, int]]:
    """Run a captive portal; yield its address. The log-in page that it redirects to is always a page."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
            await reader.readexactly(int(length[1]) if length else 0)
            said = PORTALS["page"] if head.startswith(b"GET /login") else answer
            writer.write(b"HTTP/1.1 " + said.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()


async def captive_portal(stage: Scene) -> None:
    """Replace the server by a portal four times for 0.8 s, each time with another answer."""
    server = stage.proxy._target
    for answer in PORTALS.values():
        await asyncio.sleep(0.6)
        async with portal(answer) as address:
            with stage.out():
                stage.proxy._target = address
                stage.proxy.reset()
                await asyncio.sleep(0.8)
                stage.proxy._target = server
                stage.proxy.reset()


TROUBLES: dict[str, Trouble] = {
    "server killed": server_killed,
    "resets": resets,
    "black hole": black_hole,
    "lost answers": lost_answers,
    "captive portal": captive_portal,
}
CALM = "no trouble"


def markdown(table: Mapping[tuple[str, str], Outcome]) -> str:
    """Return a table of seconds, and of their ratio to those without faults, after subtracting the outage."""
    troubles = list(dict.fromkeys(trouble for _, trouble in table))
    lines = [f"| transport | {' | '.join(troubles)} |", f"|---{'|---' * len(troubles)}|"]
    for kind in dict.fromkeys(kind for kind, _ in table):
        cells = (_cell(table.get((kind, trouble)), table.get((kind, CALM))) for trouble in troubles)
        lines.append(f"| {TITLES[kind]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(outcome: Outcome | None, calm: Outcome | None) -> str:
    if outcome is None:
        return ""
    seconds = f"{outcome.seconds:.1f} s"
    if calm is None or calm is outcome:
        return seconds
    outage = f", {outcome.outage:.1f} s of them out" if outcome.outage else ""
    return f"**{(outcome.seconds - outcome.outage) / calm.seconds:.2f}** ({seconds}{outage})"
