"""Times of short polls (SPEC §4; HOSTILE A54)."""

from __future__ import annotations

from chatlab.transports.machine import Close
from tests.transports.http_chat import CONNECTED, RECONNECTING, connected, message, short_polling, statuses


def test_it_asks_every_interval_from_start_to_start() -> None:
    chat = short_polling(interval=3.0)
    chat.connect()
    assert chat.request("poll").path == "/messages"
    assert "hold" not in chat.request("poll").query
    asked = []
    for _ in range(4):
        chat.answer("poll", 200, [], at=chat.now + 0.5)
        assert chat.tick(chat.machine.deadline - 0.001) == []
        chat.tick()
        asked.append(chat.now)
    assert asked == [3.0, 6.0, 9.0, 12.0]


def test_A54_a_slow_answer_delays_the_next_poll_instead_of_overlapping_it() -> None:
    chat = connected(short_polling(interval=3.0))
    chat.tick()
    assert chat.tick(9.0) == []
    chat.answer("poll", 200, [message("e-1")], at=10.0)
    assert chat.machine.deadline == 10.0
    chat.tick()
    assert chat.purposes() == ["poll"]


def test_polls_can_be_spread() -> None:
    chat = connected(short_polling(interval=3.0, spread=2.0, uniform=lambda: 0.25))
    assert chat.machine.deadline == 3.5
    luck = iter(())
    connected(short_polling(uniform=lambda: next(luck)))  # Without spread no random number is drawn.


def test_an_answer_that_does_not_come_is_a_failure() -> None:
    chat = connected(short_polling(request_timeout=4.0))
    chat.tick()
    close, notify = chat.tick()
    assert (chat.now, close) == (7.0, Close(2, 1006, "no answer"))
    assert statuses([notify]) == [RECONNECTING]
    chat.tick()
    assert statuses(chat.answer("poll", 200, [])) == [CONNECTED]
