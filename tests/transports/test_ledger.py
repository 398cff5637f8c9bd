"""The ledger and the cursor, whatever carries the messages (SPEC §1)."""

from __future__ import annotations

from math import inf

import pytest
from msgspec.structs import replace

from chatlab.dialects.base import Ack, Incoming, Nack, ServerPing, ServerPong, Unreadable, Welcome
from chatlab.dialects.chatlab import ChatlabDialect
from chatlab.messages import ChatEvent, ChatMessage, DeliveryState, OutgoingMessage
from chatlab.settings import HttpConfig, OutboxConfig
from chatlab.transports.ledger import Ledger
from chatlab.transports.machine import Deliver, Effect, Refuse, Settle

QUEUED, SENT, ACKED, DROPPED, EXPIRED, FAILED = DeliveryState


def ledger(*, acks: bool = True, **outbox: object) -> Ledger:
    config = HttpConfig(url="http://h", sender="ada", outbox=OutboxConfig(**outbox))  # type: ignore[arg-type]
    return Ledger(config, ChatlabDialect(), acks=acks)


def submitted(ledger: Ledger, *ids: str, at: float = 0.0) -> list[Effect]:
    out: list[Effect] = []
    for id in ids:
        ledger.submit(OutgoingMessage("hi", client_id=id), at, out)
    return out


def taken(ledger: Ledger) -> str | None:
    message = ledger.take()
    return None if message is None else message.client_id


def read(ledger: Ledger, *items: Incoming) -> list[Effect]:
    out: list[Effect] = []
    for item in items:
        ledger.read(item, out)
    return out


class Counting(ChatlabDialect):
    """The dialect of a server that numbers its messages from 1 after each start."""

    reuses_ids = True


def shown(effects: list[Effect]) -> list[str]:
    """Return the texts of delivered messages, and the types of other events."""
    events = [effect.event for effect in effects if isinstance(effect, Deliver)]
    return [event.type if event.message is None else event.message.text for event in events]


def test_a_server_that_counts_anew_loses_no_message_and_is_reported_once() -> None:
    it = Ledger(HttpConfig(url="http://h"), Counting(), acks=True)
    first = [ChatMessage(f"{n}", text=f"old {n}") for n in (1, 2, 3)]
    assert shown(read(it, *first, *first)) == ["old 1", "old 2", "old 3"]
    again = [ChatMessage("1", text="new 1"), ChatMessage("2", data=b"new 2")]
    effects = read(it, *again, *again)
    assert shown(effects) == ["resync", "new 1", ""]
    assert it.cursor.last_id == "2"
    delivered = [effect.event.message for effect in effects if isinstance(effect, Deliver)]
    assert [message.id for message in delivered if message] == ["", ""], "readers drop a known id"
    assert shown(read(it, ChatMessage("4", text="new 4"), ChatMessage("1", text="newer 1"))) == [
        "new 4",
        "resync",
        "newer 1",
    ]


def test_a_known_id_that_is_never_given_again_is_a_copy_whatever_its_content() -> None:
    it = ledger()
    assert shown(read(it, ChatMessage("1", text="hi"), ChatMessage("1", text="ho"))) == ["hi"]


def test_a_message_without_id_or_of_an_unreadable_ones_id_is_no_second_one() -> None:
    it = Ledger(HttpConfig(url="http://h"), Counting(), acks=True)
    assert shown(read(it, Unreadable("odd", "x", "1"), ChatMessage("1", text="hi"))) == ["unreadable"]
    assert shown(read(it, ChatMessage("", text="hi"), ChatMessage("", text="ho"))) == ["hi", "ho"]


def test_messages_are_taken_in_order_and_once() -> None:
    it = ledger()
    assert submitted(it, "a", "b") == []
    assert [taken(it) for _ in range(3)] == ["a", "b", None]
    assert len(it.outbox) == 2


def test_without_acks_a_taken_message_is_forgotten() -> None:
    it = ledger(acks=False)
    submitted(it, "a")
    assert taken(it) == "a"
    assert len(it.outbox) == 0


