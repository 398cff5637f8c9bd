"""The parts of a conversation: places, own messages, logs and typing people."""

from __future__ import annotations

import pytest

from chatlab.conversation import Place, logs, own, place_of, typists
from chatlab.conversation.logs import Logs
from chatlab.conversation.own import OwnMessages
from chatlab.conversation.places import server_of
from chatlab.conversation.present import MAX_PEOPLE, Present
from chatlab.conversation.typists import MAX_NAME_LENGTH, Typists
from chatlab.errors import InvalidMessage
from chatlab.live.client.kinds import TITLES, make_config, make_transport
from chatlab.messages import DeliveryState, OutgoingMessage
from chatlab.settings import Url

HERE = Place(Url("http://h:80"), "lobby", "ada", "chatlab")


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("ws://H/ws", True),
        ("http://h:80/", True),
        ("ws://h:80/ws", True),
        ("https://h/", False),
        ("ws://h:81/ws", False),
        ("http://h/x", False),
        ("http://h/?tenant=b", False),
        ("http://ada@h/", False),
        ("http://[::1]/", False),
    ],
)
def test_A101_a_server_is_the_same_by_all_its_addresses_and_no_other(url: str, same: bool) -> None:
    assert (server_of(url) == HERE.server) is same


def test_A101_a_password_is_no_other_server_and_is_shown_nowhere() -> None:
    first, second = (server_of(f"ws://ada:{word}@h/ws") for word in ("secret1", "secret2"))
    assert first == second
    assert "ada" not in Place(first, "r", "n", "chatlab").describe(None)


@pytest.mark.parametrize("kind", TITLES)
def test_every_transport_leads_to_the_same_place(kind: str) -> None:
    assert place_of(make_config(kind, "http://h/", room="lobby", sender="ada")) == HERE


def test_a_place_is_described_by_its_differences() -> None:
    there = Place(Url("http://g:80"), "attic", "eve", "matrix")
    assert there.describe(there) == "room attic"
    assert there.describe(HERE) == "room attic at http://g:80, as eve, in the matrix dialect"


def add(it: OwnMessages, id: str, text: str = "hi") -> own.OwnMessage:
    transport = make_transport(make_config("websocket", "ws://h"))
    return it.add(OutgoingMessage(text, client_id=id), HERE, transport, 1.0, 2.0)


def end(it: OwnMessages, message: own.OwnMessage, state: DeliveryState) -> None:
    message.state = state
    it.close(message)


def test_a_delivered_message_is_recognised_by_its_echo_and_then_releases_its_content() -> None:
    it = OwnMessages("s")
    message = add(it, "a")
    with pytest.raises(InvalidMessage, match="still on its way"):
        add(it, "a")
    end(it, message, DeliveryState.ACKED)
    assert it.find("a", HERE, "ada") is message
    assert it.find("a", HERE, "eve") is it.find("b", HERE, "ada") is None
    assert it.find("a", Place(HERE.server, "attic", "ada", "chatlab"), "ada") is None
    assert (message.text, len(it), it.undelivered()) == ("hi", 0, [])
    it.release(message)
    assert (message.message, it._unechoed_bytes) == (None, 0)
    again = add(it, "a")
    end(it, again, DeliveryState.ACKED)
    assert (it.find("a", HERE, "ada"), it._unechoed_bytes) == (again, 2)


def test_own_messages_are_bounded_in_number_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "REMEMBERED", 3)
    monkeypatch.setattr(own, "KEPT", 4)
    monkeypatch.setattr(own, "KEPT_BYTES", 10)
    it = OwnMessages("s")
    for n in range(5):
        end(it, add(it, f"delivered-{n}"), DeliveryState.ACKED)
    known = [n for n in range(5) if it.find(f"delivered-{n}", HERE, "ada")]
    assert (known, it._unechoed_bytes) == ([2, 3, 4], 6)
    end(it, add(it, "large", "x" * 7), DeliveryState.ACKED)
    assert [own.text for own in it._delivered.values()] == ["", "hi", "x" * 7]
    kept = [add(it, f"lost-{n}", "xxx") for n in range(5)]
    for message in kept:
        end(it, message, DeliveryState.FAILED)
    assert ([m.client_id for m in it.undelivered()], it.forgotten) == (["lost-2", "lost-3", "lost-4"], 2)
    assert kept[0].message is None
    it.reopen(kept[3], kept[3].holder)
    assert ([m.client_id for m in it], it.find_undelivered(kept[3].key)) == (["lost-3"], None)
    end(it, kept[3], DeliveryState.ACKED)
    assert len(it.undelivered()) == 2


