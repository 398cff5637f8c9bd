"""Resume and de-duplication (SPEC §1; HOSTILE A62, A63)."""

from __future__ import annotations

from typing import Any

import pytest

from chatlab.messages import ChatMessage
from chatlab.transports.cursor import FORGOTTEN_IDS, REMEMBERED_IDS, Cursor, too_long


def test_A62_a_message_is_new_once() -> None:
    cursor = Cursor()
    assert cursor.last_id is None
    assert [cursor.advance(id) for id in ("1", "2", "1", "3", "3")] == [True, True, False, True, False]
    assert cursor.last_id == "3", "what comes again doesn't move it back"


def test_a_cursor_can_start_at_a_given_id() -> None:
    cursor = Cursor("7")
    assert cursor.last_id == "7"
    assert cursor.advance("8")
    assert cursor.last_id == "8"


def test_A62_the_last_10_000_ids_are_remembered() -> None:
    assert REMEMBERED_IDS == 10_000
    cursor = Cursor()
    for n in range(10_999):
        cursor.advance(f"{n}")
    assert not cursor.advance("0")
    assert cursor.advance("10999")
    assert not cursor.advance("1000")
    assert cursor.advance("999"), "and not many more, so that memory is bounded"
    for n in range(50_000):
        cursor.advance(f"later {n}")
        assert cursor._seen is not None
        assert len(cursor._seen) < 11_000


def test_A63_ids_are_opaque() -> None:
    cursor = Cursor()
    ids = ["9", "10", "1", "01", "1.0", "-1", "é", " 1", "9" * 20]
    assert all(cursor.advance(id) for id in ids)
    assert cursor.last_id == ids[-1]


def test_messages_without_an_id_are_all_new_and_no_place_to_resume_at() -> None:
    cursor = Cursor()
    cursor.advance("1")
    assert cursor.advance("")
    assert cursor.advance("")
    assert cursor.last_id == "1"


def test_a_moved_cursor_still_knows_what_it_saw() -> None:
    cursor = Cursor()
    cursor.advance("1")
    cursor.move("f-0")
    assert cursor.last_id == "f-0"
    assert not cursor.advance("1")
    assert cursor.last_id == "f-0"
    cursor.move(None)
    assert cursor.last_id is None


@pytest.mark.parametrize(
    ("id", "long"),
    [
        ("", False),
        ("e" * 4096, False),
        ("e" * 4097, True),
        ("é" * 682, False),
        ("é" * 683, True),
        ("/" * 1366, True),
        ("😀" * 341, False),
        ("😀" * 342, True),
        ("\ud800" * 4097, True),
    ],
    ids=["empty", "ASCII", "more", "Latin-1", "more of it", "slashes", "astral", "more such", "surrogates"],
)
def test_A94_how_long_an_id_may_be_to_resume_from(id: str, long: bool) -> None:
    assert too_long(id) is long


def said(sender: str, client_id: str, **content: Any) -> ChatMessage:
    return ChatMessage("", sender, client_id=client_id, **content)


@pytest.mark.parametrize(
    "other",
    [
        said("eve", "1", text="hi"),
        said("ada", "2", text="hi"),
        said("ada", "1", text="ho"),
        said("ada", "1", text="hi", data=b""),
        said("ada", "1", data=b"hi"),
        said("ada1", "", text="hi"),
        said("ad", "a1", text="hi"),
        said("ada", "", text="1hi"),
        said("ada", "1", text="h\ud800"),
    ],
    ids=["sender", "id", "text", "data", "kind", "shifted", "shifted back", "shifted on", "surrogate"],
)
def test_A92_only_a_copy_is_the_same_message(other: ChatMessage) -> None:
    """Check that nobody can suppress a message by using its sender name and client id first."""
    cursor = Cursor()
    message = said("ada", "1", text="hi")
    assert [cursor.record_posted(each) for each in (other, message, other, message)] == [
        True,
        True,
        False,
        False,
    ]


def test_a_message_that_was_posted_twice_is_new_once_by_sender_and_client_id() -> None:
    cursor = Cursor("7")
    assert [cursor.record_posted(said(*who)) for who in (("ada", "1"), ("bob", "1"), ("ada", "1"))] == [
        True,
        True,
        False,
    ]
    assert cursor.last_id == "7"
    for n in range(REMEMBERED_IDS - 2):
        cursor.record_posted(said("eve", f"{n}"))
    assert not cursor.record_posted(said("ada", "1"))
    for n in range(FORGOTTEN_IDS):
        cursor.record_posted(said("joe", f"{n}"))
    assert cursor.record_posted(said("ada", "1")), "and not many more, so that memory is bounded"


def test_A67_what_was_not_handed_over_is_new_once_more_after_a_rewind() -> None:
    cursor = Cursor("0")
    long = "x" * 1000
    messages = [ChatMessage(id=id, sender="ada", client_id=id) for id in ("1", "2", long)]
    cursor.rewind("0", messages)  # A message that was never seen is ignored.
    for message in messages:
        assert cursor.advance(message.id)
        assert cursor.record_posted(message)
    cursor.rewind("1", messages[1:])
    assert cursor.last_id == "1"
    assert [cursor.advance(message.id) for message in messages] == [False, True, True]
    assert [cursor.record_posted(message) for message in messages] == [False, True, True]


def test_A99_long_ids_are_remembered_in_little_memory() -> None:
    cursor = Cursor()
    ids = [f"{number}" * 100_000 for number in range(5)]
    assert all(cursor.advance(id) for id in ids)
    assert not any(cursor.advance(id) for id in ids)
    assert cursor.last_id == ids[-1]
    assert cursor._seen is not None
    assert sum(map(len, cursor._seen)) < 1000