@pytest.mark.parametrize("take_first", [False, True])
def test_a_message_that_is_under_way_is_no_second_one(take_first: bool) -> None:
    it = ledger()
    submitted(it, "a")
    if take_first:
        it.take()
    assert submitted(it, "a") == [Refuse("a", "duplicate")]


def test_A65_a_message_above_the_bound() -> None:
    full = "the outbox is full"
    assert submitted(ledger(max_size=1), "a", "b") == [Settle("a", DROPPED, full)]
    assert submitted(ledger(max_size=1, overflow="drop-newest"), "a", "b") == [Settle("b", DROPPED, full)]
    for overflow in ("reject", "wait"):
        assert submitted(ledger(max_size=1, overflow=overflow), "a", "b") == [Refuse("b", "full")]


def test_what_waits_too_long_expires() -> None:
    it = ledger(max_age=5.0)
    submitted(it, "a", at=1.0)
    submitted(it, "b", at=2.0)
    out: list[Effect] = []
    it.expire(5.9, out)
    assert out == []
    it.expire(7.0, out)
    assert out == [Settle(id, EXPIRED, "waited longer than 5 s") for id in "ab"]


def test_acks_and_refusals_settle_only_what_is_under_way() -> None:
    it = ledger()
    submitted(it, "a", "b", "c")
    it.take(), it.take()
    assert read(it, Ack("a"), Ack("a"), Ack("ghost")) == [Settle("a", ACKED)]
    assert read(it, Nack("b", 413, "too large"), Ack("b")) == [Settle("b", FAILED, "too large", 413)]
    assert read(it, Ack("c"), Nack("c", 422)) == [], "it was never sent"


def test_A53_the_echo_of_an_own_message_is_its_ack() -> None:
    it = ledger()
    submitted(it, "a")
    it.take()
    echo = ChatMessage("e-1", "ada", "hi", "a")
    assert read(it, ChatMessage("e-0", "bob", "hi", "a")) == [
        Deliver(ChatEvent("message", ChatMessage("e-0", "bob", "hi", "a"), "bob"))
    ]
    assert read(it, echo) == [Settle("a", ACKED), Deliver(ChatEvent("message", echo, "ada"))]
    assert read(it, echo, Ack("a")) == [], "shown and settled once"


def test_A62_what_comes_twice_is_shown_once() -> None:
    it = ledger()
    assert len(read(it, ChatMessage("e-1"), ChatMessage("e-2"), ChatMessage("e-1"))) == 2
    assert it.cursor.last_id == "e-2"


def test_A60_a_welcome_sets_the_cursor_if_there_is_none_or_on_a_resync() -> None:
    it = ledger()
    assert read(it, Welcome("e-5")) == []
    assert it.cursor.last_id == "e-5"
    read(it, Welcome("e-9"))
    assert it.cursor.last_id == "e-5"
    (effect,) = read(it, Welcome("f-0", resync=True))
    assert isinstance(effect, Deliver)
    assert (effect.event.type, bool(effect.event.reason)) == ("resync", True)
    assert it.cursor.last_id == "f-0"


@pytest.mark.parametrize(
    "forged",
    [ChatMessage("1", "ada", "forged", "a"), ChatMessage("1", "ada", data=b"hi", client_id="a")],
    ids=["text", "bytes"],
)
def test_A92_another_message_by_the_own_name_and_id_is_no_ack(forged: ChatMessage) -> None:
    it = ledger()
    true = ChatMessage("2", "ada", "hi", "a")
    shown, forgery = (Deliver(ChatEvent("message", message=each, sender="ada")) for each in (true, forged))
    assert [type(effect) for effect in read(it, replace(true, id="0"))] == [Deliver], "before it was sent"
    submitted(it, "a")
    assert [type(effect) for effect in read(it, replace(true, id="0b"))] == [Deliver], "nor while it waits"
    assert taken(it) == "a"
    assert read(it, forged) == [forgery]
    it.lose_connection()
    assert read(it, true) == [Settle("a", ACKED), shown]