def test_a_message_that_is_sent_again_goes_behind_all_that_are_under_way() -> None:
    it = OwnMessages("s")
    lost = add(it, "lost")
    add(it, "later")
    end(it, lost, DeliveryState.FAILED)
    it.reopen(lost, lost.holder)
    assert [own.client_id for own in it] == ["later", "lost"]
    end(it, lost, DeliveryState.FAILED)
    end(it, add(it, "last"), DeliveryState.FAILED)
    assert [own.client_id for own in it.undelivered()] == ["lost", "last"]


def test_a_message_that_a_full_outbox_refuses_is_removed() -> None:
    it = OwnMessages("s")
    it.withdraw(add(it, "a"))
    assert (len(it), it.find("a", HERE, "ada")) == (0, None)


def test_logs_are_kept_by_place_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MOST_LOGS", 2)
    monkeypatch.setattr(logs, "SEEN_ELSEWHERE", 1)
    it = Logs()
    log = it.at(HERE)
    assert it.at(Place(HERE.server, "lobby", "eve", "chatlab")) is log, "the same room, under another name"
    assert [log.mark_seen(id) for id in ("1", "2", "1", "", "")] == [True, True, False, True, True]
    assert it.at(Place(HERE.server, "attic", "ada", "chatlab")).number != log.number
    assert [log.mark_seen(id) for id in ("2", "1")] == [False, True], "only the latest is remembered"
    it.at(Place(HERE.server, "cellar", "ada", "chatlab"))
    assert it.at(HERE) is not log


def test_long_ids_take_constant_memory_and_long_cursors_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LONGEST_CURSOR", 3)
    monkeypatch.setattr(logs, "SEEN", 2)
    log = Logs().at(HERE)
    assert all(log.mark_seen(id * 100_000) for id in "abc")
    assert sum(map(len, log._seen)) == 32
    log.set_cursor("abc")
    log.set_cursor(None)
    assert log.cursor == "abc"
    log.set_cursor("abcd")
    assert log.cursor is None


def test_A106_somebody_types_until_the_message_comes_or_some_seconds_are_over() -> None:
    it = Typists()
    it.typed("ada", 0.0)
    it.typed("bob", 4.0)
    assert (it.names(5.0), it.expires_in(5.0)) == (("ada", "bob"), 1.0)
    assert it.names(typists.TYPING_TIMEOUT) == ("bob",)
    it.stopped("bob")
    it.stopped("nobody")
    assert it.names(5.0) == ()
    for n in range(99):
        it.typed(f"{n}" * 999, 5.0)
    assert len(it.names(5.0)) == typists.MAX_TYPISTS
    assert max(map(len, it.names(5.0))) == typists.MAX_NAME_LENGTH
    it.clear()
    it.typed("x" * 999, 5.0)
    it.stopped("x" * 999)
    assert it.names(5.0) == ()
    it.typed("ada", 5.0)
    it.clear()
    assert it.names(5.0) == ()


def test_people_are_here_until_their_last_connection_has_ended() -> None:
    people = Present()
    people.joined("early")  # before the server's list, which has everybody
    people.left("early")
    assert people.names() is None
    people.here(["bob", "ada", "bob", 5])
    assert people.names() == ("5", "ada", "bob")
    people.joined("ada")
    people.joined("eve")
    for name in ("bob", "ada", "eve", "nobody"):
        people.left(name)
    assert people.names() == ("5", "ada", "bob")
    people.left("bob")
    assert people.names() == ("5", "ada")
    people.clear()
    assert people.names() is None


def test_a_server_that_makes_up_people_fills_no_memory() -> None:
    people = Present()
    people.here(f"{number}{'x' * 9_999}" for number in range(3 * MAX_PEOPLE))
    names = people.names()
    assert names is not None
    assert len(names) == MAX_PEOPLE
    assert max(map(len, names)) == MAX_NAME_LENGTH
    people.joined("one more")
    people.joined(names[0])
    assert people.names() == names
