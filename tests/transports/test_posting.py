"""Sending by POST: one at a time, in order, each to its end (SPEC §1, §3; HOSTILE A48-A53)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chatlab.dialects.base import Answer
from chatlab.messages import ChatEvent, OutgoingMessage
from chatlab.settings import OutboxConfig
from chatlab.transports.machine import (
    Answered,
    Close,
    Deliver,
    Failure,
    Fetch,
    Opened,
    Settle,
    Submit,
    Typing,
)
from chatlab.transports.posting import failure_of
from tests.transports.http_chat import (
    ACKED,
    CONNECTED,
    ERROR,
    EXPIRED,
    FAILED,
    SENT,
    Chat,
    changes,
    connected,
    delivered,
    event,
    fetched,
    posted_ids,
    settled,
    shown_ids,
    sse,
)


def posting(**settings: Any) -> Chat:
    """A chat with an open stream, which has its token."""
    return connected(sse(**settings)).held()


def test_the_token_is_fetched_before_the_first_post_and_kept() -> None:
    chat = connected(sse())
    (settle, fetch) = chat.submit("a")
    assert settle == Settle("a", SENT)
    assert isinstance(fetch, Fetch)
    assert (fetch.purpose, fetch.request.path) == ("csrf", "/csrf")
    (post,) = chat.answer("csrf")
    assert isinstance(post, Fetch)
    assert (post.purpose, post.request.method, post.request.path) == ("post", "POST", "/messages")
    assert json.loads(post.request.body) == {"type": "message", "text": "hi", "client_id": "a"}
    assert post.request.query == {"room": "lobby", "sender": "ada"}
    assert chat.answer("post", 201) == [Settle("a", ACKED)]
    assert fetched(chat.submit("b")) == ["post"]


def test_a_server_without_tokens_wants_none() -> None:
    chat = connected(sse())
    chat.submit("a")
    assert fetched(chat.answer("csrf", 404)) == ["post"]


@pytest.mark.parametrize("status", [200, 201, 202, 204, 409])
def test_A50_an_accepted_message_is_acked_and_one_that_is_there_already_too(status: int) -> None:
    chat = posting()
    chat.submit("a")
    assert chat.answer("post", status) == [Settle("a", ACKED)]


def test_one_post_at_a_time_so_order_holds() -> None:
    chat = posting()
    assert posted_ids(chat.submit("a", "b", "c")) == ["a"]
    assert chat.purposes().count("post") == 1
    for done, following in (("a", ["b"]), ("b", ["c"]), ("c", [])):
        effects = chat.answer("post", 201)
        assert settled(effects)[0] == (done, ACKED)
        assert posted_ids(effects) == following


def test_bytes_go_as_base64() -> None:
    chat = posting()
    chat.do(Submit(OutgoingMessage(data=b"\0\xff", client_id="a")))
    assert json.loads(chat.request("post").body)["data"] == "AP8="


@pytest.mark.parametrize("status", [400, 404, 413, 415, 422])
def test_A51_a_refusal_fails_that_message_only(status: int) -> None:
    chat = posting()
    chat.submit("a", "b")
    effects = chat.answer("post", status, {"error": "too\nlarge"})
    assert effects[0] == Settle("a", FAILED, "too\\nlarge", status)
    assert posted_ids(effects) == ["b"]
    assert chat.machine.status is CONNECTED


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_A49_a_redirect_that_the_driver_did_not_follow_fails_the_message(status: int) -> None:
    chat = posting()
    chat.submit("a")
    assert settled(chat.answer("post", status)) == [("a", FAILED)]


def test_A48_a_stale_token_is_fetched_again_once_and_the_same_message_goes_again() -> None:
    chat = posting()
    chat.submit("a", "b")
    assert fetched(chat.answer("post", 403)) == ["csrf"]
    assert posted_ids(chat.answer("csrf")) == ["a"]
    effects = chat.answer("post", 403)
    assert settled(effects)[0] == ("a", FAILED)
    assert posted_ids(effects) == ["b"]
    assert fetched(chat.answer("post", 403)) == ["csrf"], "the next message has its own chance"


def test_A48_where_no_token_is_to_be_had_each_message_fails() -> None:
    chat = connected(sse())
    chat.submit("a")
    assert fetched(chat.answer("csrf", 403)) == ["csrf"]
    assert settled(chat.answer("csrf", 403)) == [("a", FAILED)]
    chat.submit("b")
    assert chat.answer("csrf", 400)[0] == Settle("b", FAILED, "", 400)


def test_a_token_that_cannot_be_fetched_now_is_fetched_later() -> None:
    chat = connected(sse())
    chat.submit("a")
    assert chat.answer("csrf", 503) == []
    assert fetched(chat.tick()) == ["csrf"]
    chat.fail("csrf")
    assert fetched(chat.tick()) == ["csrf"]
    assert posted_ids(chat.answer("csrf")) == ["a"]


def test_401_asks_for_new_headers_once_a_message() -> None:
    chat = posting(headers=lambda failure: {})
    chat.submit("a", "b")
    (post,) = chat.answer("post", 401, b"expired")
    assert isinstance(post, Fetch)
    assert post.failure == Failure("http", 401, "expired")
    assert posted_ids([post]) == ["a"]
    effects = chat.answer("post", 401)
    assert settled(effects)[0] == ("a", FAILED)
    (again,) = chat.answer("post", 401)
    assert posted_ids([again]) == ["b"]
    chat = posting()
    chat.submit("a")
    assert settled(chat.answer("post", 401)) == [("a", FAILED)], "fixed headers"


def test_401_for_the_token_asks_for_new_headers_too() -> None:
    chat = connected(sse(headers=lambda failure: {}))
    chat.submit("a")
    (again,) = chat.answer("csrf", 401)
    assert isinstance(again, Fetch)
    assert (again.purpose, again.failure) == ("csrf", Failure("http", 401))


@pytest.mark.parametrize("status", [429, 503])
def test_A52_retry_after_pauses_the_queue_and_nothing_overtakes(status: int) -> None:
    chat = posting()
    chat.submit("a")
    assert chat.answer("post", status, at=10.0, retry_after="20") == []
    assert posted_ids(chat.submit("b", "c")) == []
    chat.stream(":\n", at=29.0)
    assert chat.tick(29.9) == []
    assert chat.machine.deadline == 30.0
    assert posted_ids(chat.tick()) == ["a"]
    assert posted_ids(chat.answer("post", 201)) == ["b"]


def test_retries_are_backed_off_from_and_end_in_failure() -> None:
    chat = posting(reconnect={"max_attempts": 3, "base_delay": 1.0, "stable_after": 0.0})
    chat.submit("a", "b")
    delays = []
    while not settled(effects := chat.answer("post", 503, b"busy")):
        delays.append(chat.machine.deadline - chat.now)
        assert len(delays) < 10
        chat.tick()
    assert delays == [1, 2, 4]
    assert effects[0] == Settle("a", FAILED, "busy", 503)
    assert posted_ids(effects) == ["b"]
    chat.answer("post", 503)
    assert chat.machine.deadline - chat.now == 1, "the next message begins anew"


def test_A50_without_an_answer_the_same_id_goes_again_however_often() -> None:
    chat = posting(reconnect={"max_attempts": 1, "base_delay": 1.0}, idle_timeout=1e6)
    chat.submit("a", "b")
    for _ in range(5):
        (close,) = chat.tick()
        assert isinstance(close, Close)
        assert (close.code, close.reason) == (1006, "no answer")
        assert posted_ids(chat.tick()) == ["a"]
        chat.fail("post")
        assert posted_ids(chat.tick()) == ["a"]
    assert posted_ids(chat.answer("post", 200)) == ["b"]


def test_an_unanswered_post_is_given_up_after_request_timeout() -> None:
    chat = posting(request_timeout=4.0)
    chat.submit("a")
    assert chat.machine.deadline == 4.0
    assert chat.tick(3.9) == []
    assert len(chat.tick()) == 1
    assert chat.machine.deadline == 7.0, "and the wait is SSE's first delay"


def test_a_failure_that_lasts_fails_the_message_though_there_was_no_answer() -> None:
    chat = posting()
    chat.submit("a", "b")
    effects = chat.fail("post", Failure("tls", reason="expired"))
    assert effects[0] == Settle("a", FAILED, "tls: expired")
    assert posted_ids(effects) == ["b"]


def test_A53_the_echo_may_come_before_the_answer() -> None:
    chat = posting()
    chat.submit("a", "b")
    effects = chat.stream(event("e-1", sender="ada", client_id="a"))
    assert (settled(effects), shown_ids(effects)) == ([("a", ACKED)], ["e-1"])
    effects = chat.answer("post", 201)
    assert (settled(effects), posted_ids(effects)) == ([("b", SENT)], ["b"])


def test_A53_an_echo_ends_the_wait_of_an_unanswered_post() -> None:
    chat = posting()
    chat.submit("a", "b")
    chat.fail("post")
    assert settled(chat.stream(event("e-1", sender="ada", client_id="a"))) == [("a", ACKED)]
    assert posted_ids(chat.tick()) == ["b"]


def test_what_waits_for_a_retry_may_expire() -> None:
    chat = posting(outbox=OutboxConfig(max_age=5.0))
    chat.submit("a")
    chat.answer("post", 503, retry_after="60")
    chat.now = 1.0
    chat.submit("b")
    assert settled(chat.tick()) == [("a", EXPIRED)]
    assert settled(chat.tick()) == [("b", EXPIRED)]


def test_a_wait_for_the_server_ends_when_the_receiver_is_connected_again() -> None:
    chat = posting(reconnect={"base_delay": 1.0})
    chat.submit("a")
    for _ in range(3):
        chat.fail("post")
        chat.tick()
    chat.fail("post")
    assert chat.machine.deadline == chat.now + 8
    chat.fail("stream")
    chat.tick()
    assert posted_ids(chat.opened()) == ["a"]


def test_a_server_that_asked_for_patience_gets_it_all_the_same() -> None:
    chat = posting(reconnect={"base_delay": 1.0})
    chat.submit("a")
    chat.answer("post", 429, retry_after="60")
    chat.fail("stream")
    chat.tick()
    assert posted_ids(chat.opened()) == []
    chat.stream(":\n", at=59.0)
    assert posted_ids(chat.tick()) == ["a"]
    assert chat.now == 60.0


def test_a_post_under_way_is_not_doubled_by_a_reconnected_receiver() -> None:
    chat = posting(reconnect={"base_delay": 1.0})
    chat.submit("a")
    chat.fail("post")
    chat.tick()
    chat.fail("stream")
    chat.tick()
    chat.opened()
    assert chat.purposes().count("post") == 1
    post = chat.link("post")
    assert chat.tick() == [Close(post, 1006, "no answer")], "and is waited for no longer than any other"


def test_round_trip_time() -> None:
    chat = connected(sse())
    assert chat.machine.rtt is None
    chat.now = 1.0
    chat.submit("a")
    chat.answer("csrf", at=2.0)
    assert chat.machine.rtt is None, "a token is no message"
    chat.answer("post", 201, at=2.25)
    assert chat.machine.rtt == 0.25


def test_posting_stops_with_the_transport_and_begins_anew() -> None:
    chat = posting(headers=lambda failure: {})
    chat.submit("a", "b")
    chat.answer("post", 401)
    link = chat.link("post")
    effects = chat.fail("stream", Failure("tls"))
    assert Close(link, 1006, "abandoned") in effects
    assert chat.machine.status is ERROR
    assert posted_ids(chat.connect()) == ["a"]
    assert posted_ids(chat.answer("post", 401)) == ["a"], "new headers may be asked for once more"


def test_the_same_id_can_be_used_again_once_it_is_settled() -> None:
    chat = posting(headers=lambda failure: {})
    for _ in range(2):
        chat.submit("a")
        assert posted_ids(chat.answer("post", 401)) == ["a"]
        chat.answer("post", 201)


def test_news_of_a_post_that_is_no_end_of_it_does_nothing() -> None:
    chat = posting()
    chat.submit("a")
    assert chat.do(Opened(chat.link("post"))) == []
    assert chat.purposes().count("post") == 1


# Typing


def typing(chat: Chat, at: float = 0.0) -> list[str]:
    effects = chat.do(Typing(), at)
    return [effect.request.path if isinstance(effect, Fetch) else type(effect).__name__ for effect in effects]


def test_typing_is_told_beside_the_posts_when_a_token_is_at_hand() -> None:
    assert typing(connected(sse())) == []
    assert typing(sse()) == []
    chat = posting()
    assert typing(chat) == ["/typing"]
    assert posted_ids(chat.submit("a")) == ["a"]


def test_typing_is_not_told_again_before_the_first_notice_has_arrived() -> None:
    chat = posting()
    typing(chat)
    link = chat.link("post")
    assert typing(chat, 1.0) == []
    assert chat.do(Opened(link)) == []
    assert typing(chat, 1.0) == []
    assert chat.do(Answered(link, Answer(204)), 1.0) == []
    assert typing(chat, 1.0) == ["/typing"]
    chat.fail("post")
    assert typing(chat, 1.0) == ["/typing"]
    assert typing(chat, 11.0) == ["Close", "/typing"], "lost"


def test_typing_ends_with_the_transport() -> None:
    chat = posting()
    typing(chat)
    chat.disconnect()
    assert chat.purposes() == []


# What an answer means


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", ""),
        (b"  busy\n", "busy"),
        (b'{"error":"slow down"}', "slow down"),
        (b'{"error":7}', '{"error":7}'),
        (b"\xff\0", "\\xff\\x00"),
        (b"[" * 5000, "[" * 80 + "…"),
        (b'{"error":"' + b"x" * 500 + b'"}', "x" * 80 + "…"),
    ],
)
def test_A75_a_refusals_words_are_bounded_and_printable(body: bytes, reason: str) -> None:
    assert failure_of(Answer(400, body)) == Failure("http", 400, reason)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("20", 20.0),
        ("1.5", 1.5),
        ("", None),
        ("-5", None),
        ("soon", None),
        (".", None),
        ("²", None),
        ("1_0", None),
        ("nan", None),
        ("inf", None),
        ("9" * 400, float("inf")),
    ],
)
def test_A20_retry_after_that_makes_no_sense_is_ignored(value: str, seconds: float | None) -> None:
    assert failure_of(Answer(503, headers={"retry-after": value})).retry_after == seconds


def test_A20_a_retry_after_without_end_is_capped() -> None:
    chat = posting()
    chat.submit("a")
    chat.answer("post", 503, retry_after="9" * 400)
    chat.stream(":\n", at=590.0)
    assert posted_ids(chat.tick()) == ["a"]
    assert chat.now == 600.0


def test_other_events_come_meanwhile() -> None:
    chat = posting()
    chat.submit("a")
    (effect,) = chat.stream('data: {"type":"typing","sender":"bob"}\n\n')
    assert effect == Deliver(ChatEvent("typing", sender="bob", payload={"sender": "bob"}))
    assert [told.type for told in delivered([effect])] == ["typing"]
    assert changes([effect]) == []
