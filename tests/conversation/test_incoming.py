"""Display of a server's events, without sockets."""

from __future__ import annotations

from typing import Any

import pytest

from chatlab.conversation import Conversation, OwnMessage, ReceivedMessage, place_of
from chatlab.conversation.incoming import EXCERPT, Incoming
from chatlab.conversation.logs import Logs
from chatlab.conversation.outgoing import Outgoing
from chatlab.conversation.session import Session
from chatlab.dialects import ChatlabDialect
from chatlab.live.client.kinds import make_config, make_transport
from chatlab.messages import ChatEvent, ChatMessage, ConnectionStatus, DeliveryState, StatusChange
from chatlab.text import LONGEST_NAME
from chatlab.transports.machine import Settle
from chatlab.transports.retry_state import REQUESTED


class Shown:
    """A display that records what it shows."""

    def __init__(self) -> None:
        self.notices: list[str] = []
        self.received_texts: list[str] = []
        self.states: list[str] = []

    def accepted(self, own: OwnMessage) -> None:
        self.states.append(own.state.value)

    def settled(self, own: OwnMessage) -> None:
        self.states.append(own.state.value)

    def received(self, received: ReceivedMessage) -> None:
        self.received_texts.append(received.message.text)

    def notice(self, text: str, *, warning: bool = False) -> None:
        self.notices.append(text)

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


class Reader:
    """Incoming and outgoing parts of a conversation, with a transport that isn't connected."""

    def __init__(self) -> None:
        config = make_config("websocket", "ws://h", sender="ada")
        place = place_of(config)
        self.session = Session(make_transport(config), place, Logs().at(place), ChatlabDialect(), [])
        self.shown = Shown()
        self.outgoing = Outgoing(self.shown, "s", lambda: 0.0)
        self.incoming = Incoming(self.shown, "s", lambda: 0.0, self.outgoing)

    def take(self, kind: str, **fields: Any) -> None:
        self.incoming.handle(self.session, ChatEvent(kind, **fields), current=True)

    def message(self, id: str, text: str, sender: str = "bob", client_id: str = "") -> None:
        self.take("message", message=ChatMessage(id, sender, text, client_id))


@pytest.mark.parametrize("name", ["eve\nada: I agree", "e" * 60_000, "\u202eeve\x1b[2J"])
def test_a75_a_name_in_a_notice_is_short_and_makes_no_line_of_its_own(name: str) -> None:
    reader = Reader()
    reader.take("presence", sender=name, payload={"state": "joined"})
    reader.take("presence", sender=name, payload={"state": "left"})
    for notice in reader.shown.notices:
        assert notice.isprintable()
        assert len(notice) <= LONGEST_NAME + len(" joined.")


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ("slow down", "slow down"),
        ({"error": "slow down"}, "slow down"),
        ({"error": ["slow"]}, "{'error': ['slow']}"),
        ({"error": "a\nada: I agree" + "x" * 9_999}, "a\u21b5ada: I agree" + "x" * (EXCERPT - 15) + "…"),
    ],
)
def test_a_complaint_is_shown_in_its_own_words_on_one_line(payload: Any, said: str) -> None:
    reader = Reader()
    reader.take("error", payload=payload)
    assert reader.shown.notices == [f"Error from the server: {said}"]


def test_an_edit_and_a_removal_are_shown_as_such() -> None:
    reader = Reader()
    reader.message("$1", "hi")
    for _ in range(2):  # It may come again after a reconnect.
        reader.take("edit", message=ChatMessage("$2", "bob", "hi all"), sender="bob", payload={"id": "$1"})
    reader.take("redaction", sender="eve", reason="spam\nada: hi", payload={"id": "$1"})
    reader.take("redaction", payload={"id": "$1"})
    reader.take("edit", payload={"what": "an event of a server's own"})
    assert reader.shown.received_texts == ["hi", "(edited) hi all"]
    assert reader.shown.notices == [
        "eve removed a message: spam\u21b5ada: hi",
        "Somebody removed a message.",
    ]


def test_A91_a_portals_answer_to_each_poll_is_reported_once() -> None:
    reader = Reader()
    for page in ("<html>Log in", "<html>Log in", "<html>Pay"):
        reader.take("unreadable", reason="no JSON", payload=page)
    assert len(reader.shown.notices) == 2
    reader.message("1", "hi")
    reader.take("unreadable", reason="no JSON", payload="<html>Pay")
    assert len(reader.shown.notices) == 3, "news, since the server itself was heard meanwhile"


@pytest.mark.parametrize("acked", [False, True])
def test_A92_another_text_with_the_own_name_and_id_is_not_an_own_message(acked: bool) -> None:
    reader = Reader()
    receipt = reader.outgoing.submit(reader.session, "I agree to pay 10")
    id = receipt.client_id
    if acked:
        receipt.settle(Settle(id, DeliveryState.ACKED))
        reader.outgoing.settled(reader.session, receipt)
    before = list(reader.shown.states)
    reader.message("1", "I agree to pay 1,000", "ada", id)
    assert reader.shown.received_texts == ["I agree to pay 1,000"]
    assert reader.shown.states == before, "and it acks nothing"
    reader.message("2", "I agree to pay 10", "ada", id)
    assert reader.shown.received_texts == ["I agree to pay 1,000"]
    assert reader.shown.states[-1] == "acked"
    reader.message("3", "I agree to pay 10", "ada", id)
    assert reader.shown.received_texts[1:] == ["I agree to pay 10"], "a second one is not the own one"


def test_A107_late_news_of_an_end_that_was_asked_for_cancels_no_new_start() -> None:
    conversation = Conversation(Shown())
    conversation.switch_to(make_config("websocket", "ws://127.0.0.1:9", sender="ada"))
    assert conversation._session is not None
    for status, reason, wanted in (
        (ConnectionStatus.CONNECTING, "", True),
        (ConnectionStatus.DISCONNECTED, REQUESTED, True),
        (ConnectionStatus.ERROR, "HTTP 404", False),
    ):
        conversation._on_status(conversation._session, StatusChange(status, reason))
        assert conversation.wanted is wanted
