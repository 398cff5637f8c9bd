"""Requests over HTTP, without I/O (SPEC §8)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from chatlab.dialects.base import Answer
from chatlab.hub import Bucket, Hub, HubConfig, LogError, MemoryLog, News, requests
from chatlab.hub.requests import UNREADABLE, Join, Poll, Refusal
from chatlab.messages import OutgoingMessage

ROOM = {"room": "lobby"}
ADA = {**ROOM, "sender": "ada"}


def hub_of(*texts: str, **limits: Any) -> Hub:
    config = HubConfig(**limits)
    hub = Hub(config, MemoryLog("e", config), utc=lambda: datetime(2026, 11, 23, tzinfo=UTC))
    for text in texts:
        hub.publish("lobby", "bob", OutgoingMessage(text))
    return hub


def texts(answer: Answer | None) -> list[str]:
    assert answer is not None
    return [message["text"] for message in msgspec.json.decode(answer.body)]


class Broken(MemoryLog):
    """A log that can't be read."""

    def latest(self, *args: Any, **options: Any) -> Any:
        raise LogError("the disk")

    after = latest


def broken() -> Hub:
    config = HubConfig()
    return Hub(config, Broken("e", config), utc=lambda: datetime(2026, 11, 23, tzinfo=UTC))


# Parameters


@pytest.mark.parametrize(
    ("name", "value"),
    [("history", "-1"), ("history", "1.5"), ("history", "²"), ("limit", "0"), ("limit", "1" * 10)],
)
def test_a_malformed_count_is_refused(name: str, value: str) -> None:
    with pytest.raises(Refusal, match=f"{name} must be a whole number from [01] to 999999999") as refused:
        requests.read(hub_of(), {**ROOM, name: value})
    assert refused.value.status == 400


@pytest.mark.parametrize("value", ["", "-1", "inf", "1e999", "0x1", "1_0", "٣"])
def test_malformed_seconds_are_refused(value: str) -> None:
    with pytest.raises(Refusal, match="hold must be a number of seconds"):
        requests.poll(hub_of(), {**ROOM, "hold": value}, 25.0)


def test_a_refusal_is_an_answer() -> None:
    answer = Refusal(503, "later", 2).answer
    assert (answer.status, answer.headers) == (503, {"retry-after": "2"})
    assert msgspec.json.decode(answer.body) == {"error": "later"}
    assert Refusal(400, "no").answer.headers == {}


@pytest.mark.parametrize("query", [{}, {"room": ""}, {"room": "a\nb"}])
def test_an_invalid_room_is_refused(query: dict[str, str]) -> None:
    for ask in (requests.read, requests.join):
        with pytest.raises(Refusal, match="the room must have 1 to 200 printable characters"):
            ask(hub_of(), query)
    with pytest.raises(Refusal, match="the sender must have"):
        requests.join(hub_of(), ROOM)


# Reading


def test_a_stream_begins_behind_the_last_event_or_the_cursor() -> None:
    hub = hub_of()
    assert requests.join(hub, ADA) == Join("lobby", "ada", None, None)
    query = {**ADA, "after": "e-1", "history": "7"}
    assert requests.join(hub, query) == Join("lobby", "ada", "e-1", 7)
    assert requests.join(hub, query, "e-2").after == "e-2"


def test_a_read_is_answered_at_once() -> None:
    hub = hub_of("one", "two")
    assert texts(requests.read(hub, ROOM).answer(hub)) == ["one", "two"]
    assert texts(requests.read(hub, {**ROOM, "history": "1"}).answer(hub)) == ["two"]
    answer = requests.read(hub, {**ROOM, "after": "e-0", "limit": "1"}).answer(hub)
    assert answer is not None
    assert answer.headers == {"chat-cursor": "e-1", "chat-more": "1"}
    assert texts(requests.read(hub, {**ROOM, "after": "e-2"}).answer(hub)) == []


@pytest.mark.parametrize(
    ("query", "held"),
    [
        ({}, 25.0),  # The original document's client, which wants only what is new.
        ({"after": "e-1"}, 25.0),
        ({"after": "e-1", "hold": "7.5"}, 7.5),
        ({"after": "e-1", "hold": "1e3"}, 25.0),
        ({"history": "0"}, 0.0),
        ({"hold": "7"}, 0.0),
    ],
)
def test_a_poll_with_a_cursor_is_held(query: dict[str, str], held: float) -> None:
    hub = hub_of("one")
    poll = requests.poll(hub, {**ROOM, **query}, 25.0)
    assert poll.hold == held
    assert (poll.answer(hub, at_once=False) is None) == (held > 0 or query == {"history": "0"})


def test_a_held_poll_is_answered_as_soon_as_there_is_something_new() -> None:
    hub = hub_of("one")
    poll = requests.poll(hub, {**ROOM, "after": "e-1"}, 25.0)
    assert texts(poll.answer(hub)) == []
    hub.publish("lobby", "bob", OutgoingMessage("two"))
    assert texts(poll.answer(hub, at_once=False)) == ["two"]


def test_an_unknown_cursor_is_answered_at_once() -> None:
    hub = hub_of("one")
    answer = requests.poll(hub, {**ROOM, "after": "x-9"}, 25.0).answer(hub, at_once=False)
    assert answer is not None
    assert (answer.status, answer.headers["chat-cursor"]) == (410, "e-0")


def test_a_history_that_cannot_be_read_is_refused_for_a_while() -> None:
    hub = broken()
    for ask in (
        lambda: requests.poll(hub, ROOM, 25.0),
        lambda: Poll("lobby", "e-1", None, None).answer(hub),
    ):
        with pytest.raises(Refusal, match=UNREADABLE) as refused:
            ask()
        assert (refused.value.status, refused.value.retry_after) == (503, 2)


# Posting


def test_a_poster_needs_a_token_names_and_patience() -> None:
    hub = hub_of(rate=0.5, burst=1)

    def poster(query: dict[str, str], *, has_token: bool = True) -> tuple[str, str]:
        return requests.admit_poster(hub, query, has_token=has_token, bucket=bucket, address=None, now=0.0)

    bucket = Bucket()
    with pytest.raises(Refusal, match="send the token") as refused:
        poster(ADA, has_token=False)
    assert refused.value.status == 403
    with pytest.raises(Refusal, match="the sender"):
        poster(ROOM)
    assert poster(ADA) == ("lobby", "ada")
    with pytest.raises(Refusal, match="too fast") as refused:
        poster(ADA)
    assert (refused.value.status, refused.value.retry_after) == (429, 2)


def test_a_post_is_answered_and_passed_on() -> None:
    hub = hub_of()
    hub.join(1, "lobby", "bob")
    body = b'{"text":"hi","client_id":"c"}'
    answer, outputs = requests.post(hub, "lobby", "ada", body)
    assert (answer.status, msgspec.json.decode(answer.body)["id"]) == (201, "e-1")
    assert News("lobby") in outputs
    answer, outputs = requests.post(hub, "lobby", "ada", body)
    assert (answer.status, list(outputs)) == (200, [])


@pytest.mark.parametrize("body", [b"{", b'{"text":"other","client_id":"c"}'])
def test_a_post_that_is_no_message_or_reuses_an_id_is_refused(body: bytes) -> None:
    hub = hub_of()
    requests.post(hub, "lobby", "ada", b'{"text":"hi","client_id":"c"}')
    answer, outputs = requests.post(hub, "lobby", "ada", body)
    assert (answer.status, outputs) == (422, ())
