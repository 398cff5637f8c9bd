"""The SSE receiver: an event stream that reconnects by itself (SPEC §3; WHATWG HTML §9.2; HOSTILE
A34-A47)."""

from __future__ import annotations

from typing import Any

import pytest

from chatlab.dialects.base import Answer
from chatlab.messages import ChatEvent
from chatlab.transports.hints import buffered_stream
from chatlab.transports.machine import (
    Answered,
    Close,
    Closed,
    Deliver,
    Event,
    Failure,
    Fetch,
    Opened,
    ReceivedBytes,
)
from tests.transports.http_chat import (
    CONNECTED,
    CONNECTING,
    DISCONNECTED,
    ERROR,
    RECONNECTING,
    Chat,
    changes,
    connected,
    delivered,
    event,
    posted_ids,
    shown_ids,
    sse,
    status,
    statuses,
)


def online(**settings: Any) -> Chat:
    return connected(sse(**settings))


def dialing(**settings: Any) -> Chat:
    chat = sse(**settings)
    chat.connect()
    return chat


def reconnected(chat: Chat, at: float | None = None) -> Any:
    """Break the stream, wait, and return the next request."""
    chat.fail("stream", at=at)
    chat.tick()
    return chat.request("stream")


# Connecting


def test_a_first_connection_asks_for_history() -> None:
    chat = sse(room="attic", history=7)
    notify, fetch = chat.connect()
    assert notify == status(CONNECTING)
    assert isinstance(fetch, Fetch)
    assert (fetch.purpose, fetch.request.method, fetch.request.path) == ("stream", "GET", "/stream")
    assert fetch.request.query == {"room": "attic", "sender": "ada", "history": "7"}
    assert fetch.request.headers["Accept"] == "text/event-stream"
    assert "Last-Event-ID" not in fetch.request.headers


@pytest.mark.parametrize(
    "content_type",
    ["text/event-stream", "text/event-stream; charset=utf-8", "Text/Event-Stream;charset=windows-1252"],
)
def test_A36_an_event_stream_by_its_type_is_connected(content_type: str) -> None:
    assert dialing().opened(content_type) == [status(CONNECTED)]


@pytest.mark.parametrize(
    "content_type", ["text/html", "", "application/x-text/event-stream-x", "text/event-streams", "x" * 1000]
)
def test_A35_another_type_is_final_and_its_body_is_not_read(content_type: str) -> None:
    chat = dialing()
    close, notify = chat.opened(content_type)
    assert close == Close(1, 1006, "wrong content type")
    (change,) = changes([notify])
    assert change.status is ERROR
    assert len(change.reason) < 300
    assert chat.do(ReceivedBytes(1, event("e-1").encode())) == []


PORTALS: dict[str, Event] = {
    "page": Opened(2, "text/html"),
    "JSON": Opened(2, "application/json"),
    "no type": Opened(2),
    "redirect": Answered(2, Answer(302, b"moved", {"content-type": "text/plain"})),
    "another status": Answered(2, Answer(206)),
    "redirect to a page that has gone": Answered(2, Answer(404, b"no such path", redirected=True)),
    "out of TLS": Closed(2, Failure("answer", reason="the server redirects to an address without TLS, at h")),
}


@pytest.mark.parametrize("answer", PORTALS.values(), ids=PORTALS)
def test_A91_an_unexpected_answer_after_a_first_stream_is_retried(answer: Event) -> None:
    chat = dialing()
    chat.opened()
    chat.fail("stream")
    chat.tick()
    (change,) = changes(chat.do(answer))
    assert change.status is RECONNECTING
    assert change.reason.startswith("unexpected answer (")
    chat.tick()
    assert chat.opened() == [status(CONNECTED, attempt=2)]


@pytest.mark.parametrize("answer", PORTALS.values(), ids=PORTALS)
def test_A35_A91_but_a_browser_gives_up(answer: Event) -> None:
    chat = dialing(strict_eventsource=True)
    chat.opened()
    chat.fail("stream")
    chat.tick()
    assert statuses(chat.do(answer)) == [ERROR]
    chat = dialing(failures={"answer": "retry"})
    assert statuses(chat.opened("text/html")) == [RECONNECTING], "whose portal is there from the first"


