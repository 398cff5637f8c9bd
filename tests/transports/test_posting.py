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
from chatlab.transports.posting import failure_of, unexpected
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
    """Return a chat with an open stream and a CSRF token."""
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
    assert chat.accept() == [Settle("a", ACKED)]
    assert fetched(chat.submit("b")) == ["post"]


def test_a_server_without_tokens_wants_none() -> None:
    chat = connected(sse())
    chat.submit("a")
    assert fetched(chat.answer("csrf", 404)) == ["post"]


@pytest.mark.parametrize("status", [200, 201, 202, 409])
def test_A50_an_accepted_message_is_acked_and_one_that_is_there_already_too(status: int) -> None:
    chat = posting()
    chat.submit("a")
    assert chat.accept(status) == [Settle("a", ACKED)]


PAGE = b"<!doctype html><TITLE lang=en>Hotel &amp;\n Wi-Fi</TITLE>Please log in"
NO_ACKS: dict[str, Answer] = {
    "a page": Answer(200, PAGE, {"content-type": "text/html; charset=utf-8"}),
    "a page of another status": Answer(201, PAGE, {"content-type": "text/html"}),
    "nothing": Answer(200),
    "204": Answer(204),
    "202": Answer(202),
    "a redirect": Answer(302, b"moved", {"content-type": "text/plain"}),
    "a redirect that keeps the method": Answer(307),
    "a redirect to a page that has gone": Answer(404, b"no such path", redirected=True),
    "not modified": Answer(304),
    "an interim answer": Answer(102),
    "an ack for another": Answer(201, b'{"type":"ack","client_id":"b","id":"1"}'),
    "an ack for a number": Answer(201, b'{"type":"ack","client_id":7,"id":"1"}'),
    "an ack for nobody": Answer(201, b'{"type":"ack"}'),
    "a nack": Answer(200, b'{"type":"nack","client_id":"a","status":422,"reason":"no"}'),
    "no type": Answer(201, b'{"client_id":"a","id":"1"}'),
    "a list": Answer(200, b'[{"type":"ack","client_id":"a","id":"1"}]'),
    "an object": Answer(200, b"{}", {"content-type": "application/json"}),
    "half an ack": Answer(201, b'{"type":"ack","client_id":"a"'),
    "null": Answer(200, b"null"),
    "brackets": Answer(200, b"[" * 100_000),
    "gzip that nobody asked for": Answer(200, b"\x1f\x8b\x08\x00"),
}


@pytest.mark.parametrize("answer", NO_ACKS.values(), ids=NO_ACKS)
def test_A90_an_answer_that_says_nothing_of_the_message_is_no_ack(answer: Answer) -> None:
    """Check that it is resent with the same id, none overtakes it, and it finally fails with the reason."""
    chat = posting(reconnect={"max_attempts": 3, "base_delay": 1.0})
    chat.submit("a", "b")
    for delay in (1, 2, 4):
        assert chat.do(Answered(chat.link("post"), answer)) == []
        assert chat.machine.deadline - chat.now == delay
        chat.stream(":\n", at=chat.machine.deadline)
        assert posted_ids(chat.tick()) == ["a"]
    failed, *others = chat.do(Answered(chat.link("post"), answer))
    assert isinstance(failed, Settle)
    assert (failed.client_id, failed.state, failed.status) == ("a", FAILED, answer.status)
    assert failed.reason.startswith(f"unexpected answer (HTTP {answer.status}")
    assert failed.reason.isprintable()
    assert len(failed.reason) < 250
    assert posted_ids(others) == ["b"]


@pytest.mark.parametrize("answer", NO_ACKS.values(), ids=NO_ACKS)
def test_A90_and_the_message_is_acked_once_the_server_itself_answers(answer: Answer) -> None:
    chat = posting()
    chat.submit("a")
    chat.do(Answered(chat.link("post"), answer))
    assert posted_ids(chat.tick()) == ["a"]
    assert chat.accept() == [Settle("a", ACKED)]


def test_A90_an_ack_that_came_another_way_ends_the_wait() -> None:
    chat = posting()
    chat.submit("a", "b")
    chat.answer("post", 200, PAGE)
    assert settled(chat.stream(event("e-1", sender="ada", client_id="a", text="hi"))) == [("a", ACKED)]
    assert posted_ids(chat.tick()) == ["b"]


def test_A90_what_a_portal_answers_to_the_request_for_a_token_is_none() -> None:
    chat = connected(sse(reconnect={"max_attempts": 2}))
    chat.submit("a")
    for _ in range(2):
        assert chat.fail("csrf", Failure("answer", 200, "the server's answer holds no CSRF token")) == []
        assert fetched(chat.tick()) == ["csrf"]
    failed, *_ = chat.answer("csrf", 302)
    assert failed == Settle("a", FAILED, "unexpected answer (HTTP 302)", 302)


