"""Nothing is lost, doubled or misplaced on virtual time (SPEC §1; HOSTILE A66, A83).

The troubles are those of `tests/live/test_chaos.py`, where sockets, disk and processes are real, and which
takes as long as its outages. Here the same transports and server meet them on a simulated TCP.
"""

from __future__ import annotations

from typing import Any

import pytest

from chatlab.dialects.chatlab import PAGE_LIMIT
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.settings import HeartbeatConfig, OutboxConfig, ReconnectConfig
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.faults import AnyFault, ConnectionReset, HalfOpen, ServerDown
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.people import PeopleConfig, ScriptEntry
from chatlab.sim.transport_settings import (
    AnyTransport,
    FallbackSettings,
    LongPollingSettings,
    ShortPollingSettings,
    SSESettings,
    WebSocketSettings,
)
from chatlab.transports.machine import Deliver
from tests.sizes import FULL, rows

MESSAGES, COMES, END = 100 if FULL else 32, 14.0, 16.0
RATE = MESSAGES / 4.0
"""Messages of each of the two, when a stranger comes, and when the run is over; and messages a second."""
ANY: dict[str, Any] = {
    "reconnect": ReconnectConfig(max_attempts=None, base_delay=0.1, max_delay=1.0, jitter="full"),
    "outbox": OutboxConfig(max_size=5000, max_in_flight=500),
    "connect_timeout": 1.0,
    "history": 10_000,
}
WEBSOCKET = WebSocketSettings(heartbeat=HeartbeatConfig(interval=0.5, timeout=0.4), **ANY)
SSE = SSESettings(request_timeout=1.0, idle_timeout=1.0, **ANY)
LONG = LongPollingSettings(request_timeout=1.0, hold=0.5, timeout=1.0, error_delay=0.1, **ANY)
SHORT = ShortPollingSettings(request_timeout=1.0, interval=0.2, **ANY)
KINDS: dict[str, AnyTransport] = {
    "websocket": WEBSOCKET,
    "sse": SSE,
    "long_polling": LONG,
    "short_polling": SHORT,
    "fallback": FallbackSettings(transports=(WEBSOCKET, SSE, LONG, SHORT), upgrade_after=1.0),
}
LOST_ANSWERS = tuple(
    fault
    for at in (1.0, 2.0, 3.0)
    for fault in (HalfOpen(at=at, duration=0.3, direction="down"), ConnectionReset(at=at + 0.3))
)
TROUBLES: dict[str, tuple[AnyFault, ...]] = {
    "no trouble": (),
    "server killed": (ServerDown(at=1.0, duration=1.0), ServerDown(at=3.0, duration=1.0)),
    "resets": tuple(ConnectionReset(at=0.5 * number) for number in range(1, 9)),
    "half-open": (HalfOpen(at=1.0, duration=5.0),),
    "lost answers": LOST_ANSWERS,
}


EACH_ONCE = set(zip(KINDS, TROUBLES, strict=True))
"""Every transport and every impairment once; the other pairs are for `make proof`."""
PAIRS = [
    pytest.param(kind, trouble, marks=() if (kind, trouble) in EACH_ONCE else pytest.mark.proof)
    for kind in KINDS
    for trouble in TROUBLES
]


@pytest.mark.slow
@pytest.mark.sized
@pytest.mark.parametrize(("kind", "trouble"), PAIRS)
def test_nothing_is_lost_doubled_or_misplaced_on_the_wire(kind: str, trouble: str) -> None:
    script = [
        ScriptEntry(at=0.3 + number / RATE, person=person, text=f"{person} {number}")
        for number in range(MESSAGES)
        for person in ("ada", "bob")
    ]
    stranger = ScriptEntry(at=COMES, person="zoe", action="connect")  # To whom the server reads its log.
    scenario = Scenario(
        duration=END,
        seed=1,
        people=PeopleConfig(count=3, script=(*script, stranger)),
        transport=KINDS[kind],
        network=NetworkConfig(latency=0.001),
        server=ServerConfig(rate=1e6, burst=1_000_000),
        faults=TROUBLES[trouble],
    )
    result = run(scenario, "wire")
    counts = {name: result.metrics[name] for name in ("sent", "acked", "lost", "duplicated", "out_of_order")}
    assert counts == {
        "sent": 2 * MESSAGES,
        "acked": 2 * MESSAGES,
        "lost": 0,
        "duplicated": 0,
        "out_of_order": 0,
    }
    for reader in ("ada", "bob", "zoe"):
        texts = shown(result, reader)
        for sender in ("ada", "bob"):
            of = [text for text in texts if text.startswith(sender)]
            assert of == [f"{sender} {number}" for number in range(MESSAGES)], (reader, sender)


AWAY = PAGE_LIMIT + 50
"""Messages that are missed: more than one page of the server's log."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", rows(KINDS, "long_polling"))
def test_messages_missed_during_a_partition_arrive_once_and_in_order(kind: str) -> None:
    script = [
        ScriptEntry(at=1.0, person="bob", text="before"),
        ScriptEntry(at=3.0, person="ada", text="mine"),
    ]
    script += [ScriptEntry(at=4.0 + 0.01 * n, person="bob", text=f"bob {n}") for n in range(AWAY)]
    scenario = Scenario(
        duration=12.0,
        seed=1,
        people=PeopleConfig(count=2, script=tuple(script)),
        transport=KINDS[kind],
        network=NetworkConfig(latency=0.001),
        server=ServerConfig(rate=1e6, burst=1_000_000),
        faults=(ServerDown(at=2.0, duration=6.0, people=("ada",)),),
    )
    result = run(scenario, "wire")
    assert shown(result, "ada") == [
        "before", *(f"bob {n}" for n in range(AWAY)), "mine",
    ]  # fmt: skip
    assert result.metrics["resyncs"] == 0


def shown(result: Run, reader: str) -> list[str]:
    """Return the texts that somebody was shown, in that order."""
    return [
        effect.event.message.text
        for step in result.steps(reader)
        for effect in step.effects
        if isinstance(effect, Deliver) and effect.event.message is not None
    ]
