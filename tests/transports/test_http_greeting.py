"""Transports over HTTP with a dialect that greets: sessions, replies, refusals, and acks that come later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chatlab.dialects import TextDialect
from chatlab.dialects.base import Answer
from chatlab.messages import ConnectionStatus
from chatlab.transports.machine import Answered, Close, Deliver, Disconnect, Failure, Fetch
from tests.dialects.greeting import IN_FLIGHT, GreetingDialect, GreetingHttp
from tests.transports.http_chat import (
    CONNECTED,
    CONNECTING,
    DISCONNECTED,
    ERROR,
    RECONNECTING,
    Chat,
    changes,
    event,
    fetched,
    long_polling,
    message,
    posted_ids,
    settled,
    short_polling,
    shown_ids,
    sse,
    statuses,
)

WELCOME = 'event: welcome\ndata: {"type":"welcome","cursor":"7"}\n\n'
NOBODY_IN = "timeout: the server let nobody in within 4 s"
kinds = pytest.mark.parametrize("kind", [sse, long_polling, short_polling], ids=["sse", "long", "short"])
polls = pytest.mark.parametrize("kind", [long_polling, short_polling], ids=["long", "short"])
Kind = Callable[..., Chat]


def greeting(kind: Kind, **settings: Any) -> Chat:
    """Return a chat whose first request is answered; it awaits the greeting."""
    chat = kind(dialect=GreetingDialect(), **settings)
    chat.connect()
    if kind is sse:
        chat.opened()
    else:
        chat.answer("poll", 200, [])
    return chat


def reply(chat: Chat) -> None:
    """Answer the POST of the dialect's reply, after that for the token."""
    if "csrf" in chat.purposes():
        chat.answer("csrf")
    assert chat.request("post").path == "/typing"
    chat.answer("post", 204)


def let_in(kind: Kind, **settings: Any) -> Chat:
    """Return a chat that the server has let in."""
    chat = greeting(kind, **settings)
    if kind is sse:
        chat.stream(WELCOME)
        reply(chat)
    else:
        reply(chat)
        chat.tick()
        chat.answer("poll", 200, [])
    assert chat.machine.status is CONNECTED
    return chat


@kinds
def test_nothing_is_posted_and_nobody_is_connected_before_the_welcome(kind: Kind) -> None:
    chat = greeting(kind)
    assert chat.submit("m1") == []
    assert chat.machine.status is CONNECTING
    if kind is sse:
        effects = chat.stream(WELCOME)
        assert (chat.machine.state, statuses(effects)) == ("online", [CONNECTED])
        reply(chat)
    else:
        reply(chat)
        assert "post" not in chat.purposes()
        chat.tick()
        assert statuses(chat.answer("poll", 200, [message("8")])) == [CONNECTED]
    assert chat.request("post").path == "/messages"
    assert settled(chat.accept()) == [("m1", "acked")]


def test_a_stream_that_lets_nobody_in_fails_at_the_attempts_connect_timeout() -> None:
    chat = sse(dialect=GreetingDialect(), connect_timeout=4.0)
    chat.connect()
    chat.opened(at=3.0)
    assert chat.machine.state == "greeting"
    chat.stream(": hello\n\n", at=3.5)
    assert chat.machine.deadline == 4.0, "a byte is no greeting"
    effects = chat.tick()
    assert isinstance(effects[0], Close)
    assert [change.reason for change in changes(effects)] == [f"{NOBODY_IN}; it sent no event"]


@polls
@pytest.mark.parametrize("asking", [True, False])
def test_polls_that_let_nobody_in_fail_at_the_attempts_connect_timeout(kind: Kind, asking: bool) -> None:
    chat = kind(dialect=GreetingDialect(), connect_timeout=4.0)
    chat.connect()
    if not asking:
        chat.answer("poll", 200, [], at=3.99)
        reply(chat)
    assert chat.machine._receiver.deadline == 4.0
    effects = chat.tick(4.0)
    assert [type(effect) for effect in effects if isinstance(effect, Close)] == [Close] * asking
    sent = "no answer" if asking else "1 answer: []"
    assert [change.reason for change in changes(effects)] == [f"{NOBODY_IN}; it sent {sent}"]
    assert not chat.open


