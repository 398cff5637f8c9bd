"""Bodies of many messages: lists, envelopes, lines, parts; and nothing raises."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatlab.dialects.base import Incoming, Unreadable
from chatlab.dialects.bodies import (
    Part,
    Read,
    parts_of,
    read_each,
    read_lines,
    read_list,
    read_one,
    read_parts,
)
from chatlab.messages import ChatMessage


def text(piece: bytes) -> Incoming:
    """Decode {"id": …, "text": …}."""
    value = msgspec.json.decode(piece)
    return ChatMessage(id=value["id"], text=value["text"])


ONE, TWO = ChatMessage("1", text="a"), ChatMessage("2", text="b")
JSON_1, JSON_2 = b'{"id": "1", "text": "a"}', b'{"id": "2", "text": "b"}'


def reasons(items: list[Incoming]) -> list[str]:
    return [item.reason for item in items if isinstance(item, Unreadable)]


def test_what_a_reader_raises_is_an_unreadable_in_its_place() -> None:
    items = read_each([JSON_1, b'{"id": "3"}', b"[1]", b"{", b"7", JSON_2], text)
    assert [items[0], items[-1]] == [ONE, TWO]
    assert len(reasons(items)) == 4

    def deep(piece: bytes) -> Incoming:
        raise RecursionError

    def silent(piece: bytes) -> Incoming:
        raise ValueError

    assert read_one(b"x", deep) == Unreadable("nested too deeply", "x")
    assert read_one(b"x", silent) == Unreadable("ValueError", "x")


def test_a_list_is_the_body_or_lies_in_it() -> None:
    body = b"[" + JSON_1 + b"," + JSON_2 + b"]"
    assert read_list(body, text) == [ONE, TWO]
    assert read_list(b'{"d": {"items": ' + body + b"}}", text, "d", "items") == [ONE, TWO]
    for nothing in (b"{}", b'{"d": null}', b'{"d": {}}', b'{"d": {"items": null}}', b'{"d": {"items": []}}'):
        assert read_list(nothing, text, "d", "items") == []


@pytest.mark.parametrize("body", [b"", b"{", b'{"d": 1}', b'{"d": {"items": 1}}', b"[" * 5000, b'"\xff"'])
def test_a_list_that_is_none_is_unreadable(body: bytes) -> None:
    assert len(reasons(read_list(body, text, "d", "items"))) == 1


def test_lines() -> None:
    assert read_lines(JSON_1 + b"\r\n\n" + JSON_2 + b"\n \n", text) == [ONE, TWO]
    assert read_lines(b"", text) == []
    assert len(reasons(read_lines(JSON_1[:-1] + b"\n" + JSON_2, text))) == 1


MIXED = b"--b\r\nContent-Type: text/plain\r\nX: y: z\r\n\r\n1\r\n--\r\n\r\n--b\r\n\r\n\r\n--b--\r\nafter"


def test_parts() -> None:
    first = Part(b"1\r\n--\r\n", {"content-type": "text/plain", "x": "y: z"})
    for content_type in ("multipart/mixed; boundary=b", 'Multipart/Mixed; charset=x; Boundary = "b"'):
        assert parts_of(MIXED, content_type) == [first, Part(b"")]
    assert parts_of(b"before\r\n" + MIXED, "multipart/mixed; boundary=b") == [first, Part(b"")]
    assert read_parts(b"--b\r\n\r\n" + JSON_1 + b"\r\n--b--", "x; boundary=b", text) == [ONE]


@pytest.mark.parametrize(
    ("body", "content_type", "reason"),
    [
        (MIXED, "multipart/mixed", "no boundary"),
        (b"", "x; boundary=b", "isn't closed"),
        (b"--b\r\n\r\nhalf", "x; boundary=b", "isn't closed"),
        (b"--b\r\nno blank line\r\n--b--", "x; boundary=b", "no blank line"),
    ],
)
def test_parts_that_are_not_whole(body: bytes, content_type: str, reason: str) -> None:
    items = read_parts(body, content_type, text)
    assert len(items) == 1
    assert reason in reasons(items)[0]


@given(st.lists(st.binary(max_size=20).filter(lambda content: b"\r\n--b0undary" not in content)))
def test_every_part_comes_out_as_it_was_put_in(contents: list[bytes]) -> None:
    body = b"".join(b"--b0undary\r\n\r\n" + content + b"\r\n" for content in contents) + b"--b0undary--"
    parts = parts_of(body, "multipart/mixed; boundary=b0undary")
    assert isinstance(parts, list)
    assert [part.content for part in parts] == contents


READERS: dict[str, Callable[[bytes, Read], list[Incoming]]] = {
    "list": read_list,
    "lines": read_lines,
    "parts": lambda body, read: read_parts(body, "x; boundary=b", read),
}


@pytest.mark.parametrize("name", READERS)
@given(body=st.binary(max_size=60))
def test_nothing_raises(name: str, body: bytes) -> None:
    assert isinstance(READERS[name](body, text), list)
