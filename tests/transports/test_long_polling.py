"""Times of long polls, and time-outs (SPEC §5; HOSTILE A56-A59)."""

from __future__ import annotations

from typing import Any

import pytest

from chatlab.dialects.base import Answer
from chatlab.transports.machine import Answered, Close, Fetch
from tests.transports.http_chat import (
    CONNECTED,
    ERROR,
    RECONNECTING,
    Chat,
    changes,
    connected,
    fetched,
    long_polling,
    message,
    shown_ids,
    statuses,
)


def polling(**settings: Any) -> Chat:
    """Return a connected chat whose second poll is in flight."""
    chat = connected(long_polling(**settings))
    chat.tick()
    return chat


def hold(chat: Chat) -> str:
    value: str = chat.request("poll").query["hold"]
    return value


def test_it_asks_to_be_held_once_it_is_connected() -> None:
    chat = long_polling(hold=20.0)
    chat.connect()
    assert (chat.request("poll").path, hold(chat)) == ("/messages/poll", "0")
    chat.answer("poll", 200, [])
    chat.tick()
    assert hold(chat) == "20"
    chat.fail("poll")
    chat.tick()
    assert hold(chat) == "0", "after a failure it wants to know soon"


def test_A56_it_asks_again_at_once() -> None:
    chat = polling()
    chat.answer("poll", 200, [message("e-1")], at=5.0)
    assert chat.machine.deadline == 5.0
    assert fetched(chat.tick()) == ["poll"]


@pytest.mark.parametrize("status", [200, 204, 304, 408])
def test_A57_but_not_within_min_gap_of_asking_before(status: int) -> None:
    chat = polling(min_gap=0.25)
    asked = chat.now
    for _ in range(5):
        chat.answer("poll", status, [], at=asked + 0.01)
        chat.tick()
        assert chat.now == pytest.approx(asked + 0.25)
        asked = chat.now


def test_A59_the_first_answer_that_is_late_is_an_idle_end() -> None:
    chat = polling(timeout=30.0)
    chat.answer("poll", 200, [message("e-1")])
    chat.tick()
    old = chat.link("poll")
    close, fetch = chat.tick()
    assert close == Close(old, 1006, "no answer")
    assert isinstance(fetch, Fetch)
    assert fetch.request.query["after"] == "e-1", "the same cursor"
    assert hold(chat) == "0"
    assert chat.machine.status is CONNECTED
    assert chat.do(Answered(old, Answer(200, b'[{"id":"e-2"}]'))) == []
    assert shown_ids(chat.answer("poll", 200, [message("e-1"), message("e-2")])) == ["e-2"]
    chat.tick()
    assert hold(chat) == "25"


def test_a_second_late_answer_in_a_row_is_a_failure() -> None:
    chat = polling()
    chat.tick()
    effects = chat.tick()
    (change,) = changes(effects)
    assert (change.status, change.reason) == (RECONNECTING, "timeout: no answer within 30 s")
    chat.tick()
    assert statuses(chat.tick()) == [RECONNECTING], "and so is the next, as it isn't connected"


def test_late_answers_that_are_not_in_a_row_are_idle_ends() -> None:
    chat = polling()
    for _ in range(5):
        assert statuses(chat.tick()) == []
        chat.answer("poll", 204)
        chat.tick()
    assert chat.machine.status is CONNECTED


def test_on_errors_it_waits_error_delay_growing() -> None:
    chat = polling(error_delay=0.5, reconnect={"max_attempts": 4, "base_delay": 9.0})
    delays = []
    while statuses(chat.answer("poll", 502)) != [ERROR]:
        delays.append(chat.machine.deadline - chat.now)
        assert len(delays) < 10
        chat.tick()
    assert delays == pytest.approx([0.5, 1, 2, 4])