LONG = "x" * 4097


def resyncs(effects: list[Effect]) -> list[str]:
    events = [effect.event for effect in effects if isinstance(effect, Deliver)]
    return [event.reason for event in events if event.type == "resync"]


def test_A94_a_message_with_a_too_long_id_is_shown_and_reported_once() -> None:
    it = ledger()
    config = HttpConfig(url="http://h")
    assert it.resume_from(config, 7, []) == (config, None)
    effects = read(it, ChatMessage("1"), ChatMessage(LONG), ChatMessage(LONG))
    assert [effect.event.type for effect in effects if isinstance(effect, Deliver)] == ["message"] * 2 + [
        "resync"
    ]
    for history in (7, None):
        again: list[Effect] = []
        assert it.resume_from(config, history, again) == (config.replace(history=history), None)
        assert again == []
    assert not it.resumable
    assert resyncs(read(it, ChatMessage(LONG + "y"))) == ["the message's id is too long to resume from"]
    assert resyncs(read(it, ChatMessage("2"))) == []
    assert it.resume_from(config, 7, []) == (config, "2")


@pytest.mark.parametrize("how", ["after", "welcome", "move"])
def test_A94_a_given_cursor_that_is_too_long_is_reported_on_use(how: str) -> None:
    config = HttpConfig(url="http://h", after=LONG if how == "after" else None)
    it = Ledger(config, ChatlabDialect(), acks=True)
    if how == "welcome":
        assert resyncs(read(it, Welcome(cursor=LONG))) == []
    elif how == "move":
        it.cursor.move(LONG)
    out: list[Effect] = []
    for _ in range(2):
        assert it.resume_from(config, 7, out) == (config.replace(history=7), None)
    assert resyncs(out) == ["the message's id is too long to resume from"]


def test_A55_an_unreadable_item_is_reported_and_skipped_by_its_id() -> None:
    it = ledger()
    told = Deliver(ChatEvent("unreadable", reason="why", payload="{"))
    assert read(it, Unreadable("why", "{")) == [told]
    assert it.cursor.last_id is None
    assert read(it, Unreadable("why", "{", "e-3")) == [told]
    assert it.cursor.last_id == "e-3"


def test_other_events_pass_and_heartbeats_are_the_connections() -> None:
    typing = ChatEvent("typing", sender="bob")
    assert read(ledger(), typing, ServerPing(1), ServerPong(1)) == [Deliver(typing)]


def test_without_messages_to_send_the_ledger_acts_as_with_an_empty_outbox() -> None:
    it = ledger(max_size=1, overflow="reject", max_age=5.0)
    out: list[Effect] = []
    assert (it.unsettled, it.deadline, it.take()) == (0, inf, None)
    it.expire(100.0, out)
    it.settle(Settle("a", DeliveryState.ACKED), out)
    it.lose_connection()
    assert out == []
    it.submit(OutgoingMessage("a", client_id="a"), 3.0, out)
    assert (it.unsettled, it.deadline) == (1, 8.0)
    out.clear()
    it.submit(OutgoingMessage("b", client_id="b"), 3.0, out)
    assert out == [Refuse("b", "full")]


def test_a_ledger_without_outbox_shares_the_cursor() -> None:
    it = ledger(acks=False, max_size=3)
    submitted(it, "a")
    other = it.without_outbox()
    assert taken(other) is None
    assert len(read(other, ChatMessage("e-1"))) == 1
    assert read(it, ChatMessage("e-1")) == [], "seen there already"
    other.outbox = it.outbox
    assert taken(other) == "a"
    assert len(it.outbox) == 0, "without acks here as there"


def test_a_resent_message_is_not_refused_and_drops_no_other() -> None:
    it = ledger(max_size=1)
    assert submitted(it, "b") == []
    out: list[Effect] = []
    for id in ("a", "b"):
        it.submit(OutgoingMessage("hi", client_id=id), 0.0, out, again=True)
    assert out == [Refuse("b", "duplicate")]
    assert [taken(it) for _ in range(3)] == ["a", "b", None]
