"""The outbox: order, bounds, four overflow policies, age (SPEC §1; HOSTILE A64-A66)."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from chatlab.messages import OutgoingMessage
from chatlab.settings import OutboxConfig
from chatlab.transports.outbox import Outbox


def outbox_of(*ids: str, **settings: Any) -> Outbox:
    outbox = Outbox(OutboxConfig(**settings))
    for at, id in enumerate(ids):
        push(outbox, id, float(at))
    return outbox


def push(outbox: Outbox, id: str, now: float = 0.0, text: str = "x") -> list[str]:
    message = OutgoingMessage(text, client_id=id)
    return outbox.push(message, message.size, now)


def taken(outbox: Outbox, acks: bool = True) -> list[str]:
    ids = []
    while (message := outbox.take(acks)) is not None:
        ids.append(message.client_id)
    return ids


def test_A64_first_in_first_out() -> None:
    outbox = outbox_of("a", "b", "c")
    assert len(outbox) == 3
    assert all(id in outbox for id in "abc")
    assert taken(outbox) == ["a", "b", "c"]
    assert len(outbox) == 3
    assert all(id in outbox for id in "abc")


def test_without_acks_sent_is_gone() -> None:
    outbox = outbox_of("a", "b")
    assert taken(outbox, acks=False) == ["a", "b"]
    assert len(outbox) == 0
    assert "a" not in outbox


def test_window() -> None:
    outbox = outbox_of("a", "b", "c", max_in_flight=2)
    assert taken(outbox) == ["a", "b"]
    assert outbox.settle("b")
    assert taken(outbox) == ["c"]


def test_only_what_was_sent_can_settle_and_only_once() -> None:
    outbox = outbox_of("a", "b", max_in_flight=1)
    taken(outbox)
    assert [outbox.settle(id) for id in ("b", "ghost", "a", "a")] == [False, False, True, False]
    assert len(outbox) == 1


def test_A66_what_was_in_flight_is_sent_first_in_the_old_order() -> None:
    outbox = outbox_of("a", "b", "c", "d", max_in_flight=3)
    taken(outbox)
    outbox.settle("b")
    outbox.lose_connection()
    assert len(outbox) == 3
    assert all(id in outbox for id in "acd")
    push(outbox, "e")
    outbox.lose_connection()  # an attempt that failed changes nothing
    assert taken(outbox) == ["a", "c", "d"]
    for id in "acd":
        outbox.settle(id)
    assert taken(outbox) == ["e"]


def test_lost_again_before_all_was_resent() -> None:
    outbox = outbox_of("a", "b", "c")
    taken(outbox)
    outbox.lose_connection()
    assert outbox.take(acks=True) is not None
    outbox.lose_connection()
    assert taken(outbox) == ["a", "b", "c"]


def test_an_ack_can_come_before_the_resend() -> None:
    outbox = outbox_of("a", "b")
    taken(outbox)
    outbox.lose_connection()
    assert outbox.settle("a")
    assert taken(outbox) == ["b"]


# A65: the outbox is bounded, and says what it drops.


def test_A65_drop_oldest() -> None:
    outbox = outbox_of("a", "b", max_size=2)
    assert outbox.accepts(1)
    assert push(outbox, "c") == ["a"]
    assert taken(outbox) == ["b", "c"]


def test_A65_drop_oldest_never_drops_what_may_have_arrived() -> None:
    outbox = outbox_of("a", "b", max_size=2)
    taken(outbox)
    outbox.lose_connection()
    assert [push(outbox, id) for id in "cde"] == [[], [], ["c"]]
    assert taken(outbox) == ["a", "b", "d", "e"]


def test_A65_drop_newest() -> None:
    outbox = outbox_of("a", "b", max_size=2, overflow="drop-newest")
    assert outbox.accepts(1)
    assert push(outbox, "c") == ["c"]
    assert taken(outbox) == ["a", "b"]


@pytest.mark.parametrize("overflow", ["reject", "wait"])
def test_A65_reject_and_wait_accept_no_more_than_fits(overflow: str) -> None:
    outbox = outbox_of("a", max_size=2, overflow=overflow)
    assert outbox.accepts(1)
    push(outbox, "b")
    assert not outbox.accepts(1)
    outbox.take(acks=True)
    assert outbox.accepts(1)


def test_A65_10_000_messages_into_100_slots() -> None:
    outbox = outbox_of()
    dropped = [id for n in range(10_000) for id in push(outbox, f"{n}")]
    assert dropped == [f"{n}" for n in range(9_900)]
    assert taken(outbox) == [f"{n}" for n in range(9_900, 10_000)]


def test_bytes() -> None:
    outbox = outbox_of(max_bytes=10)
    assert push(outbox, "a", text="1234") == []
    assert push(outbox, "b", text="éé") == []  # UTF-8: four bytes
    assert push(outbox, "c", text="12") == []
    assert push(outbox, "d", text="12345") == ["a", "b"]
    assert taken(outbox) == ["c", "d"]
    assert push(outbox, "e", text="1234567890") == [], "what was taken counts no more"


def test_a_message_larger_than_the_bound_goes_alone() -> None:
    for overflow, accepted in (
        ("drop-oldest", True),
        ("drop-newest", True),
        ("reject", False),
        ("wait", False),
    ):
        outbox = outbox_of("a", max_bytes=3, overflow=overflow)
        assert outbox.accepts(9) == accepted
        taken(outbox)
        assert outbox.accepts(9)
        assert push(outbox, "big", text="123456789") == []
        assert taken(outbox) == ["big"]


# Time to live.


def test_nothing_expires_unless_asked() -> None:
    outbox = outbox_of("a")
    assert outbox.deadline == inf
    assert outbox.expire(1e9) == []


def test_what_waits_too_long_expires_oldest_first() -> None:
    outbox = outbox_of("a", "b", "c", max_age=10.0, max_bytes=3)
    assert outbox.deadline == 10.0
    assert outbox.expire(9.9) == []
    assert outbox.expire(11.0) == ["a", "b"]
    assert (outbox.deadline, len(outbox)) == (12.0, 1)
    assert push(outbox, "d", 11.0) == []
    assert push(outbox, "e", 11.0) == [], "the bytes of what expired are free again"
    assert outbox.expire(12.0) == ["c"]


def test_what_is_in_flight_expires_only_once_it_waits_again() -> None:
    outbox = outbox_of("a", "b", "c", max_age=10.0, max_in_flight=2)
    taken(outbox)
    assert outbox.deadline == 12.0
    assert outbox.expire(11.0) == []
    outbox.lose_connection()
    assert outbox.deadline == 10.0
    assert outbox.expire(11.0) == ["a", "b"]
    assert taken(outbox) == ["c"]
    assert outbox.deadline == inf


# Messages of another outbox


def test_A66_messages_put_back_are_sent_first_in_order_and_take_no_room() -> None:
    outbox = outbox_of("c", "d", max_size=2, overflow="reject")
    for id in ("a", "b"):
        outbox.put_back(OutgoingMessage("x", client_id=id), 1, 5.0)
    assert (len(outbox), outbox.accepts(1)) == (4, False)
    assert outbox.settle("a"), "it may have been sent before"
    assert taken(outbox) == ["b", "c", "d"]