def test_connect_timeout() -> None:
    chat = dialing(connect_timeout=4.0)
    reason = "no connection within 4 s"
    hint = buffered_stream(acked=False, opened=False)
    assert chat.tick() == [Close(1, 1006, reason), status(RECONNECTING, f"timeout: {reason}{hint}", 1, 7.0)]
    assert chat.now == 4.0


def test_a_stream_opens_once_and_bytes_before_that_mean_nothing() -> None:
    chat = dialing()
    assert chat.stream(event("e-1")) == []
    chat.opened()
    chat.stream('data: {"type":"mess')
    assert chat.do(Opened(1, "text/html")) == []
    assert shown_ids(chat.stream('age","id":"e-2"}\n\n')) == ["e-2"]


@pytest.mark.parametrize("code", [400, 403, 404, 410, 418])
def test_A38_refusals_that_last_are_final(code: int) -> None:
    (change,) = changes(dialing().answer("stream", code, b"no"))
    assert (change.status, change.code) == (ERROR, code)
    assert change.reason.startswith(f"HTTP {code}: no")


@pytest.mark.parametrize("code", [408, 425, 429, 500, 502, 503, 504])
def test_A37_others_are_retried_and_the_body_is_not_dispatched(code: int) -> None:
    chat = dialing()
    effects = chat.answer("stream", code, event("e-1").encode(), retry_after="20")
    assert delivered(effects) == []
    (change,) = changes(effects)
    assert (change.status, change.code, change.retry_at) == (RECONNECTING, code, 20.0)


def test_A38_401_asks_for_new_headers_once() -> None:
    chat = dialing(headers=lambda failure: {})
    notify, fetch = chat.answer("stream", 401)
    assert statuses([notify]) == [RECONNECTING]
    assert isinstance(fetch, Fetch)
    assert fetch.failure == Failure("http", 401)
    assert statuses(chat.answer("stream", 401)) == [ERROR]
    assert statuses(dialing().answer("stream", 401)) == [ERROR]


@pytest.mark.parametrize("code", [401, 429, 500, 503])
def test_strict_eventsource_makes_every_status_but_200_final(code: int) -> None:
    chat = dialing(strict_eventsource=True, headers=lambda failure: {})
    assert statuses(chat.answer("stream", code)) == [ERROR]
    chat = dialing(strict_eventsource=True)
    assert statuses(chat.fail("stream")) == [RECONNECTING], "a network error is none"


@pytest.mark.parametrize("strict", [False, True])
def test_A34_204_stops_for_good(strict: bool) -> None:
    chat = dialing(strict_eventsource=strict)
    chat.submit("a")
    effects = chat.answer("stream", 204)
    assert effects[0] == status(DISCONNECTED, "the server has no more events (204)", code=204)
    assert chat.machine.unsettled == 1
    assert chat.machine.state == "idle"


def test_a_refusal_of_an_open_stream_is_its_end() -> None:
    chat = online()
    assert statuses(chat.do(Answered(chat.link("stream"), Answer(503)))) == [RECONNECTING]


# Reading


def test_events_become_chat_events() -> None:
    chat = online()
    effects = chat.stream(
        ": hello\n\n"
        + event("e-1")
        + 'event: typing\ndata: {"sender":"bob"}\n\n'
        + 'event: poll\ndata: {"type":"poll","question":"why?"}\n\n'
        + "event: note\ndata: two\ndata: lines\n\n"
        + 'data: {"type":"welcome","cursor":"e-9"}\n\n'
    )
    assert [(told.type, told.sender, told.payload) for told in delivered(effects)] == [
        ("message", "bob", None),
        ("typing", "bob", {"sender": "bob"}),
        ("poll", "", {"question": "why?"}),
        ("note", "", "two\nlines"),
    ]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_A33_bytes_may_be_cut_anywhere(size: int) -> None:
    chat, data = online(), (event("e-1", text="é\u2028") + event("e-2")).encode()
    effects = [
        effect for start in range(0, len(data), size) for effect in chat.stream(data[start : start + size])
    ]
    assert shown_ids(effects) == ["e-1", "e-2"]


