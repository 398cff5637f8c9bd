"""The cost of a message in bytes, in the model and on the wire, and the speed of the wire world."""

from __future__ import annotations

import time
from math import log1p
from typing import NamedTuple

from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.random_streams import RandomStreams
from chatlab.sim.people import PeopleConfig, ScriptEntry
from chatlab.sim.transport_settings import (
    AnyTransport,
    LongPollingSettings,
    ShortPollingSettings,
    SSESettings,
    WebSocketSettings,
)

PAGE = "fidelity.md"
SIZE, MESSAGES, HOUR = 80, 300, 3600.0
TRANSPORTS: dict[str, AnyTransport] = {
    "WebSocket": WebSocketSettings(),
    "SSE": SSESettings(),
    "long poll, 25 s": LongPollingSettings(),
    "short poll, 3 s": ShortPollingSettings(),
}
MEASURED: dict[tuple[str, float], tuple[str, str]] = {
    ("WebSocket", 1.0): ("167", "0.01"),
    ("WebSocket", 0.1): ("199", "0.06"),
    ("SSE", 1.0): ("150", "0.01"),
    ("SSE", 0.1): ("168", "0.06"),
    ("long poll, 25 s", 1.0): ("454", "1.0"),
    ("long poll, 25 s", 0.1): ("460", "1.1"),
    ("short poll, 3 s", 1.0): ("232", "0.33"),
    ("short poll, 3 s", 0.1): ("1,027", "2.8"),
}
"""Bytes and requests of a delivered message, as measured on loopback with other servers and clients."""


class Cost(NamedTuple):
    """Bytes and requests of a delivered message, for its reader alone."""

    bytes: float
    requests: float


def main() -> str:
    """Measure cost and speed, and return the tables."""
    return f"{_costs()}\n\n{_speed()}"


def _costs() -> str:
    rows = []
    for name, transport in TRANSPORTS.items():
        for rate in (0.1, 1.0, 10.0):
            model, wire = (reading(transport, rate, world) for world in ("model", "wire"))
            measured_bytes, measured_requests = MEASURED.get((name, rate), ("–", "–"))
            rows.append(
                f"| {name} | {rate:g} | {model.bytes:,.1f} | {wire.bytes:,.1f} | {measured_bytes} | "
                f"{model.requests:.2f} | {wire.requests:.2f} | {measured_requests} |"
            )
    head = (
        "| transport | messages a second | bytes: model | wire | measured "
        "| requests: model | wire | measured |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- |\n"
    )
    return (
        f"A message with {SIZE} bytes of text costs its reader, connecting and heartbeats included:\n\n"
        + head
        + "\n".join(rows)
    )


def reading(transport: AnyTransport, rate: float, world: str) -> Cost:
    """Return the cost for one reader if another person sends `rate` messages a second (Poisson)."""
    alone, both = (_run(transport, rate, world, people) for people in (1, 2))
    return Cost((both.bytes - alone.bytes) / MESSAGES, (both.requests - alone.requests) / MESSAGES)


def _run(transport: AnyTransport, rate: float, world: str, people: int) -> Cost:
    uniform, at, script = RandomStreams(0).uniform(0, "send"), 1.0, list[ScriptEntry]()
    for _ in range(MESSAGES):
        at += -log1p(-uniform()) / rate
        script.append(ScriptEntry(at=at, person="writer", text="x" * SIZE))
    scenario = Scenario(
        duration=at + 5.0, people=PeopleConfig(count=people, script=tuple(script)), transport=transport
    )
    metrics = run(scenario, world, sample=0).metrics
    carried = (metrics["bytes_up"] or 0) + (metrics["bytes_down"] or 0)
    return Cost(carried, metrics["requests"] or 0)


def _speed() -> str:
    rows = []
    for name, transport in TRANSPORTS.items():
        scenario = Scenario(duration=HOUR, people=PeopleConfig(send_rate=0.1), transport=transport)
        began = time.process_time()
        metrics = run(scenario, "wire", sample=0).metrics
        seconds = time.process_time() - began
        rows.append(f"| {name} | {metrics['requests']:,} | {seconds:.1f} | {HOUR / seconds:,.0f} |")
    return (
        "An hour of one person's chat in the wire world, with a message every ten seconds or so:\n\n"
        "| transport | requests | CPU seconds | times real time |\n| --- | --- | --- | --- |\n"
        + "\n".join(rows)
    )
