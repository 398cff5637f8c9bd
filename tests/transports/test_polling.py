"""Short and long polling: cursors, pages, and unexpected answers (SPEC §4, §5; HOSTILE A55-A61)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chatlab.transports.machine import Close, Failure, Fetch, Opened, ReceivedBytes
from tests.transports.http_chat import (
    CONNECTED,
    CONNECTING,
    ERROR,
    RECONNECTING,
    Chat,
    changes,
    connected,
    delivered,
    fetched,
    long_polling,
    message,
    short_polling,
    shown_ids,
    status,
    statuses,
)

kinds = pytest.mark.parametrize("kind", [short_polling, long_polling], ids=["short", "long"])
Kind = Callable[..., Chat]


def dialing(kind: Kind, **settings: Any) -> Chat:
    chat = kind(**settings)
    chat.connect()
    return chat


def next_query(chat: Chat) -> dict[str, str]:
    """Return the query of the next poll, without the parameters that all polls have."""
    if "poll" not in chat.purposes():
        chat.tick()
    query: dict[str, str] = chat.request("poll").query
    return {name: value for name, value in query.items() if name in ("after", "history")}


@kinds
def test_a_first_poll_asks_for_history_and_the_next_for_what_came_after(kind: Kind) -> None:
    chat = dialing(kind, history=7)
    assert chat.request("poll").query["room"] == "lobby"
    assert next_query(chat) == {"history": "7"}
    effects = chat.answer("poll", 200, [message("e-1"), message("e-2")])
    assert effects[0] == status(CONNECTED)
    assert shown_ids(effects) == ["e-1", "e-2"]
    assert next_query(chat) == {"after": "e-2"}


@kinds
def test_A58_an_empty_room_gives_a_cursor_too_so_nothing_is_lost_between_polls(kind: Kind) -> None:
    chat = dialing(kind)
    chat.answer("poll", 200, [], chat_cursor="e-0")
    assert next_query(chat) == {"after": "e-0"}
    chat.answer("poll", 200, [], chat_cursor="e-9")
    assert next_query(chat) == {"after": "e-0"}, "only what was received moves it on"


@kinds
def test_the_cursor_only_moves_forward(kind: Kind) -> None:
    chat = dialing(kind)
    chat.answer("poll", 200, [message("e-1"), message("e-2")])
    chat.tick()
    assert shown_ids(chat.answer("poll", 200, [message("e-1")])) == []
    assert next_query(chat) == {"after": "e-2"}


@kinds
def test_A61_ids_travel_as_they_are(kind: Kind) -> None:
    chat = dialing(kind)
    chat.answer("poll", 200, [message("a&b #%+/\n")])
    assert next_query(chat) == {"after": "a&b #%+/\n"}


@kinds
def test_a_full_page_is_followed_at_once(kind: Kind) -> None:
    chat = dialing(kind)
    effects = chat.answer("poll", 200, [message("e-1")], chat_more="1")
    assert (statuses(effects), shown_ids(effects), fetched(effects)) == ([CONNECTED], ["e-1"], ["poll"])
    assert next_query(chat) == {"after": "e-1"}
    assert chat.now == 0.0


@kinds
def test_a_full_page_of_old_news_is_not_followed_at_once(kind: Kind) -> None:
    chat = dialing(kind)
    chat.answer("poll", 200, [message("e-1")], chat_more="1")
    assert fetched(chat.answer("poll", 200, [message("e-1")], chat_more="1")) == []
    assert chat.machine.deadline > 0


@kinds
@pytest.mark.parametrize("code", [204, 304, 408])
def test_A56_A60_idle_ends_mean_nothing_new(kind: Kind, code: int) -> None:
    chat = dialing(kind)
    assert chat.answer("poll", code, [message("e-9")]) == [status(CONNECTED)]
    assert chat.machine.state == "pausing"


@kinds
@pytest.mark.parametrize("code", [500, 502, 503, 504, 429])
def test_A56_errors_are_retried(kind: Kind, code: int) -> None:
    chat = dialing(kind)
    (change,) = changes(chat.answer("poll", code, at=1.0, retry_after="20"))
    assert (change.status, change.retry_at, change.code) == (RECONNECTING, 21.0, code)
    assert chat.tick()[0] == status(RECONNECTING, "trying again", 1)
    assert statuses(chat.answer("poll", 200, [])) == [CONNECTED]


@kinds
@pytest.mark.parametrize("code", [400, 403, 404, 409, 416])
def test_refusals_that_last_are_final(kind: Kind, code: int) -> None:
    (change,) = changes(dialing(kind).answer("poll", code, b"no"))
    assert (change.status, change.code) == (ERROR, code)
    assert change.reason.startswith(f"HTTP {code}: no")


@kinds
def test_401_asks_for_new_headers_once_in_a_row(kind: Kind) -> None:
    chat = dialing(kind, headers=lambda failure: {})
    notify, fetch = chat.answer("poll", 401)
    assert statuses([notify]) == [RECONNECTING]
    assert isinstance(fetch, Fetch)
    assert fetch.failure == Failure("http", 401)
    chat.answer("poll", 200, [])
    chat.tick(max(chat.machine.deadline, 20.0))
    assert fetched(chat.answer("poll", 401)) == ["poll"], "it was good for a while"
    assert statuses(chat.answer("poll", 401)) == [ERROR]


@kinds
def test_A60_an_unknown_cursor_is_reported_and_all_retained_messages_are_requested(kind: Kind) -> None:
    chat = dialing(kind)
    chat.answer("poll", 200, [message("e-7")])
    chat.tick()
    effects = chat.answer("poll", 410, {"error": "gone"}, chat_cursor="f-0")
    assert [told.type for told in delivered(effects)] == ["resync"]
    assert fetched(effects) == ["poll"]
    assert next_query(chat) == {"after": "f-0"}
    assert shown_ids(chat.answer("poll", 200, [message("f-1")])) == ["f-1"]


@kinds
def test_A60_without_a_new_cursor_history_is_asked_for(kind: Kind) -> None:
    chat = dialing(kind)
    chat.answer("poll", 200, [message("e-7")])
    chat.tick()
    chat.answer("poll", 410)
    assert next_query(chat) == {"history": "50"}
    effects = chat.answer("poll", 410)
    assert (delivered(effects), statuses(effects)) == ([], [ERROR]), "no cursor can be the trouble now"


@kinds
def test_A94_without_a_usable_cursor_a_poll_asks_for_the_latest_and_drops_duplicates(kind: Kind) -> None:
    chat = dialing(kind, history=3)
    long = "x" * 5000
    effects = chat.answer("poll", 200, [message(long)], chat_more="1")
    assert [told.type for told in delivered(effects)] == ["message", "resync"]
    assert chat.machine.status is CONNECTED
    query = chat.request("poll").query
    assert ("after" in query, query["history"]) == (False, "100")
    effects = chat.answer("poll", 200, [message(long), message(long + "y"), message("e-3")])
    assert [told.type for told in delivered(effects)] == ["message", "resync", "message"]
    chat.tick()
    assert chat.request("poll").query["after"] == "e-3"


def test_A94_long_polls_without_a_usable_cursor_make_no_hot_loop() -> None:
    chat = dialing(long_polling, min_gap=0.1)
    chat.answer("poll", 200, [message("x" * 5000)])
    assert chat.machine.deadline - chat.now == 1.0
    chat.tick()
    chat.answer("poll", 200, [message("e-2")])
    assert chat.machine.deadline - chat.now == pytest.approx(0.1)


@kinds
@pytest.mark.parametrize(
    "body", [b"", b"null", b"3", b'"x"', b"{}", b"<html>", b'[{"id":"e-1"}', b"\xff", b"[1]", b"[null]"]
)
def test_A55_an_answer_without_sense_is_visible_and_backed_off_from(kind: Kind, body: bytes) -> None:
    chat = dialing(kind, reconnect={"max_attempts": 1})
    effects = chat.answer("poll", 200, body)
    assert [told.type for told in delivered(effects)] == ["unreadable"]
    (change,) = changes(effects)
    assert (change.status, change.code) == (RECONNECTING, 200)
    assert change.reason.startswith("unexpected answer (HTTP 200")
    assert change.reason.endswith(" in the 'chatlab' dialect")
    chat.tick()
    assert statuses(chat.answer("poll", 200, body)) == [ERROR], "no refetch for ever"


@kinds
def test_A55_good_elements_among_bad_ones_are_delivered(kind: Kind) -> None:
    chat = dialing(kind)
    effects = chat.answer("poll", 200, [7, message("e-1"), {"id": 3}, message("e-2"), None])
    assert shown_ids(effects) == ["e-1", "e-2"]
    assert [told.type for told in delivered(effects)].count("unreadable") == 3
    assert statuses(effects) == [CONNECTED]
    assert next_query(chat) == {"after": "e-2"}


@kinds
def test_A55_a_bad_element_with_an_id_is_passed_over(kind: Kind) -> None:
    chat = dialing(kind)
    effects = chat.answer("poll", 200, [message("e-1"), {"id": "e-2", "text": 7}])
    assert [told.type for told in delivered(effects)] == ["message", "unreadable"]
    assert next_query(chat) == {"after": "e-2"}
    chat = dialing(kind)
    assert statuses(chat.answer("poll", 200, [{"id": "e-2", "text": 7}])) == [CONNECTED]


@kinds
def test_A25_a_server_that_flaps_is_backed_off_from(kind: Kind) -> None:
    chat = dialing(kind, reconnect={"base_delay": 1.0, "stable_after": 5.0})
    delays = []
    for _ in range(3):
        chat.answer("poll", 200, [])
        chat.tick()
        chat.fail("poll")
        delays.append(chat.machine.deadline - chat.now)
        chat.tick()
    assert delays == pytest.approx([1, 2, 4])
    chat.answer("poll", 200, [])
    start = chat.now
    while chat.now < start + 5:
        chat.tick()
        chat.answer("poll", 200, [])
    chat.tick()
    chat.fail("poll")
    assert chat.machine.deadline - chat.now == pytest.approx(1)


@kinds
def test_it_gives_up_after_max_attempts(kind: Kind) -> None:
    chat = dialing(kind, reconnect={"max_attempts": 2})
    assert statuses(chat.fail("poll")) == [RECONNECTING]
    chat.tick()
    assert statuses(chat.fail("poll")) == [RECONNECTING]
    chat.tick()
    assert statuses(chat.fail("poll")) == [ERROR]
    assert statuses(chat.connect()) == [CONNECTING]


@kinds
def test_only_whole_answers_count(kind: Kind) -> None:
    chat = dialing(kind)
    link = chat.link("poll")
    assert chat.do(Opened(link)) == []
    assert chat.do(ReceivedBytes(link, b'[{"id":"e-1"}]')) == []
    assert chat.purposes() == ["poll"]


@kinds
def test_one_poll_at_a_time(kind: Kind) -> None:
    chat = connected(kind())
    for _ in range(20):
        chat.tick()
        assert chat.purposes().count("poll") <= 1


@kinds
def test_a_first_poll_without_an_answer_is_a_failure(kind: Kind) -> None:
    chat = dialing(kind)
    effects = chat.tick()
    assert isinstance(effects[0], Close)
    assert statuses(effects) == [RECONNECTING]


def test_a_poll_that_is_not_held_measures_a_round_trip() -> None:
    chat = dialing(short_polling)
    assert chat.machine.rtt is None
    chat.now += 0.25
    chat.answer("poll", 200, [])
    assert chat.machine.rtt == 0.25
    chat.tick()
    chat.now += 0.5
    chat.answer("poll", 200, [])
    assert chat.machine.rtt == 0.5


def test_a_poll_that_is_held_measures_nothing() -> None:
    chat = dialing(long_polling)
    chat.now += 0.25
    chat.answer("poll", 200, [])
    assert chat.machine.rtt == 0.25, "the first one isn't held"
    chat.tick()
    chat.now += 20.0
    chat.answer("poll", 200, [])
    assert chat.machine.rtt == 0.25
