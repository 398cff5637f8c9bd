"""The limits of a message (SPEC §1), and the states of the ledger."""

from __future__ import annotations

import pytest

from chatlab.errors import InvalidMessage
from chatlab.messages import MAX_CONTENT_SIZE, DeliveryState, OutgoingMessage


def test_limit_is_64_kib() -> None:
    assert MAX_CONTENT_SIZE == 65_536


@pytest.mark.parametrize(
    ("message", "size"),
    [
        (OutgoingMessage("hi"), 2),
        (OutgoingMessage("é"), 2),
        (OutgoingMessage("😀"), 4),
        (OutgoingMessage(data=b""), 0),
        (OutgoingMessage(data=b"\0\xff"), 2),
        (OutgoingMessage("a" * 65_536), 65_536),
        (OutgoingMessage("é" * 32_768), 65_536),
        (OutgoingMessage(data=b"a" * 65_536), 65_536),
        (OutgoingMessage("\0"), 1),
        (OutgoingMessage("a", client_id="é" * 127 + "i"), 1),
    ],
)
def test_legal_messages_know_their_size_in_bytes(message: OutgoingMessage, size: int) -> None:
    assert message.size == size


@pytest.mark.parametrize(
    ("text", "data", "client_id", "words"),
    [
        ("a" * 65_537, None, "", "text has 65,537 bytes"),
        ("é" * 32_769, None, "", "text has 65,538 bytes"),
        ("", b"a" * 65_537, "", "data has 65,537 bytes"),
        ("", None, "", "empty"),
        ("ab\ud800", None, "", "surrogate pair at index 2"),
        ("ok", None, "id\udc00", "client_id has half of a surrogate pair at index 2"),
        ("ok", None, "i" * 256, "client_id has 256 bytes; it may have at most 255"),
        ("ok", None, "é" * 128, "client_id has 256 bytes"),
    ],
)
def test_illegal_messages_are_refused_when_made(
    text: str, data: bytes | None, client_id: str, words: str
) -> None:
    with pytest.raises(InvalidMessage, match=words):
        OutgoingMessage(text, data, client_id)


def test_final_states() -> None:
    assert {state for state in DeliveryState if state.final} == {"acked", "dropped", "expired", "failed"}