@polls
def test_polls_of_a_greeting_follow_each_other_soon(kind: Kind) -> None:
    chat = greeting(kind)
    assert chat.machine._receiver.deadline == pytest.approx(0.1)


@polls
def test_messages_of_a_page_before_the_welcome_are_read_and_the_next_poll_asks_for_later_ones(
    kind: Kind,
) -> None:
    chat = kind(dialect=GreetingDialect())
    chat.connect()
    effects = chat.answer("poll", 200, [message("8")], chat_cursor="8")
    assert shown_ids(effects) == ["8"]
    assert chat.machine.status is CONNECTING
    reply(chat)
    chat.tick()
    assert chat.request("poll").query["after"] == "8"


@polls
def test_each_attempt_has_a_session_and_polls_of_one_share_it(kind: Kind) -> None:
    chat = let_in(kind)
    assert chat.machine._session.http.number == 1
    chat.tick()
    chat.fail("poll")
    chat.tick(chat.machine._receiver.deadline)
    assert chat.machine._session.http.number == 2
    chat.answer("poll", 200, [])
    assert chat.machine.status is RECONNECTING
    reply(chat)
    chat.tick(chat.machine._receiver.deadline)
    chat.answer("poll", 200, [])
    assert chat.machine.status is CONNECTED


def test_each_stream_has_a_session() -> None:
    chat = let_in(sse)
    chat.fail("stream")
    chat.tick()
    assert chat.machine._session.http.number == 2


@kinds
def test_messages_in_flight_are_sent_again_in_the_next_session(kind: Kind) -> None:
    chat = let_in(kind)
    assert posted_ids(chat.submit("m1", "m2")) == ["m1"]
    assert posted_ids(chat.answer("post", 202, IN_FLIGHT)) == ["m2"], "in flight, and not acked"
    if kind is not sse:
        chat.tick()
    lost = chat.fail("stream" if kind is sse else "poll")
    assert Close in map(type, lost), "the POST is of the lost session"
    assert chat.machine.unsettled == 2
    chat.tick(chat.machine._receiver.deadline)
    if kind is sse:
        chat.opened()
        chat.stream(WELCOME)
        reply(chat)
    else:
        chat.answer("poll", 200, [])
        reply(chat)
        chat.tick(chat.machine._receiver.deadline)
        chat.answer("poll", 200, [])
    assert chat.request("post").body.count("m1")
    assert posted_ids(chat.answer("post", 202, IN_FLIGHT)) == ["m2"]
    own = {"sender": "ada", "client_id": "m1"}
    if kind is sse:
        effects = chat.stream(event("8", **own))
    else:
        chat.tick(chat.machine._receiver.deadline)
        effects = chat.answer("poll", 200, [message("8", **own)])
    assert settled(effects) == [("m1", "acked")]


def test_the_reader_goes_on_while_acks_are_awaited() -> None:
    chat = let_in(sse)
    chat.submit("m1")
    chat.answer("post", 202, IN_FLIGHT)
    chat.disconnect()
    assert chat.machine.state == "draining"
    assert chat.connect() == []
    assert chat.machine.state == "online"
    chat.disconnect()
    effects = chat.stream(event("8", sender="ada", client_id="m1"))
    assert settled(effects) == [("m1", "acked")]
    assert statuses(effects) == [DISCONNECTED]


def test_a_lost_session_ends_the_drain() -> None:
    chat = let_in(sse)
    chat.submit("m1")
    chat.answer("post", 202, IN_FLIGHT)
    chat.do(Disconnect())
    effects = chat.fail("stream")
    assert statuses(effects)[-1] is DISCONNECTED
    assert chat.machine.unsettled == 1


