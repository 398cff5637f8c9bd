"""All machines over HTTP: every event in every state, disconnecting, and two independent halves (SPEC §1,
§3)."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import inf
from typing import Any, get_args

import pytest

from chatlab.dialects.base import Answer
from chatlab.settings import OutboxConfig
from chatlab.transports.machine import (
    Answered,
    Close,
    Closed,
    Connect,
    Disconnect,
    Event,
    Failure,
    Fetch,
    Opened,
    Pinged,
    Pong,
    Received,
    ReceivedBytes,
    Refuse,
    Settle,
    Submit,
    Tick,
    Typing,
)
from tests.transports.http_chat import (
    ACKED,
    CONNECTED,
    CONNECTING,
    DISCONNECTED,
    DROPPED,
    ERROR,
    EXPIRED,
    RECONNECTING,
    SENT,
    Chat,
    connected,
    event,
    fetched,
    long_polling,
    message,
    posted_ids,
    settled,
    short_polling,
    shown_ids,
    sse,
    status,
    statuses,
)

GOODBYE = status(DISCONNECTED, "asked to disconnect")
KINDS: dict[str, Callable[..., Chat]] = {
    "sse": sse,
    "short polling": short_polling,
    "long polling": long_polling,
}
kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def receiver_link(chat: Chat) -> int:
    """Return the link of the stream or the poll in flight, or 0."""
    links = [
        link
        for link, effect in chat.open.items()
        if isinstance(effect, Fetch) and effect.purpose in ("stream", "poll")
    ]
    return links[0] if links else 0


def refuse(chat: Chat, status: int = 503, **headers: str) -> list[Any]:
    """Refuse the stream or the poll in flight."""
    return chat.do(Answered(receiver_link(chat), Answer(status, headers=headers)))


# The states. `idle` and so on are `state`; the rest is what makes a difference to disconnecting.


def idle(kind: Callable[..., Chat], **settings: Any) -> Chat:
    return kind(**settings)


def failed(kind: Callable[..., Chat], **settings: Any) -> Chat:
    chat = dialing(kind, **settings)
    refuse(chat, 404)
    return chat


def dialing(kind: Callable[..., Chat], **settings: Any) -> Chat:
    chat = kind(**settings)
    chat.connect()
    return chat


def settled_down(kind: Callable[..., Chat], **settings: Any) -> Chat:
    return connected(kind(**settings))


def posting(kind: Callable[..., Chat], **settings: Any) -> Chat:
    chat = connected(kind(**settings))
    chat.submit("m1")
    return chat


def waiting(kind: Callable[..., Chat], **settings: Any) -> Chat:
    chat = dialing(kind, **settings)
    refuse(chat)
    return chat


def waiting_and_posting(kind: Callable[..., Chat], **settings: Any) -> Chat:
    chat = waiting(kind, **settings)
    chat.submit("m1")
    return chat


def draining(kind: Callable[..., Chat], **settings: Any) -> Chat:
    chat = posting(kind, **settings)
    chat.disconnect()
    return chat


STATES = {
    "idle": idle,
    "failed": failed,
    "dialing": dialing,
    "settled down": settled_down,
    "posting": posting,
    "waiting": waiting,
    "waiting and posting": waiting_and_posting,
    "draining": draining,
}
states = pytest.mark.parametrize("state", STATES.values(), ids=STATES)
AT_REST = (idle, failed)


@kinds
def test_statuses(kind: Callable[..., Chat]) -> None:
    assert [build(kind).machine.status for build in STATES.values()] == [
        DISCONNECTED,
        ERROR,
        CONNECTING,
        CONNECTED,
        CONNECTED,
        RECONNECTING,
        RECONNECTING,
        CONNECTED,
    ]


@kinds
def test_states(kind: Callable[..., Chat]) -> None:
    dials, rests = ("connecting", "online") if kind is sse else ("asking", "pausing")
    assert [build(kind).machine.state for build in STATES.values()] == [
        *("idle", "idle", dials, rests, rests, "waiting", "waiting", "draining")
    ]


EVENTS: dict[str, Callable[[int], Event]] = {
    "Received": lambda link: Received(link, json.dumps(message("e-1"))),
    "Pong": lambda link: Pong(link, 1),
    "Pinged": Pinged,
    "Opened": lambda link: Opened(link, "text/event-stream"),
    "ReceivedBytes": lambda link: ReceivedBytes(link, event("e-1").encode()),
    "Answered": lambda link: Answered(link, Answer(200, json.dumps([message("e-1")]).encode())),
    "Closed": lambda link: Closed(link, Failure("reset")),
}


def test_every_kind_of_event_is_tried() -> None:
    whims = {Connect, Disconnect, Submit, Typing, Tick}
    assert {type(make(1)) for make in EVENTS.values()} | whims == set(get_args(Event))


@kinds
@states
@pytest.mark.parametrize("make", EVENTS.values(), ids=EVENTS)
def test_events_of_an_abandoned_link_do_nothing(
    kind: Callable[..., Chat], state: Callable[..., Chat], make: Callable[[int], Event]
) -> None:
    chat = state(kind)
    deadline = chat.machine.deadline
    stale = [link for link in range(chat.latest + 3) if link not in chat.open]
    assert 0 in stale
    for link in stale:
        assert chat.do(make(link)) == []
    assert chat.machine.deadline == deadline


@kinds
@states
def test_frames_are_for_websockets(kind: Callable[..., Chat], state: Callable[..., Chat]) -> None:
    chat = state(kind)
    for link in list(chat.open):
        assert chat.do(Received(link, json.dumps(message("e-1")))) == []
        assert chat.do(Pong(link, 1)) == []
        assert chat.do(Pinged(link)) == []


@kinds
@states
def test_early_ticks_do_nothing(kind: Callable[..., Chat], state: Callable[..., Chat]) -> None:
    chat = state(kind)
    deadline = chat.machine.deadline
    for at in (0.0, min(deadline, 1e6) - 1e-6, -3600.0):  # A32: even where the clock has stepped back
        assert chat.do(Tick(), at) == []
    assert chat.machine.deadline == deadline


@kinds
@states
def test_A67_disconnect_ends_everything_in_every_state(
    kind: Callable[..., Chat], state: Callable[..., Chat]
) -> None:
    chat = state(kind)
    effects = chat.do(Disconnect(drain=False))
    assert effects.count(GOODBYE) == (state not in AT_REST)
    assert (chat.open, chat.machine.deadline) == ({}, inf)
    assert chat.do(Disconnect(drain=False)) == []
    assert chat.disconnect() == []


@kinds
@states
def test_A67_disconnect_in_every_state_takes_no_longer_than_the_drain_timeout(
    kind: Callable[..., Chat], state: Callable[..., Chat]
) -> None:
    chat = state(kind)
    effects = [*chat.disconnect(), *chat.disconnect()]
    assert receiver_link(chat) == 0, "nothing is received any more"
    if chat.machine.state != "idle":
        assert chat.machine.deadline == 0.75
        effects += chat.tick()
    assert effects.count(GOODBYE) == (state not in AT_REST)
    assert (chat.open, chat.machine.state) == ({}, "idle")


@kinds
@states
def test_A68_connect_twice_is_one_connection(kind: Callable[..., Chat], state: Callable[..., Chat]) -> None:
    chat = state(kind)
    chat.connect()
    assert chat.connect() == []
    assert chat.machine.status is not DISCONNECTED


@kinds
@states
def test_A64_A65_messages_are_accepted_in_every_state(
    kind: Callable[..., Chat], state: Callable[..., Chat]
) -> None:
    chat = state(kind, outbox=OutboxConfig(max_size=2))
    before = chat.machine.unsettled
    chat.submit("a", "b")
    assert chat.machine.unsettled == before + 2
    assert chat.submit("b") == [Refuse("b", "duplicate")]
    dropped = [id for id, state in settled(chat.submit("c", "d")) if state is DROPPED]
    assert dropped == (["b"] if state in (dialing, settled_down, waiting) else ["a", "b"])


@kinds
def test_A65_what_the_outbox_has_no_room_for(kind: Callable[..., Chat]) -> None:
    chat = kind(outbox=OutboxConfig(max_size=1, overflow="reject"))
    assert chat.submit("a") == []
    assert chat.submit("b") == [Refuse("b", "full")]


@kinds
@pytest.mark.parametrize("state", [idle, failed])
def test_A64_messages_submitted_while_idle_are_sent_on_connect(
    kind: Callable[..., Chat], state: Callable[..., Chat]
) -> None:
    chat = state(kind)
    assert chat.submit("a", "b") == []
    effects = chat.connect()
    assert fetched(effects)[-1] == "csrf"
    assert posted_ids(chat.answer("csrf")) == ["a"]
    assert posted_ids(chat.accept()) == ["b"]


@kinds
def test_what_waits_too_long_expires_even_at_rest(kind: Callable[..., Chat]) -> None:
    chat = kind(outbox=OutboxConfig(max_age=5.0))
    chat.submit("a")
    assert settled(chat.tick()) == [("a", EXPIRED)]
    assert chat.now == 5.0


# Two halves


@kinds
def test_a_receiver_that_is_down_does_not_stop_posts(kind: Callable[..., Chat]) -> None:
    chat = waiting(kind)
    chat.submit("a", "b")
    assert posted_ids(chat.answer("csrf")) == ["a"]
    assert posted_ids(chat.accept()) == ["b"]
    assert chat.accept() == [Settle("b", ACKED)]
    assert chat.machine.status is RECONNECTING


@kinds
def test_a_post_that_fails_does_not_tear_down_the_receiver(kind: Callable[..., Chat]) -> None:
    chat = settled_down(kind).held()
    receiving, state = receiver_link(chat), chat.machine.state
    chat.submit("a", "b", "c")
    assert (
        statuses([*chat.answer("post", 404), *chat.fail("post", Failure("tls")), *chat.answer("post", 500)])
        == []
    )
    assert (receiver_link(chat), chat.machine.state) == (receiving, state)
    assert chat.machine.status is CONNECTED


@kinds
def test_A66_after_a_break_the_unacked_message_goes_first_with_the_same_id(kind: Callable[..., Chat]) -> None:
    chat = settled_down(kind).held()
    chat.submit("a", "b")
    chat.do(Disconnect(drain=False))
    assert posted_ids(chat.connect()) == ["a"]
    assert posted_ids(chat.accept()) == ["b"]


@kinds
def test_a_connection_that_gives_up_ends_posting(kind: Callable[..., Chat]) -> None:
    chat = waiting_and_posting(kind, reconnect={"max_attempts": 1})
    post = chat.link("csrf")
    chat.tick(4.0)
    effects = refuse(chat)
    assert statuses(effects) == [ERROR]
    assert Close(post, 1006, "abandoned") in effects
    assert (chat.open, chat.machine.unsettled, chat.machine.deadline) == ({}, 1, inf)


@kinds
def test_receiver_and_poster_may_time_out_at_once(kind: Callable[..., Chat]) -> None:
    chat = dialing(
        kind,
        connect_timeout=10.0,
        request_timeout=10.0,
        **({"timeout": 10.0} if kind is long_polling else {}),
    )
    chat.submit("a")
    effects = chat.tick()
    assert [effect.code for effect in effects if isinstance(effect, Close)] == [1006, 1006]
    assert statuses(effects) == [RECONNECTING]


# Draining


@kinds
def test_a_drain_sends_what_is_left_and_ends_as_soon_as_it_is_settled(kind: Callable[..., Chat]) -> None:
    chat = settled_down(kind).held()
    chat.submit("a", "b")
    assert statuses(chat.disconnect()) == []
    assert chat.machine.state == "draining"
    effects = chat.accept()
    assert (settled(effects), posted_ids(effects)) == ([("a", ACKED), ("b", SENT)], ["b"])
    assert chat.accept() == [Settle("b", ACKED), GOODBYE]


@kinds
def test_nothing_left_means_no_drain(kind: Callable[..., Chat]) -> None:
    assert settled_down(kind).held().disconnect()[-1] == GOODBYE
    assert posting(kind, drain_timeout=0.0).disconnect()[-1] == GOODBYE
    chat = waiting(kind)
    assert chat.disconnect() == [GOODBYE]


@kinds
def test_a_drain_is_possible_while_the_receiver_is_down(kind: Callable[..., Chat]) -> None:
    chat = waiting_and_posting(kind)
    chat.disconnect()
    chat.answer("csrf")
    assert chat.accept() == [Settle("m1", ACKED), GOODBYE]


@kinds
def test_a_drain_may_end_by_refusal_or_expiry(kind: Callable[..., Chat]) -> None:
    chat = settled_down(kind).held()
    chat.submit("a")
    chat.disconnect()
    assert chat.answer("post", 422)[-1] == GOODBYE
    chat = settled_down(kind, outbox=OutboxConfig(max_age=0.5)).held()
    chat.submit("a")
    chat.answer("post", 503)
    chat.disconnect()
    assert chat.tick()[-1] == GOODBYE
    assert chat.now == 0.5


@kinds
def test_connect_calls_a_drain_off(kind: Callable[..., Chat]) -> None:
    chat = draining(kind)
    effects = chat.connect()
    assert statuses(effects) == [CONNECTING]
    assert len(fetched(effects)) == 1
    chat.answer("csrf")
    chat.accept()
    assert chat.machine.status is CONNECTING
    assert receiver_link(chat)


@kinds
def test_what_is_not_drained_is_kept(kind: Callable[..., Chat]) -> None:
    chat = draining(kind)
    chat.tick()
    assert chat.machine.unsettled == 1
    assert fetched(chat.connect())[-1] == "csrf"


@kinds
def test_the_cursor_outlives_a_disconnect(kind: Callable[..., Chat]) -> None:
    chat = dialing(kind)
    if kind is sse:
        chat.opened()
        assert shown_ids(chat.stream(event("e-7"))) == ["e-7"]
    else:
        assert shown_ids(chat.answer("poll", 200, [message("e-7")])) == ["e-7"]
    chat.disconnect()
    chat.connect()
    assert "e-7" in repr(chat.open[receiver_link(chat)])
