"""The garbage collector is spared work, and has it back afterwards."""

from __future__ import annotations

import gc
from collections import Counter

import pytest

from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.hub import Hub
from chatlab.hub.room import Member
from chatlab.random_streams import Stream
from chatlab.sim.alarm import Alarm
from chatlab.sim.driver import Driver
from chatlab.sim.faults import AnyFault, ConnectionReset, HalfOpen, IdleTimeout, ServerDown
from chatlab.sim.garbage import RARELY, rare_garbage
from chatlab.sim.http_connection import Exchange
from chatlab.sim.http_session import PooledConnection, Session
from chatlab.sim.link import Link
from chatlab.sim.path import Path
from chatlab.sim.people import PeopleConfig
from chatlab.sim.server import Server
from chatlab.sim.transport_settings import (
    AnyTransport,
    FallbackSettings,
    LongPollingSettings,
    ShortPollingSettings,
    SSESettings,
    WebSocketSettings,
)
from chatlab.transports.ledger import Ledger
from tests.sizes import rows

MADE = (
    Alarm,
    Driver,
    Exchange,
    PooledConnection,
    Hub,
    Ledger,
    Link,
    Member,
    Path,
    Server,
    Session,
    Stream,
)


@pytest.mark.slow
@pytest.mark.parametrize("broken", [False, True])
def test_collection_is_rare_and_afterwards_as_before(broken: bool) -> None:
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    try:
        with rare_garbage():
            assert gc.get_threshold() == (RARELY, *before[1:])
            assert gc.get_freeze_count() > frozen
            if broken:
                raise KeyError
    except KeyError:
        pass
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


def test_a_higher_threshold_stays() -> None:
    before = gc.get_threshold()
    gc.set_threshold(10 * RARELY, 7, 8)
    try:
        with rare_garbage():
            assert gc.get_threshold() == (10 * RARELY, 7, 8)
    finally:
        gc.set_threshold(*before)


TRANSPORTS: dict[str, AnyTransport] = {
    "websocket": WebSocketSettings(),
    "sse": SSESettings(),
    "long polling": LongPollingSettings(),
    "short polling": ShortPollingSettings(),
    "fallback": FallbackSettings(),
}
TROUBLES = (
    HalfOpen(at=5.0, duration=9.0, share=0.3),
    ServerDown(at=8.0, duration=3.0, share=0.5),
    IdleTimeout(at=15.0, duration=39.0, timeout=3.0, share=0.5),
    ConnectionReset(at=17.0),
)


def made() -> Counter[str]:
    """Count what a run makes, of this one and of whatever else is there."""
    return Counter(type(thing).__name__ for thing in gc.get_objects() if type(thing) in MADE)


@pytest.mark.slow
@pytest.mark.parametrize("faults", rows([(), TROUBLES], TROUBLES), ids=["calm", "faults"])
@pytest.mark.parametrize("transport", rows(TRANSPORTS, "websocket"))
@pytest.mark.parametrize("fast", rows([True, False], True), ids=["fast", "plain"])
def test_objects_of_a_run_are_freed_with_it(transport: str, faults: tuple[AnyFault, ...], fast: bool) -> None:
    """Without a look for garbage, which may be long in coming: else a few large runs fill the memory."""
    people = PeopleConfig(count=20, rooms=2, send_rate=0.05, arrive_over=3.0)
    scenario = Scenario(duration=60.0, people=people, transport=TRANSPORTS[transport], faults=faults)
    run(scenario, fast=fast)
    gc.collect()
    gc.disable()
    try:
        before = made()
        result = run(scenario, fast=fast)
        left = made() - before
    finally:
        gc.enable()
    assert result.metrics["delivered"]
    assert not left
