"""The WebSocket machine's cursor: each connection resumes where the last one ended (SPEC §1; `A…` are rows of
HOSTILE)."""

from __future__ import annotations

import pytest

from chatlab.transports.machine import Disconnect
from tests.transports.websocket_chat import Chat, delivered, message, online, queries


def reconnected(chat: Chat) -> dict[str, str]:
    """Return the query of the next connection."""
    chat.close()
    (query,) = queries(chat.tick())
    return query


@pytest.mark.parametrize(("history", "query"), [(50, {"history": "50"}), (0, {"history": "0"}), (None, {})])
def test_a_first_connection_asks_for_history(history: int | None, query: dict[str, str]) -> None:
    assert queries(Chat(history=history).connect()) == [{"room": "lobby", "sender": "ada"} | query]


def test_every_reconnect_asks_for_what_came_after_the_last_message() -> None:
    chat = online()
    chat.hear(message("e-7"))
    chat.hear(message("e-8"))
    after = {"room": "lobby", "sender": "ada", "after": "e-8"}
    assert reconnected(chat) == after
    chat.open()
    chat.do(Disconnect())
    assert queries(chat.connect()) == [after], "after a disconnect too"


def test_a_first_connection_can_resume_after_a_given_id() -> None:
    chat = Chat(after="e-8", history=50)
    assert queries(chat.connect()) == [{"room": "lobby", "sender": "ada", "after": "e-8"}]
    chat.open()
    chat.hear({"type": "welcome", "cursor": "e-8"})
    chat.hear(message("e-9"))
    assert reconnected(chat)["after"] == "e-9"


def test_A94_an_id_too_long_to_resume_from_is_reported_and_all_messages_are_requested() -> None:
    chat = online()
    effects = chat.hear(message("x" * 5000))
    assert [event.type for event in delivered(effects)] == ["message", "resync"]
    assert reconnected(chat) == {"room": "lobby", "sender": "ada"}
    chat.open()
    effects = [*chat.hear(message("x" * 5000)), *chat.hear(message("e-2"))]
    assert [event.message.id for event in delivered(effects) if event.message] == ["e-2"]
    assert reconnected(chat)["after"] == "e-2"


def test_A62_what_comes_again_is_not_shown_again_nor_moves_the_cursor_back() -> None:
    chat = online()
    for id in ("e-1", "e-2", "e-1"):
        effects = chat.hear(message(id))
    assert effects == []
    assert reconnected(chat)["after"] == "e-2"
    chat.open()
    assert chat.hear(message("e-2")) == []
    assert len(delivered(chat.hear(message("e-3")))) == 1


def test_A62_10_000_ids_are_remembered() -> None:
    chat = online()
    for n in range(10_000):
        chat.hear(message(f"{n}"))
    assert chat.hear(message("0")) == []
    for n in range(10_000, 11_000):
        chat.hear(message(f"{n}"))
    assert len(delivered(chat.hear(message("0")))) == 1
    assert chat.hear(message("1000")) == []


def test_A63_ids_are_opaque() -> None:
    chat = online()
    ids = ["9", "10", "1", "01", "é", "9" * 20]
    assert [
        event.message.id for id in ids for event in delivered(chat.hear(message(id))) if event.message
    ] == ids
    assert reconnected(chat)["after"] == "9" * 20


def test_a_welcome_sets_the_cursor_of_a_new_reader() -> None:
    chat = online()
    assert chat.hear({"type": "welcome", "cursor": "e-40"}) == []
    assert reconnected(chat)["after"] == "e-40"
    chat.open()
    chat.hear(message("e-41"))
    chat.hear({"type": "welcome", "cursor": "e-40"})
    assert reconnected(chat)["after"] == "e-41", "and moves nobody back who stands somewhere already"


def test_A60_A63_a_resync_is_reported_and_sets_the_servers_cursor() -> None:
    chat = online()
    chat.hear(message("e-7"))
    (event,) = delivered(chat.hear({"type": "welcome", "cursor": "f-0", "resync": True}))
    assert event.type == "resync"
    assert event.reason
    assert reconnected(chat)["after"] == "f-0"
