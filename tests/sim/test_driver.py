"""The driver's timer, on a machine that only sets deadlines; whole runs test the rest."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import pytest

from chatlab.dialects.base import Answer
from chatlab.experiment.column_recorder import ColumnRecorder
from chatlab.messages import ConnectionStatus, OutgoingMessage
from chatlab.random_streams import RandomStreams
from chatlab.settings import AnyConfig, ReconnectConfig, SSEConfig, WebSocketConfig
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.driver import Driver
from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.faults import ConnectionReset
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.model import Model
from chatlab.sim.network import Network
from chatlab.sim.path import Paths
from chatlab.sim.people import PeopleConfig
from chatlab.sim.recorder import is_whole
from chatlab.sim.server import Server
from chatlab.transports.machine import Connect, Effect, Event, Tick

WEBSOCKET = WebSocketConfig(url="ws://127.0.0.1:8000/ws", reconnect=ReconnectConfig(jitter="none"))


class Alarm:
    """A machine with a list of deadlines; each event takes the next one."""

    def __init__(self, *deadlines: float) -> None:
        self.status = ConnectionStatus.DISCONNECTED
        self.rtt: float | None = None
        self.deadline = inf
        self.deadlines = list(deadlines)
        self.seen: list[tuple[float, Event]] = []

    def handle(self, event: Event, now: float) -> Sequence[Effect]:
        self.seen.append((now, event))
        self.deadline = self.deadlines.pop(0) if self.deadlines else inf
        return []

    def accepts(self, message: OutgoingMessage) -> bool:
        return True


def drive(machine: Alarm) -> tuple[LadderEnvironment, Driver]:
    environment = LadderEnvironment()
    network = Network(environment, Server(environment, ServerConfig()))
    path = Paths(NetworkConfig(), RandomStreams(0)).make(0)
    return environment, Driver(0, "ada", machine, network, path, ColumnRecorder(), [])


def test_a_tick_comes_exactly_at_the_deadline() -> None:
    machine = Alarm(0.1, 0.30000000000000004)
    environment, driver = drive(machine)
    driver.connect()
    environment.run(until=10)
    assert machine.seen == [(0, Connect()), (0.1, Tick()), (0.30000000000000004, Tick())]


def test_a_later_deadline_reuses_the_timer_and_gives_no_tick_too_early() -> None:
    machine = Alarm(1.0, 5.0)
    environment, driver = drive(machine)
    driver.connect()
    environment.run(until=0.5)
    pending = environment.pending
    driver.connect()
    assert environment.pending == pending
    environment.run(until=10)
    assert [at for at, _ in machine.seen] == [0, 0.5, 5.0]


def test_an_earlier_deadline_is_met_and_the_old_timer_is_inert() -> None:
    machine = Alarm(5.0, 1.0, 5.0, 7.0)
    environment, driver = drive(machine)
    driver.connect()
    driver.connect()
    environment.run(until=10)
    assert machine.seen[2:] == [(1.0, Tick()), (5.0, Tick()), (7.0, Tick())]


def test_an_old_timer_leaves_nothing_behind() -> None:
    machine = Alarm(5.0, 1.0, 20.0)
    environment, driver = drive(machine)
    driver.connect()
    driver.connect()
    environment.run(until=4)
    pending = environment.pending
    environment.run(until=6)
    assert environment.pending == pending - 1


def test_a_deadline_that_goes_away_gives_no_tick() -> None:
    machine = Alarm(1.0, inf)
    environment, driver = drive(machine)
    driver.connect()
    driver.disconnect()
    environment.run(until=10)
    assert len(machine.seen) == 2


def test_a_deadline_in_the_past_is_due_now() -> None:
    machine = Alarm(inf, 1.0)
    environment, driver = drive(machine)
    driver.connect()
    environment.run(until=3)
    driver.connect()
    environment.run(until=4)
    assert machine.seen[2:] == [(3, Tick())]


@pytest.mark.parametrize("attribute", ["anything", "__dict__"])
def test_drivers_are_slotted(attribute: str) -> None:
    _, driver = drive(Alarm())
    with pytest.raises(AttributeError):
        getattr(driver, attribute)


@pytest.mark.parametrize(
    ("status", "headers", "whole"), [(200, {}, True), (200, {"chat-more": "1"}, False), (410, {}, False)]
)
def test_only_a_complete_page_counts_as_read(status: int, headers: dict[str, str], whole: bool) -> None:
    assert is_whole(Answer(status, b"[]", headers)) == whole


def test_links_that_have_ended_are_forgotten() -> None:
    resets = tuple(ConnectionReset(at=at) for at in (10.0, 20.0, 30.0))
    model = Model(0, WEBSOCKET, PeopleConfig(), NetworkConfig(), ServerConfig(), resets, ColumnRecorder(), 0)
    model.run(29.0)
    driver = model.everybody[0]
    assert isinstance(driver, Driver)
    assert [link.up_to_date for link in driver.links] == [True]
    model.run(1.5)
    assert driver.links == ()
    driver.disconnect()
    model.run(10.0)
    assert driver.links == ()


@pytest.mark.parametrize("config", [WEBSOCKET, SSEConfig(url="http://127.0.0.1:8000")])
def test_a_connected_client_with_nothing_under_way_has_received_everything(config: AnyConfig) -> None:
    model = Model(
        0, config, PeopleConfig(), NetworkConfig(latency=1.0), ServerConfig(), (), ColumnRecorder(), 0
    )
    driver = model.everybody[0]
    model.run(1.0)
    assert driver.complete_until == -inf
    model.run(9.0)
    assert driver.complete_until == inf