REFUSALS = [
    ({"status": 403, "reason": "not you"}, ERROR, "refused by the server: not you (judged as HTTP 403)"),
    ({"reason": "full"}, RECONNECTING, "refused by the server: full (judged as close code 1013)"),
]


@kinds
@pytest.mark.parametrize(("refusal", "then", "reason"), REFUSALS)
def test_the_failure_table_judges_a_refusal_of_the_receiver(
    kind: Kind, refusal: dict[str, object], then: ConnectionStatus, reason: str
) -> None:
    chat = greeting(kind)
    if kind is sse:
        data = {"type": "refused", **refusal}
        effects = chat.stream("event: refused\ndata: " + str(data).replace("'", '"') + "\n\n" + event("8"))
        assert not [effect for effect in effects if isinstance(effect, Deliver)]
    else:
        reply(chat)
        chat.tick()
        body = str({"type": "refused", **refusal}).replace("'", '"').replace(": ", ":").encode()
        effects = chat.answer("poll", 200, body)
    (change,) = changes(effects)
    assert (change.status, change.reason) == (then, reason)
    assert not chat.open


@polls
def test_a_refusal_after_the_welcome_ends_the_session(kind: Kind) -> None:
    chat = let_in(kind)
    chat.tick()
    effects = chat.answer("poll", 200, b'{"type":"refused","reason":"go"}')
    assert [change.reason for change in changes(effects)] == [
        "refused by the server: go (judged as close code 1013)"
    ]
    assert not chat.open


def test_replies_of_a_lost_session_are_not_sent_in_the_next() -> None:
    chat = let_in(sse)
    chat.stream(WELCOME + WELCOME)
    chat.fail("stream")
    assert not chat.open
    chat.tick()
    chat.opened()
    assert chat.purposes() == ["stream"]


def test_an_event_above_the_limit_after_a_refusal_changes_nothing() -> None:
    chat = greeting(sse, max_event_size=100)
    effects = chat.stream('data: {"type":"refused","reason":"full"}\n\ndata: ' + "x" * 200)
    assert [change.reason for change in changes(effects)] == [
        "refused by the server: full (judged as close code 1013)"
    ]


@kinds
def test_a_post_that_is_refused_ends_the_session_and_keeps_the_message(kind: Kind) -> None:
    chat = let_in(kind)
    chat.submit("m1")
    effects = chat.answer("post", 400, b'{"type":"refused","reason":"unknown session"}')
    assert [change.reason for change in changes(effects)] == [
        "refused by the server: unknown session (judged as close code 1013)"
    ]
    assert not chat.open
    assert chat.machine.unsettled == 1
    assert posted_ids(chat.submit("m2")) == []


@kinds
@pytest.mark.parametrize("end", ["status", "reset", "timeout", "csrf"])
def test_a_reply_that_fails_ends_the_session(kind: Kind, end: str) -> None:
    chat = greeting(kind)
    if kind is sse:
        chat.stream(WELCOME)
    if end != "csrf":
        chat.answer("csrf")
    match end:
        case "status":
            effects = chat.answer("post", 500, b"no")
        case "reset":
            effects = chat.fail("post", Failure("reset", reason="gone"))
        case "csrf":
            effects = chat.answer("csrf", 503, b"no")
        case _:
            due = chat.machine._poster.deadline
            while chat.machine._receiver.deadline < due:
                chat.tick(chat.machine._receiver.deadline)
            effects = chat.tick(due)
    assert RECONNECTING in statuses(effects)
    assert not chat.open


def test_a_reply_without_a_usable_token_gets_a_new_one() -> None:
    chat = greeting(sse)
    chat.stream(WELCOME)
    chat.answer("csrf")
    assert fetched(chat.answer("post", 403)) == ["csrf"]
    reply(chat)
    assert chat.machine.status is CONNECTED