@pytest.mark.parametrize("kind", ["error", "open", "connection", "resync", "overrun", "status"])
def test_A47_an_event_of_that_name_is_the_servers_and_no_status(kind: str) -> None:
    chat = online()
    (told,) = delivered(chat.stream(f'event: {kind}\ndata: {{"status":"error"}}\n\n'))
    assert told.type.removeprefix("server:") == kind
    assert told.type not in ("connection", "resync", "overrun")
    assert (chat.machine.status, told.change) == (CONNECTED, None)


def test_what_makes_no_sense_is_visible_and_the_stream_goes_on() -> None:
    chat = online()
    (told, more) = delivered(chat.stream("data: hello\n\n" + event("e-1")))
    assert (told.type, more.type) == ("unreadable", "message")


def test_A62_what_comes_twice_is_shown_once() -> None:
    assert shown_ids(online().stream(event("e-1") + event("e-2") + event("e-1"))) == ["e-1", "e-2"]


@pytest.mark.parametrize("tail", ["data: " + "x" * 200, ("data: " + "x" * 50 + "\n") * 3])
def test_A41_what_is_too_large_ends_the_stream_after_what_came_before(tail: str) -> None:
    chat = online(max_event_size=120)
    effects = chat.stream(event("e-1") + tail)
    assert shown_ids(effects) == ["e-1"]
    reason = delivered(effects)[1].reason
    assert "above 120 bytes" in reason
    assert effects[1:] == [
        Deliver(ChatEvent("unreadable", reason=reason)),
        Close(1, 1006, "event too large"),
        status(RECONNECTING, f"reset: {reason}", 1, 3.0),
    ]
    chat.tick()
    assert chat.request("stream").headers["Last-Event-ID"] == "e-1"


# Coming back


def test_A40_every_reconnect_resumes_after_the_last_whole_event() -> None:
    chat = online()
    chat.stream(event("e-1") + event("e-2") + event("e-3").rstrip("\n"))
    request = reconnected(chat)
    assert request.headers["Last-Event-ID"] == "e-2"
    assert "history" not in request.query
    chat.opened()
    assert shown_ids(chat.stream(event("e-3"))) == ["e-3"], "nothing is left of the old stream's bytes"
    assert reconnected(chat).headers["Last-Event-ID"] == "e-3"
    chat.disconnect()
    chat.connect()
    assert chat.request("stream").headers["Last-Event-ID"] == "e-3"


def test_a_stream_that_ends_is_reconnected_after_3_seconds_at_first() -> None:
    chat = online()
    assert chat.fail("stream") == [status(RECONNECTING, "reset", 1, 3.0)]
    assert chat.tick() == [
        status(RECONNECTING, "trying again", 1),
        Fetch(2, "stream", chat.request("stream")),
    ]
    assert chat.opened() == [status(CONNECTED, attempt=1)]


def test_repeated_failures_are_backed_off_from_until_it_gives_up() -> None:
    chat = dialing(reconnect={"max_attempts": 5})
    delays = []
    while statuses(chat.fail("stream")) != [ERROR]:
        delays.append(chat.machine.deadline - chat.now)
        assert len(delays) < 10
        chat.tick()
    assert delays == [3, 6, 12, 24, 30]


def test_A25_attempts_are_reset_only_after_a_stable_stream() -> None:
    chat = online()
    for at, delay in ((4.9, 3), (8.0, 6), (100.0, 3), (200.0, 3)):
        chat.fail("stream", at=max(at, chat.now))
        assert chat.machine.deadline - chat.now == delay
        chat.tick()
        chat.opened()


