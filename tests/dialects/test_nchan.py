"""The `nchan` dialect: its requests, and answers as nchan 1.3.6 gives them."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatlab.dialects.base import Ack, Answer, Opening, Page, Request, Unreadable, Welcome
from chatlab.dialects.nchan import NchanDialect, missed
from chatlab.messages import ChatMessage, OutgoingMessage
from chatlab.settings import HttpConfig, WebSocketConfig

DIALECT = NchanDialect()
HTTP = DIALECT.http
SOCKET = WebSocketConfig(url="ws://h/ws", room="at tic", sender="ada")
CONFIG = HttpConfig(url="http://h/", room="at tic", sender="ada")
THEN = datetime(2026, 11, 23, 7, 53, 31, tzinfo=UTC)
MODIFIED = "Mon, 23 Nov 2026 07:53:31 GMT"
T = "1795420411"
OURS = '{"type":"message","sender":"ada","text":"hé","client_id":"c1"}'
ADAS = ChatMessage(f"{T}:2", "ada", "hé", "c1", THEN)


def test_what_it_is() -> None:
    assert (DIALECT.acks, DIALECT.idempotent, DIALECT.heartbeat) == (True, False, "ping")
    assert DIALECT.failures == {"close 1000": "retry", "http 410": "retry"}
    assert DIALECT.transports == ("websocket", "sse", "long_polling", "short_polling")
    assert DIALECT.typing(SOCKET) is None
    assert HTTP.post_typing(CONFIG) is None


@pytest.mark.parametrize(
    ("history", "cursor", "place"),
    [(50, None, None), (0, None, None), (None, None, "1:0"), (None, "5:1", "5:1")],
)
def test_a_reader_goes_on_after_its_cursor(
    history: int | None, cursor: str | None, place: str | None
) -> None:
    opening = DIALECT.opening(SOCKET.replace(history=history), cursor)
    query = {} if place is None else {"last_event_id": place}
    assert opening == Opening("/at%20tic", query, protocols=("ws+meta.nchan",))
    stream = HTTP.stream(CONFIG.replace(history=history), cursor)
    assert (stream.method, stream.path, stream.query) == ("GET", "/sub/at%20tic", {})
    assert stream.headers.get("Last-Event-ID") == place
    assert stream.headers["Accept"] == "text/event-stream"


@pytest.mark.parametrize(
    ("cursor", "headers"),
    [
        (None, {}),
        (f"{T}:2", {"If-Modified-Since": MODIFIED, "If-None-Match": "2"}),
        (f"{T}:3,[1],-", {"If-Modified-Since": MODIFIED, "If-None-Match": "3,[1],-"}),
        ("elsewhere-7", {"Last-Event-ID": "elsewhere-7"}),
        ("9" * 30 + ":1", {"Last-Event-ID": "9" * 30 + ":1"}),
    ],
)
def test_polls_ask_by_validators(cursor: str | None, headers: dict[str, str]) -> None:
    assert HTTP.poll(CONFIG, cursor, 25.0) == Request("GET", "/sub/at%20tic", {}, headers)
    for at_once in (None, 0.0):
        assert HTTP.poll(CONFIG, cursor, at_once) == Request("GET", "/poll/at%20tic", {}, headers)


def test_all_there_is_by_polls() -> None:
    request = HTTP.poll(CONFIG.replace(history=None), None, None)
    assert request.headers == {"If-Modified-Since": "Thu, 01 Jan 1970 00:00:01 GMT", "If-None-Match": "0"}


def test_the_locations_are_the_servers() -> None:
    own = NchanDialect(
        socket="/s/{channel}", subscribe="/a/{channel}", poll="/b/{channel}", publish="/c/{channel}"
    )
    assert own.opening(SOCKET, None).path == "/s/at%20tic"
    assert own.http.stream(CONFIG, None).path == "/a/at%20tic"
    assert own.http.poll(CONFIG, None, None).path == "/b/at%20tic"
    assert own.http.post(CONFIG, OutgoingMessage("x")).path == "/c/at%20tic"


def test_what_is_published_is_a_message_of_ours_everywhere() -> None:
    sent = OutgoingMessage("hé", client_id="c1")
    assert DIALECT.encode(SOCKET, sent) == OURS
    post = HTTP.post(CONFIG, sent)
    assert (post.method, post.path, post.body) == ("POST", "/pub/at%20tic", OURS)
    assert msgspec.json.decode(DIALECT.encode(SOCKET, OutgoingMessage(data=b"\0"))) == {
        "type": "message",
        "sender": "ada",
        "data": "AA==",
    }


@pytest.mark.parametrize(
    ("status", "result"),
    [(201, Ack("c1")), (202, Ack("c1")), *((status, None) for status in (200, 204, 302, 304, 403, 409, 413))],
)
def test_A90_what_becomes_of_a_post(status: int, result: Ack | None) -> None:
    assert HTTP.posted(Answer(status), "c1") == result


@pytest.mark.parametrize(
    ("frame", "item"),
    [
        (f"id: {T}:2\n\n{OURS}", ADAS),
        (f"id: {T}:2\ncontent-type: text/plain\n\n{OURS}", ADAS),
        (f"id: {T}:1\n\nhi\n\nthere", ChatMessage(f"{T}:1", text="hi\n\nthere", posted_at=THEN)),
        (f'id: {T}:1\n\n{{"a": 1}}', ChatMessage(f"{T}:1", text='{"a": 1}', posted_at=THEN)),
        (f'id: {T}:1\n\n{{"sender": "a"}}', ChatMessage(f"{T}:1", text='{"sender": "a"}', posted_at=THEN)),
        (f"id: {T}:1\n\n", ChatMessage(f"{T}:1", posted_at=THEN)),
        (
            b"id: 1795420411:0\ncontent-type: application/octet-stream\n\n\0\xff",
            ChatMessage(f"{T}:0", data=b"\0\xff", posted_at=THEN),
        ),
        ("id: 9999999999999999:0\n\nx", ChatMessage("9999999999999999:0", text="x")),
        ("id: 5:0,[1]\n\nx", ChatMessage("5:0,[1]", text="x", posted_at=datetime.fromtimestamp(5, UTC))),
    ],
)
def test_frames(frame: str | bytes, item: ChatMessage) -> None:
    assert DIALECT.decode(frame) == (item,)


@pytest.mark.parametrize("frame", ["", "hi", "\n\nhi", "id: \n\nhi", OURS, b"\xff\xfe", "\ud800"])
def test_frames_without_an_id_are_unreadable(frame: str | bytes) -> None:
    (item,) = DIALECT.decode(frame)
    assert isinstance(item, Unreadable)
    assert "message id" in item.reason


def test_a_message_of_bytes_comes_back() -> None:
    sent = DIALECT.encode(SOCKET, OutgoingMessage(data=b"\0\xff", client_id="c2"))
    (item,) = DIALECT.decode(f"id: {T}:0\n\n{sent}")
    assert item == ChatMessage(f"{T}:0", "ada", "", "c2", THEN, b"\0\xff")


def test_events() -> None:
    assert HTTP.event("message", OURS, f"{T}:2") == (ADAS,)
    assert HTTP.event("typing", "hi", f"{T}:2") == (ChatMessage(f"{T}:2", text="hi", posted_at=THEN),)


LAST: dict[str, str] = {"last-modified": MODIFIED, "etag": "2", "content-type": "text/plain"}


def mixed(*contents: str) -> bytes:
    return ("".join(f"--b\r\n\r\n{content}\r\n" for content in contents) + "--b--\r\n").encode()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(200, OURS.encode(), LAST), Page((ADAS,), more=True)),
        (Answer(200, b"", LAST), Page((ChatMessage(f"{T}:2", posted_at=THEN),), more=True)),
        (Answer(200, OURS.encode(), LAST | {"etag": '"2"'}), Page((ADAS,), more=True)),
        (Answer(304), Page(())),
        (Answer(408), Page(())),
        (Answer(204), Page(())),
        (Answer(304, b"", LAST), Page((Welcome(cursor=f"{T}:2"),))),
        (Answer(403), None),
        (Answer(502, b"x", LAST), None),
    ],
)
def test_answers(answer: Answer, expected: Page | None) -> None:
    assert HTTP.page(answer) == expected


@pytest.mark.parametrize("missing", [{}, {"etag": "2"}, {"last-modified": "soon", "etag": "2"}])
def test_an_answer_without_a_cursor_is_unreadable(missing: dict[str, str]) -> None:
    page = HTTP.page(Answer(200, b"x", missing))
    assert page is not None
    assert page.senseless


@pytest.mark.parametrize(
    ("etag", "ids"),
    [
        ("2", [f"{T}:0", f"{T}:1", f"{T}:2"]),
        ("7", [f"{T}:5", f"{T}:6", f"{T}:7"]),
        ("1", ["", f"{T}:0", f"{T}:1"]),
        ("1,[0]", ["", "", f"{T}:1,[0]"]),
    ],
)
def test_the_ids_of_a_batch_are_counted_back_from_the_last(etag: str, ids: list[str]) -> None:
    headers = {"last-modified": MODIFIED, "etag": etag, "content-type": "Multipart/mixed; boundary=b"}
    page = HTTP.page(Answer(200, mixed("1", "2", "3"), headers))
    assert page is not None
    assert page.more
    messages: list[Any] = list(page.items)
    assert [(message.id, message.text) for message in messages] == list(zip(ids, "123", strict=True))


@pytest.mark.parametrize(("etag", "senseless"), [("2", False), ('"5f3-abc"', True), ('W/"5f3"', True)])
def test_A91_a_page_with_validators_of_its_own_is_no_message(etag: str, senseless: bool) -> None:
    headers = {"last-modified": MODIFIED, "etag": etag, "content-type": "Text/HTML; charset=utf-8"}
    page = HTTP.page(Answer(200, b"<title>Log in</title>", headers))
    assert page is not None
    assert page.senseless is senseless


def test_half_a_batch_is_unreadable() -> None:
    headers = LAST | {"content-type": "multipart/mixed; boundary=b"}
    page = HTTP.page(Answer(200, mixed("1")[:-6], headers))
    assert page is not None
    assert page.senseless


@pytest.mark.parametrize(
    ("before", "after", "hole"),
    [
        ("5:0", "5:1", False),
        ("5:0", "5:2", True),
        ("5:9", "6:0", False),
        ("5:9", "6:1", True),
        ("5:0", "9:0", False),
        ("5:3", "5:3", False),
        ("5:3", "5:1", False),
        ("5:3", "4:9", False),
        ("e-1", "5:7", False),
        ("5:0", "5:2,[1]", False),
    ],
)
def test_a_gap_shows_within_a_second(before: str, after: str, hole: bool) -> None:
    assert missed(before, after) == hole
    assert DIALECT.gap is missed


@given(st.lists(st.integers(1, 4), min_size=2, max_size=8), st.data())
def test_consecutive_ids_show_no_gap(seconds: list[int], data: st.DataObject) -> None:
    """Check that ids as nchan gives them never show a gap, and one left out within a second always does."""
    ids = [f"{10 + second}:{number}" for second, count in enumerate(seconds) for number in range(count)]
    assert not any(missed(before, after) for before, after in pairwise(ids))
    left_out = data.draw(st.integers(1, len(ids) - 2)) if len(ids) > 2 else 0
    if left_out and not ids[left_out + 1].endswith(":0"):
        assert missed(ids[left_out - 1], ids[left_out + 1])