def test_an_unexpected_answer_to_a_reply_ends_the_session() -> None:
    chat = greeting(sse)
    chat.stream(WELCOME)
    chat.answer("csrf")
    (change,) = changes(chat.fail("post", Failure("answer", 200, "HTML")))
    assert change.status is RECONNECTING


def test_replies_go_before_messages_and_one_by_one() -> None:
    chat = let_in(sse)
    chat.submit("m1")
    chat.stream(WELCOME + WELCOME)
    assert chat.purposes().count("post") == 1
    chat.submit("m2")
    assert posted_ids(chat.accept()) == []
    assert chat.request("post").path == "/typing"
    assert posted_ids(chat.answer("post", 204)) == []
    assert posted_ids(chat.answer("post", 204)) == ["m2"]


def test_a_reply_during_a_messages_wait_leaves_the_wait() -> None:
    chat = let_in(sse)
    chat.submit("m1")
    chat.answer("post", 503)
    due = chat.machine._poster.deadline
    chat.stream(WELCOME)
    assert chat.request("post").path == "/typing"
    assert posted_ids(chat.answer("post", 204)) == []
    assert chat.machine._poster.deadline == due
    assert posted_ids(chat.tick(due)) == ["m1"]


@polls
def test_a_stated_heartbeat_bounds_the_wait_for_an_answer(kind: Kind) -> None:
    chat = let_in(kind)
    chat.tick()
    asked = chat.now
    assert chat.machine.deadline == asked + 25.0
    effects = chat.tick()
    assert [change.reason for change in changes(effects)] == ["timeout: no answer within 25 s"]


@polls
def test_a_stated_heartbeat_is_that_of_one_session(kind: Kind) -> None:
    chat = let_in(kind, connect_timeout=100.0)
    chat.tick()
    chat.fail("poll")
    chat.tick(chat.machine._receiver.deadline)
    receiver = chat.machine._receiver
    assert receiver.deadline == chat.now + receiver.response_timeout != chat.now + 25.0


def test_a_stated_heartbeat_bounds_the_silence_of_a_stream() -> None:
    chat = greeting(sse)
    stated = '{"type":"welcome","heartbeat_interval":20,"heartbeat_timeout":5}'
    chat.stream(f"event: welcome\ndata: {stated}\n\n")
    reply(chat)
    assert chat.machine.deadline == 25.0
    chat.stream(":\n", at=3.0)
    assert chat.machine.deadline == 28.0
    assert [change.reason for change in changes(chat.tick())] == ["timeout: nothing received for 25 s"]


def test_a_stale_answer_of_a_lost_session_is_ignored() -> None:
    chat = let_in(sse)
    chat.submit("m1")
    link = chat.link("post")
    chat.fail("stream")
    assert chat.do(Answered(link, Answer(202))) == []


def test_a_dialect_without_state_has_one_object_for_all_sessions() -> None:
    chat = sse(dialect=TextDialect())
    before = chat.machine._session.http
    chat.connect()
    assert chat.machine._session.http is before


def test_a_reply_that_cannot_be_made_raises() -> None:
    class Silent(GreetingDialect):
        @property
        def http(self) -> GreetingHttp:
            return SilentHttp()

    class SilentHttp(GreetingHttp):
        def for_connection(self) -> GreetingHttp:
            return SilentHttp()

        def post_reply(self, *args: Any) -> Any:
            raise ZeroDivisionError

    chat = sse(dialect=Silent())
    chat.connect()
    chat.opened()
    chat.stream(WELCOME)
    with pytest.raises(ZeroDivisionError):
        chat.answer("csrf")


def test_fetches_of_replies_are_posts() -> None:
    chat = greeting(long_polling)
    chat.answer("csrf")
    (fetch,) = [each for each in chat.open.values() if isinstance(each, Fetch)]
    assert (fetch.purpose, fetch.request.body) == ("post", "{}")