@pytest.mark.parametrize(
    ("wish", "delay"),
    [
        ("5000", 5.0),
        ("0", 0.1),
        ("50", 0.1),
        ("99999999", 30.0),
        ("9" * 5000, 30.0),
        ("-1", 3.0),
        ("soon", 3.0),
    ],
)
def test_A45_retry_is_obeyed_within_bounds(wish: str, delay: float) -> None:
    chat = online()
    chat.stream(f"retry: {wish}\n\n")
    chat.fail("stream")
    assert chat.machine.deadline == delay


def test_A45_retry_holds_for_later_streams_and_the_last_one_counts() -> None:
    chat = online()
    chat.stream("retry: 7000\nretry: 1000\n")
    chat.stream(event("e-1"), at=10.0)
    for _ in range(3):
        chat.fail("stream", at=chat.now + 10.0)
        assert chat.machine.deadline == chat.now + 1.0
        chat.tick()
        chat.opened()


def test_A45_retry_sets_the_base_of_the_backoff() -> None:
    chat = online()
    chat.fail("stream")
    chat.tick()
    chat.opened()
    chat.stream("retry: 1000\n")
    chat.fail("stream")
    assert chat.machine.deadline - chat.now == 2.0, "the second attempt"


def test_retry_counts_for_decorrelated_jitter_too() -> None:
    chat = online(reconnect={"jitter": "decorrelated"}, uniform=lambda: 0.5)
    chat.stream("retry: 1000\n")
    chat.fail("stream")
    assert chat.machine.deadline == 2.0, "U(1, 3) and not U(1, 9)"


@pytest.mark.parametrize("life", [":\n", ":", "\n", "data: x"])
def test_A43_any_byte_resets_the_idle_timeout(life: str) -> None:
    chat = online()
    assert chat.machine.deadline == 45.0
    for at in (40.0, 80.0, 120.0):
        assert chat.stream(life, at=at) == []
        assert chat.machine.deadline == at + 45.0


def test_A44_an_idle_stream_is_reconnected() -> None:
    chat = online(idle_timeout=20.0)
    chat.stream(event("e-1"), at=1.0)
    reason = "nothing received for 20 s"
    assert chat.tick() == [Close(1, 1006, reason), status(RECONNECTING, f"timeout: {reason}", 1, 24.0)]
    chat.tick()
    assert chat.request("stream").headers["Last-Event-ID"] == "e-1"


def test_A60_a_cursor_that_the_server_no_longer_has_is_a_visible_resync() -> None:
    chat = online()
    chat.stream(event("e-7"))
    reconnected(chat)
    chat.opened()
    effects = chat.stream('data: {"type":"welcome","cursor":"f-0","resync":true}\n\n' + event("f-1"))
    assert [told.type for told in delivered(effects)] == ["resync", "message"]
    assert reconnected(chat).headers["Last-Event-ID"] == "f-1"


def test_A46_an_id_too_long_to_resume_from_is_reported_and_not_sent() -> None:
    chat = online()
    effects = chat.stream(event("e" * 5000))
    assert [told.type for told in delivered(effects)] == ["message", "resync"]
    request = reconnected(chat)
    assert "Last-Event-ID" not in request.headers
    assert "history" not in request.query, "all that there is, and what was seen is dropped"


def test_A46_an_id_that_no_header_can_hold_travels_in_the_query() -> None:
    for id in ("a\r\nX: y", " a", "a\x7f"):
        chat = online()
        chat.do(
            ReceivedBytes(
                1,
                event("x")
                .replace('"x"', f'"{id.encode("unicode_escape").decode()}"')
                .replace("\\x7f", "\\u007f")
                .encode(),
            )
        )
        request = reconnected(chat)
        assert "Last-Event-ID" not in request.headers
        assert request.query["after"] == id


def test_posts_go_on_over_reconnects() -> None:
    chat = online().held()
    chat.submit("a")
    chat.fail("stream")
    assert posted_ids([*chat.submit("b"), *chat.accept()]) == ["b"]


def test_news_of_the_old_stream_is_ignored() -> None:
    chat = online()
    reconnected(chat)
    chat.opened()
    for old in (
        ReceivedBytes(1, event("e-1").encode()),
        Closed(1, Failure("reset")),
        Answered(1, Answer(204)),
    ):
        assert chat.do(old) == []
