"""A promoted client's machine is in the state that its past has led to."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chatlab.settings import HeartbeatConfig
from chatlab.sim.fast.heartbeats.heartbeat import SkippableHeartbeat
from chatlab.sim.fast.silent.promote import replay_attempt, replay_failure, replay_opening
from chatlab.transports.failures import REFUSED
from tests.transports.websocket_chat import FIRST, Chat, changes, queries


def tried(promoted: Chat, lived: Chat) -> None:
    lived.connect()
    request = replay_attempt(promoted.machine, 0.0, 0, None, None)
    assert (request.link, request.query) == (1, FIRST)


def tried_again(promoted: Chat, lived: Chat) -> None:
    lived.connect()
    for _ in range(3):
        lived.close("refused")
        lived.tick()
    request = replay_attempt(promoted.machine, lived.now, 3, REFUSED, None)
    assert request.query == FIRST


def open_since(promoted: Chat, lived: Chat) -> None:
    lived.online()
    request = replay_attempt(promoted.machine, 0.0, 0, None, None)
    replay_opening(promoted.machine, request.link, 0.0, None)


def open_again(promoted: Chat, lived: Chat) -> None:
    lived.online().hear({"type": "welcome", "cursor": "e-7"})
    lived.close("reset", at=3.0)
    lived.tick()
    lived.open()
    request = replay_attempt(promoted.machine, lived.now, 1, REFUSED, None)
    replay_opening(promoted.machine, request.link, lived.now, "e-7")


def waiting_again(promoted: Chat, lived: Chat) -> None:
    lived.online().hear({"type": "welcome", "cursor": "e-7"})
    lived.close("reset", at=3.0)
    for _ in range(2):
        lived.tick()
        lived.close("refused")
    replay_failure(promoted.machine, lived.now, 2, REFUSED, "e-7")


def ended(promoted: Chat, lived: Chat) -> None:
    lived.connect()
    for _ in range(3):
        lived.close("refused")
        lived.tick()
    lived.close("refused")
    replay_failure(promoted.machine, lived.now, 3, REFUSED, None)


@pytest.mark.parametrize("jitter", ["none", "full", "decorrelated"])
@pytest.mark.parametrize("life", [tried, tried_again, open_since, open_again, waiting_again, ended])
def test_a_machine_is_in_the_state_that_its_events_lead_to(
    life: Callable[[Chat, Chat], None], jitter: str
) -> None:
    def draws() -> Callable[[], float]:
        return iter([0.3, 0.9, 0.2, 0.6, 0.5, 0.1, 0.8, 0.4, 0.7]).__next__

    most = {"max_attempts": 3} if life is ended else {}
    promoted, lived = (Chat(jitter=jitter, uniform=draws(), reconnect=most) for _ in range(2))
    life(promoted, lived)
    promoted.now = lived.now
    assert (promoted.state, promoted.machine.status) == (lived.state, lived.machine.status)
    assert promoted.machine.deadline == lived.machine.deadline
    assert promoted.machine.cursor.last_id == lived.machine.cursor.last_id
    if life is ended:
        return
    promoted.link, lived.link = (chat.machine._state.link for chat in (promoted, lived))
    for _ in range(3):
        assert changes(promoted.close(REFUSED)) == changes(lived.close(REFUSED))
        assert promoted.state == lived.state == "waiting"
        assert queries(promoted.tick()) == queries(lived.tick())
    assert changes(promoted.open()) == changes(lived.open())
    assert promoted.machine.deadline == lived.machine.deadline


def test_an_early_tick_sets_the_deadline_of_a_heartbeat_that_resumes() -> None:
    made: list[SkippableHeartbeat] = []

    def make(config: HeartbeatConfig, now: float) -> SkippableHeartbeat:
        made.append(SkippableHeartbeat(config, now))
        return made[-1]

    chat = Chat(heartbeat=HeartbeatConfig(interval=7.0, timeout=3.0))
    chat.machine._make_heartbeat = make
    chat.online()
    made[0].skip(5)
    assert chat.tick(at=1.0) == []
    assert chat.machine.deadline == 42.0
