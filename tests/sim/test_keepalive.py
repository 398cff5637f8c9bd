"""The pings by which the simulated server finds out that a WebSocket is dead."""

from __future__ import annotations

import pytest

from chatlab.settings import HeartbeatConfig
from chatlab.sim.link import Link
from chatlab.sim.path import Impairment
from chatlab.transports.machine import Closed, Failure, Pinged
from tests.sim.pair import D, Pair

OPENED = 3 * D
"""The time at which the server accepts the upgrade."""
DEAD = Failure("close", 1011, "keepalive ping timeout")


def pair(interval: float = 5.0, timeout: float = 2.0) -> tuple[Pair, Link]:
    """Return a pair, and a link whose server pings."""
    there = Pair()
    there.network.heartbeat = HeartbeatConfig(interval=interval, timeout=timeout, mode="server")
    link = there.open()
    there.run(4 * D)
    there.person.seen.clear()
    there.server.seen.clear()
    return there, link


def pings(there: Pair) -> list[float]:
    """Return when the server's pings reached the client."""
    return [at for at, event in there.person.seen if isinstance(event, Pinged)]


def test_a_client_that_answers_gets_a_ping_every_interval() -> None:
    there, _ = pair()
    there.run(22.0)
    assert pings(there) == [OPENED + n * 5.0 + D for n in (1, 2, 3, 4)]
    assert there.server.seen == []


def test_the_next_ping_waits_for_the_answer() -> None:
    there, _ = pair(interval=0.1)
    there.run(4.0)
    assert pings(there) == [pytest.approx(OPENED + 0.1 + n * 2 * D + D) for n in range(6)]


@pytest.mark.parametrize("direction", ["up", "down"])
def test_the_server_closes_a_link_whose_ping_is_not_answered(direction: str) -> None:
    there, link = pair()
    link.silence(6.5, ["up" if direction == "up" else "down"])
    there.run(OPENED + 11.9)
    assert link.server_open
    there.run(OPENED + 12.1)
    assert not link.server_open
    assert not there.server.nodes[0].connections
    there.run(30.0)
    heard = [(at, event) for at, event in there.person.seen if isinstance(event, Closed)]
    assert heard == ([(OPENED + 12.0 + D, Closed(1, DEAD))] if direction == "up" else [])


def test_a_mute_server_sends_no_pings() -> None:
    there, _ = pair()
    mute = Impairment(mute=True)
    there.run(3.0)
    there.path.add_impairment(mute)
    there.run(7.0)
    there.path.remove_impairment(mute)
    there.run(13.0)
    assert pings(there) == [OPENED + 10.0 + D]
    assert there.server.seen == []


def test_a_link_that_has_ended_gets_no_ping() -> None:
    there, link = pair()
    link.close(1000, "")
    there.run(30.0)
    assert pings(there) == []


def test_a_closed_client_answers_a_ping_with_a_reset() -> None:
    there, link = pair()
    there.run(OPENED + 5.0 - D / 2)
    link.close(1006, "")
    there.run(30.0)
    assert pings(there) == []
    assert [what for _, what in there.server.seen] == ["leave"]


def test_answers_count_for_the_rate_limit() -> None:
    there = Pair(rate=0.1, burst=2)
    there.network.heartbeat = HeartbeatConfig(interval=1.0, timeout=0.9, mode="server")
    there.open()
    there.run(10.0)
    (end,) = [event for _, event in there.person.seen if isinstance(event, Closed)]
    assert end.failure.code == 1013
