"""The seed's WebSocket snippets, line by line, on a clock of the test's own."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from chatlab.dialects import find_dialect
from chatlab.messages import ConnectionStatus, OutgoingMessage
from chatlab.sim.as_written.settings import SeedHeartbeat, SeedReconnect, SeedWebSocket
from chatlab.sim.as_written.websocket import SeedWebSocketMachine
from chatlab.transports.machine import (
    Close,
    Closed,
    Connect,
    Deliver,
    Disconnect,
    Failure,
    Notify,
    Opened,
    OpenWebSocket,
    Pong,
    Received,
    Send,
    Settle,
    Submit,
    Tick,
    Typing,
)

RESET = Failure("reset")
PONG = '{"type":"pong","id":0}'


class Page:
    """A machine, and the effects of what happened to it."""

    def __init__(self, **settings: Any) -> None:
        self.machine = SeedWebSocketMachine(
            SeedWebSocket(**settings), find_dialect("chatlab"), lambda: 0.5, "den", "ada"
        )
        self.now = 0.0
        self.link = 0
        self.effects: list[Any] = []
        self.happen(Connect())

    def happen(self, event: Any, at: float | None = None) -> list[Any]:
        self.now = self.now if at is None else at
        effects = list(self.machine.handle(event, self.now))
        self.effects += effects
        self.link = max(
            (effect.link for effect in effects if isinstance(effect, OpenWebSocket)), default=self.link
        )
        return effects

    def open(self, at: float | None = None) -> list[Any]:
        return self.happen(Opened(self.link), at)

    def submit(self, name: str) -> list[Any]:
        return self.happen(Submit(OutgoingMessage(name, client_id=name)))

    def pass_until(self, end: float, *, pongs: bool = False) -> None:
        """Advance the time: connections open at once, and pings are answered at once or never."""
        while self.machine.deadline <= end:
            for effect in self.happen(Tick(), self.machine.deadline):
                match effect:
                    case OpenWebSocket(link):
                        self.happen(Opened(link))
                    case Send(link) if pongs:
                        self.happen(Received(link, PONG))
        self.now = end

    def count(self, kind: type) -> int:
        return sum(isinstance(effect, kind) for effect in self.effects)


def texts(effects: list[Any]) -> list[str]:
    return [effect.client_id for effect in effects if isinstance(effect, Settle)]


def test_after_one_stall_twenty_connections_leave_twenty_intervals() -> None:
    page = Page()
    page.open()
    page.pass_until(32.0)  # a ping went out at 30 s; the connection is lost before its pong has come
    page.happen(Closed(page.link, RESET))
    page.pass_until(600.0, pongs=True)
    assert page.count(OpenWebSocket) == page.machine.intervals == 20
    reasons = {effect.reason for effect in page.effects if isinstance(effect, Close)}
    assert reasons == {"Heartbeat timeout"}


def test_a_healthy_connection_beats_on() -> None:
    page = Page()
    page.open()
    page.pass_until(600.0, pongs=True)
    assert (page.count(OpenWebSocket), page.machine.intervals, page.count(Send)) == (1, 1, 20)


def test_a_missed_pong_is_noticed_after_the_timeout() -> None:
    page = Page(heartbeat=SeedHeartbeat(interval=5.0, timeout=2.0))
    page.open()
    page.pass_until(6.9)
    assert page.count(Close) == 0
    page.pass_until(7.0)
    assert page.effects[-2] == Close(1, 4000, "Pong timeout")
    assert page.machine.status is ConnectionStatus.RECONNECTING


def test_the_ping_of_an_old_interval_closes_the_new_connection() -> None:
    page = Page()
    page.open()
    page.happen(Closed(1, RESET), at=20.0)
    page.pass_until(60.0)
    second = [effect for effect in page.effects if isinstance(effect, Send | Close) and effect.link == 2]
    assert second == [Close(2, 4000, "Heartbeat timeout")]  # and no ping of its own


def test_the_queue_drops_the_oldest_and_says_nothing() -> None:
    page = Page()
    page.open()
    page.happen(Closed(1, RESET))
    for number in range(624):
        assert page.submit(f"{number}") == []
    page.happen(Tick(), page.machine.deadline)
    assert texts(page.open()) == [f"{number}" for number in range(524, 624)]


def test_what_is_sent_is_forgotten() -> None:
    page = Page(queue_size=2)
    page.open()
    sent = page.submit("a")
    assert [type(effect) for effect in sent] == [Send, Settle]
    page.happen(Closed(1, RESET))
    page.happen(Tick(), page.machine.deadline)
    assert texts(page.open()) == []


def test_no_jitter_is_left_at_the_cap_and_ten_attempts_are_all() -> None:
    page = Page()
    delays = []
    while page.machine.status is not ConnectionStatus.ERROR:
        page.happen(Closed(page.link, RESET))
        if page.machine.deadline < inf:
            delays.append(page.machine.deadline - page.now)
            page.happen(Tick(), page.machine.deadline)
    assert delays == pytest.approx([1.05, 2.1, 4.2, 8.4, 16.8, *[30.0] * 5])
    assert sum(delays) == pytest.approx(182.55)
    page.happen(Connect())
    assert page.count(OpenWebSocket) == 12


def test_it_can_be_told_not_to_reconnect() -> None:
    page = Page(reconnect=SeedReconnect(enabled=False))
    page.open()
    page.happen(Closed(1, RESET))
    assert (page.machine.status, page.machine.deadline > 30) == (ConnectionStatus.ERROR, False)


def test_it_shows_what_comes_and_knows_nothing_else() -> None:
    page = Page()
    page.open()
    shown = page.happen(Received(1, '{"type":"message","id":"1-1","sender":"bob","text":"hi"}'))
    shown += page.happen(Received(1, '{"type":"typing","sender":"bob"}'))
    assert [effect.event.type for effect in shown if isinstance(effect, Deliver)] == ["message", "typing"]
    for event in (Received(1, "?"), Received(9, PONG), Typing(), Pong(1, 0), Opened(9), Closed(9, RESET)):
        assert page.happen(event) == []


def test_leaving_keeps_the_timers() -> None:
    page = Page()
    page.open()
    left = page.happen(Disconnect())
    assert left[0] == Close(1, 1000)
    assert page.happen(Disconnect()) == []
    page.pass_until(100.0)
    assert (page.count(Send), page.machine.deadline < inf) == (0, True)


def test_leaving_ends_the_wait() -> None:
    page = Page()
    page.happen(Closed(1, RESET))
    (left,) = page.happen(Disconnect())
    assert isinstance(left, Notify)
    assert page.machine.deadline == inf
