"""The live driver: effects in the machine's order, from any thread; one timer; no step lost."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from math import inf
from typing import Any

import pytest

from chatlab.live.client.deadline_timer import BLOCKED_AFTER, CATCH_UP
from chatlab.live.client.live_driver import LiveDriver, Moved
from chatlab.messages import ChatEvent, ConnectionStatus, DeliveryState, OutgoingMessage, StatusChange
from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.virtual_loop import VirtualLoop
from chatlab.trace import Step
from chatlab.transports.cursor import Cursor
from chatlab.transports.machine import (
    Close,
    Closed,
    Connect,
    Deliver,
    Disconnect,
    Effect,
    Event,
    Failure,
    Notify,
    OpenWebSocket,
    Ping,
    Received,
    Send,
    SendBytes,
    Settle,
    Submit,
    Tick,
    Typing,
)
from tests.live.watch import PATIENCE, until


class Scripted:
    """A machine that answers each event with given effects, and needs a tick at `deadline`."""

    rtt = None
    status = ConnectionStatus.DISCONNECTED

    def __init__(self) -> None:
        self.cursor = Cursor()
        self.deadline = inf
        self.events: list[tuple[float, Event]] = []
        self.answers: dict[type, list[Effect]] = {}

    def handle(self, event: Event, now: float) -> Sequence[Effect]:
        self.events.append((now, event))
        if isinstance(event, Tick):
            self.deadline = inf
        if isinstance(event, Submit):
            return [Settle(event.message.client_id, DeliveryState.SENT)]
        return self.answers.get(type(event), [])

    def accepts(self, message: OutgoingMessage) -> bool:
        return True

    @property
    def ticks(self) -> list[float]:
        return [now for now, event in self.events if isinstance(event, Tick)]


class NotedLink:
    def __init__(self, said: list[Any]) -> None:
        self.said = said
        self.ended = asyncio.Event()

    async def run(self) -> None:
        self.said.append("run")
        await self.ended.wait()

    def send(self, data: str | bytes) -> None:
        self.said.append(data)

    def ping(self, number: int) -> None:
        self.said.append(number)

    def close(self, code: int, reason: str) -> None:
        self.said.append((code, reason))
        self.ended.set()


class Rig:
    def __init__(self, record: Any = None) -> None:
        self.machine = Scripted()
        self.heard: list[Effect | Moved] = []
        self.said: list[Any] = []
        self.driver = LiveDriver(
            self.machine,
            asyncio.get_running_loop(),
            open_link=lambda driver, effect: NotedLink(self.said),
            listen=self.heard.append,
            record=record,
        )


async def test_effects_reach_their_link_in_order_and_a_closed_one_no_more() -> None:
    rig = Rig()
    rig.machine.answers = {
        Connect: [OpenWebSocket(1), Send(1, "a"), SendBytes(1, b"b"), Ping(1, 3), Send(2, "of no link")],
        Disconnect: [Close(1, 1000, "bye"), Send(1, "too late"), Ping(1, 4), Close(1, 4000)],
    }
    rig.driver.feed(Connect())
    await until(lambda: "run" in rig.said)
    rig.driver.feed(Disconnect())
    await rig.driver.closed()
    assert rig.said == ["a", b"b", 3, "run", (1000, "bye")]


@pytest.mark.parametrize(("closed", "told"), [(1, 1), (2, 3)])
async def test_events_of_one_piece_after_the_close_of_its_link_are_dropped(closed: int, told: int) -> None:
    rig = Rig()
    rig.machine.answers = {Received: [Close(closed)]}
    rig.driver.feed(*(Received(1, text) for text in "abc"))
    assert [event for _, event in rig.machine.events] == [Received(1, text) for text in "abc"[:told]]


async def test_an_event_gets_no_earlier_time_than_its_cause() -> None:
    rig = Rig()
    later = rig.driver.now() + 60
    rig.driver.feed(Typing(), not_before=later)
    rig.driver.feed(Typing())
    (first, _), (second, _) = rig.machine.events
    assert first == later
    assert second < later


async def test_events_from_threads_keep_their_order() -> None:
    rig = Rig()
    threads, each = 4, 250

    def talk(thread: int) -> None:
        for number in range(each):
            rig.driver.feed(Submit(OutgoingMessage(text="x", client_id=f"{thread} {number}")))

    workers = [threading.Thread(target=talk, args=(thread,)) for thread in range(threads)]
    for worker in workers:
        worker.start()
    for number in range(each):
        rig.driver.feed(Submit(OutgoingMessage(text="x", client_id=f"loop {number}")))
        await asyncio.sleep(0)
    await until(lambda: len(rig.heard) == (threads + 1) * each)
    handled = [event.message.client_id for _, event in rig.machine.events if isinstance(event, Submit)]
    assert [effect.client_id for effect in rig.heard if isinstance(effect, Settle)] == handled
    for worker in workers:
        worker.join(PATIENCE)


async def test_effects_that_a_callback_causes_are_carried_out_after_the_rest() -> None:
    machine = Scripted()
    order: list[str] = []

    def listen(effect: Any) -> None:
        order.append(effect.event.type)
        if effect.event.type == "first":
            driver.feed(Typing())

    machine.answers = {
        Connect: [Deliver(ChatEvent("first")), Deliver(ChatEvent("second"))],
        Typing: [Deliver(ChatEvent("third"))],
    }
    driver = LiveDriver(
        machine, asyncio.get_running_loop(), open_link=lambda *_: NotedLink([]), listen=listen
    )
    driver.feed(Connect())
    assert order == ["first", "second", "third"]


async def test_steps_are_recorded_and_a_recorder_that_raises_does_no_harm(
    caplog: pytest.LogCaptureFixture,
) -> None:
    steps: list[Step] = []

    def record(step: Step) -> None:
        steps.append(step)
        raise ValueError("full disk")

    rig = Rig(record)
    rig.machine.answers = {Connect: [Deliver(ChatEvent("x"))]}
    before = rig.driver.now()
    rig.driver.feed(Connect())
    assert [(step.event, step.effects) for step in steps] == [(Connect(), (Deliver(ChatEvent("x")),))]
    assert before <= steps[0].at <= rig.driver.now()
    assert rig.heard == [Deliver(ChatEvent("x"))]
    assert "full disk" in caplog.text


async def test_a_tick_comes_at_the_deadline_and_never_before() -> None:
    rig = Rig()
    deadline = rig.machine.deadline = rig.driver.now() + 0.05
    rig.driver.feed(Typing())
    await until(lambda: rig.machine.ticks)
    assert rig.machine.ticks[0] >= deadline
    assert rig.driver._timer.armed_at == inf


async def test_the_timer_follows_a_deadline_that_moves_or_goes_away() -> None:
    rig = Rig()
    rig.machine.deadline = rig.driver.now() + 3600
    rig.driver.feed(Typing())
    rig.machine.deadline = rig.driver.now() + 0.02
    rig.driver.feed(Typing())
    await until(lambda: rig.machine.ticks)
    rig.machine.deadline = rig.driver.now() + 0.02
    rig.driver.feed(Typing())
    rig.machine.deadline = inf
    rig.driver.feed(Typing())
    await until(lambda: rig.driver._timer.armed_at == inf)
    assert len(rig.machine.ticks) == 1


async def test_closed_cancels_an_unneeded_timer() -> None:
    rig = Rig()
    rig.machine.deadline = rig.driver.now() + 3600
    rig.driver.feed(Typing())
    rig.machine.deadline = inf
    rig.driver.feed(Typing())
    assert rig.driver._timer.armed_at < inf
    await rig.driver.closed()
    assert rig.driver._timer.armed_at == inf


async def test_closed_does_not_wait_for_a_link_that_opens_meanwhile() -> None:
    rig = Rig()
    rig.machine.answers = {
        Connect: [OpenWebSocket(1)],
        Typing: [OpenWebSocket(2), Close(1)],
        Disconnect: [Close(2)],
    }
    rig.driver.feed(Connect())
    closed = asyncio.create_task(rig.driver.closed())
    await asyncio.sleep(0)
    rig.driver.feed(Typing())
    await asyncio.wait_for(closed, PATIENCE)
    rig.driver.feed(Disconnect())
    await rig.driver.closed()
    assert rig.driver._links == {}


async def test_a_late_timer_lets_the_loop_catch_up_first_but_not_for_ever() -> None:
    rig = Rig()
    deadline = rig.machine.deadline = rig.driver.now() + 0.01
    rig.driver.feed(Typing())
    time.sleep(BLOCKED_AFTER + 0.05)  # noqa: ASYNC251  # block the loop
    held_until = rig.driver.now()
    async with asyncio.timeout(PATIENCE):
        while not rig.machine.ticks:
            rig.driver.feed(Typing())  # This must not delay it
            await asyncio.sleep(0)
    assert rig.machine.ticks[0] >= held_until + CATCH_UP * 0.9
    assert rig.machine.ticks[0] > deadline


async def test_input_that_arrived_while_the_loop_was_blocked_may_move_the_deadline() -> None:
    rig = Rig()
    rig.machine.deadline = rig.driver.now() + 0.01
    rig.driver.feed(Typing())
    time.sleep(BLOCKED_AFTER + 0.05)  # noqa: ASYNC251  # block the loop
    await until(lambda: rig.driver._timer.catching_up)
    later = rig.machine.deadline = rig.driver.now() + 0.2
    rig.driver.feed(Closed(1, Failure("reset")))
    await until(lambda: rig.machine.ticks)
    assert rig.machine.ticks[0] >= later


@pytest.mark.parametrize("ago", [0.0, BLOCKED_AFTER / 2, 2 * BLOCKED_AFTER, 60.0])
def test_a_deadline_that_has_passed_when_it_is_armed_comes_at_once(ago: float) -> None:
    """Arm a past deadline, as that of a message whose time ran out while it was under way."""

    async def ticked_at() -> list[float]:
        rig = Rig()
        await asyncio.sleep(100.0)
        rig.machine.deadline = 100.0 - ago
        rig.driver.feed(Typing())
        rig.driver.feed(Typing())  # This must not delay it.
        await asyncio.sleep(1.0)
        return rig.machine.ticks

    with asyncio.Runner(loop_factory=lambda: VirtualLoop(LadderEnvironment())) as runner:
        assert runner.run(ticked_at()) == [100.0]


async def test_no_deadline_comes_while_it_holds_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatlab.live.client.deadline_timer.HOLD_OFF", 0.2)
    rig = Rig()
    rig.machine.deadline = rig.driver.now() + 0.01
    rig.driver.feed(Typing())
    rig.driver.hold_off()
    held_until = rig.driver.now() + 0.2
    rig.machine.deadline = rig.driver.now() + 0.02
    rig.driver.feed(Typing())
    await until(lambda: rig.machine.ticks)
    assert rig.machine.ticks[0] >= held_until - 0.01


async def test_a_link_that_fails_unexpectedly_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(NotedLink):
        async def run(self) -> None:
            raise ZeroDivisionError

    machine = Scripted()
    machine.answers = {Connect: [OpenWebSocket(1)]}
    loop = asyncio.get_running_loop()
    driver = LiveDriver(machine, loop, open_link=lambda *_: Broken([]), listen=lambda _: None, person="ada")
    driver.feed(Connect())
    await driver.closed()
    await until(lambda: caplog.records)
    assert "a link of ada failed unexpectedly" in caplog.text
    assert "ZeroDivisionError" in caplog.text
    assert machine.events[-1][1] == Closed(1, Failure("protocol", reason="a link raised ZeroDivisionError"))


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit])
@pytest.mark.parametrize("broken", ["once", "for good"])
async def test_A84_a_dialect_that_raises_ends_its_transport_in_error(
    error: type[BaseException], broken: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """End as on the background loop; on a loop of the user's own `report` passes some exceptions on."""
    monkeypatch.setattr("chatlab.live.foreign.is_background", lambda loop: True)
    rig = Rig()
    rig.machine.answers = {
        Connect: [OpenWebSocket(1)],
        Disconnect: [Close(1), Notify(StatusChange(ConnectionStatus.DISCONNECTED))],
    }
    rig.driver.feed(Connect())
    await until(lambda: "run" in rig.said)
    answer = rig.machine.handle

    def handle(event: Event, now: float) -> Sequence[Effect]:
        if broken == "for good" or isinstance(event, Typing):
            raise error("a dialect's mistake")
        return answer(event, now)

    rig.machine.handle = handle  # type: ignore[method-assign]
    rig.driver.feed(Typing())
    await rig.driver.closed()
    change = StatusChange(ConnectionStatus.ERROR, f"the dialect raised {error.__name__}")
    assert rig.heard == [Notify(change)]
    assert rig.said[-1] == ((1000, "") if broken == "once" else (1006, ""))
    assert "a dialect's mistake" in caplog.text