def test_A90_the_wait_for_a_portal_ends_when_the_server_is_reached_again() -> None:
    chat = posting(reconnect={"base_delay": 1.0})
    chat.submit("a")
    for _ in range(3):
        chat.answer("post", 200, PAGE)
        chat.tick()
    chat.answer("post", 200, PAGE)
    assert chat.machine.deadline == chat.now + 8
    chat.fail("stream")
    chat.tick()
    assert posted_ids(chat.opened()) == ["a"]


def test_A90_settings_may_make_it_final() -> None:
    chat = posting(failures={"answer 302": "give up"})
    chat.submit("a")
    assert chat.answer("post", 200, PAGE) == []
    chat.tick()
    assert settled(chat.answer("post", 302)) == [("a", FAILED)]


@pytest.mark.parametrize(
    ("body", "kind", "reason"),
    [
        (PAGE, "text/html", "text/html: Hotel & Wi-Fi"),
        (PAGE, "", "Hotel & Wi-Fi"),
        (b"", "application/json", "application/json"),
        (b"{}", "Application/JSON; x=y", "application/json: {}"),
        (b"<title>\x1b[31m\xe2\x80\xae" + b"x" * 500 + b"</title>", "", r"\x1b[31m\u202e" + "x" * 74 + "…"),
        (b"<title>never ends", "text/html", "text/html: never ends"),
        (b"<title never ends</title>", "text/html", "text/html: <title never ends</title>"),
        (b"no tag</title>", "text/html", "text/html: no tag</title>"),
        (b"<title" * 20_000, "", ("<title" * 14)[:80] + "…"),
        (b"\xff\0", "x\0" * 100, r"x\x00" * 40 + r"…: \xff\x00"),
    ],
    ids=[
        "page",
        "page of no type",
        "nothing",
        "json",
        "hostile",
        "cut",
        "no tag",
        "no start",
        "many",
        "junk",
    ],
)
def test_A90_an_unexpected_answer_is_quoted_short_and_printable(body: bytes, kind: str, reason: str) -> None:
    failure = unexpected(Answer(200, body, {"content-type": kind} if kind else {}))
    assert (failure.kind, failure.code) == ("answer", 200)
    assert failure.reason == reason
    assert failure_of(Answer(200, body, {"content-type": kind} if kind else {})) == failure


def test_one_post_at_a_time_so_order_holds() -> None:
    chat = posting()
    assert posted_ids(chat.submit("a", "b", "c")) == ["a"]
    assert chat.purposes().count("post") == 1
    for done, following in (("a", ["b"]), ("b", ["c"]), ("c", [])):
        effects = chat.accept()
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
def test_A49_a_redirect_that_the_driver_did_not_follow_may_pass(status: int) -> None:
    chat = posting(reconnect={"max_attempts": 1})
    chat.submit("a")
    assert chat.answer("post", status) == []
    assert posted_ids(chat.tick()) == ["a"]
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


def test_a_token_may_be_stale_again_after_the_receiver_lost_the_server() -> None:
    """A server that restarts twice refuses the token that it gave in between."""
    for reconnected in (False, True):
        chat = posting()
        chat.submit("a")
        assert fetched(chat.answer("post", 403)) == ["csrf"]
        assert posted_ids(chat.answer("csrf")) == ["a"]
        chat.fail("stream")
        if reconnected:
            chat.tick()
            chat.opened()
        assert "csrf" in fetched(chat.answer("post", 403)), reconnected


def test_A48_without_a_token_each_message_fails() -> None:
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
    assert posted_ids(chat.accept()) == ["b"]


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
    assert posted_ids(chat.accept()) == ["b"]


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
    effects = chat.accept()
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


def test_a_servers_retry_after_is_kept_when_the_receiver_is_connected_again() -> None:
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
    chat.accept(at=2.25)
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
        chat.accept()


def test_news_of_a_post_that_is_no_end_of_it_does_nothing() -> None:
    chat = posting()
    chat.submit("a")
    assert chat.do(Opened(chat.link("post"))) == []
    assert chat.purposes().count("post") == 1


# Typing


def typing(chat: Chat, at: float = 0.0) -> list[str]:
    effects = chat.do(Typing(), at)
    return [effect.request.path if isinstance(effect, Fetch) else type(effect).__name__ for effect in effects]


def test_typing_is_posted_beside_messages_once_a_token_is_held() -> None:
    assert typing(connected(sse())) == []
    assert typing(sse()) == []
    chat = posting()
    assert typing(chat) == ["/typing"]
    assert posted_ids(chat.submit("a")) == ["a"]


def test_typing_is_not_posted_again_while_a_notice_is_in_flight() -> None:
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
        (b'{"error":"' + b"x" * 500 + b'"}', "x" * 200 + "…"),
        (b"\r\n<html>\r\n<head><title>502 Bad\n Gateway</title></head>", "502 Bad Gateway"),
        (b"<!doctype html><style>p {}</style><h1>It&#39;s <b>down</b></h1><script>x</script>", "It's down"),
        (b"<html></html>", "<html></html>"),
        (b"<title>Error</title><body><pre>Cannot GET /messages</pre>", "Error Cannot GET /messages"),
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
