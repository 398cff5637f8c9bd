"""Answers of a server: the client's half can read them, and events are as another encoder writes them."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sse_starlette.event import ServerSentEvent

from chatlab.dialects import serving
from chatlab.dialects.base import Ack, Nack, ServerPong, Welcome
from chatlab.dialects.chatlab import ChatlabHttp, encode_frame, encode_message
from chatlab.messages import ChatMessage
from chatlab.transports.eventstream import EventStreamParser
from chatlab.transports.posting import failure_of

HTTP = ChatlabHttp()
texts = st.text(st.characters(exclude_categories=["Cs"]))


def message(number: int, text: str = "hi", data: bytes | None = None) -> ChatMessage:
    return ChatMessage(
        id=f"1-{number}", sender="ada", text=text, posted_at=datetime(2000, 1, 1, tzinfo=UTC), data=data
    )


@given(text=texts, data=st.none() | st.binary(max_size=50))
def test_events_are_those_of_another_encoder_and_say_one_thing(text: str, data: bytes | None) -> None:
    frame = encode_message(message(1, text, data))
    encoded = serving.encode_event(frame)
    content = encode_frame(message(1, text, data))
    assert encoded == ServerSentEvent(content, event="message", id="1-1", sep="\n").encode()
    [event] = EventStreamParser().feed(encoded)
    assert (event.type, event.last_event_id) == ("message", "1-1")
    assert HTTP.event(event.type, event.data, event.last_event_id) == (message(1, text, data),)


def test_events_without_an_id_leave_the_readers_cursor_alone() -> None:
    frame = encode_frame(ServerPong(7))
    assert serving.encode_event(frame) == ServerSentEvent(frame, event="pong", sep="\n").encode()
    [event] = EventStreamParser(last_event_id="1-7").feed(serving.encode_event(frame))
    assert event.last_event_id == "1-7"
    parser = EventStreamParser()
    assert parser.feed(serving.encode_retry(2.5) + serving.KEEP_ALIVE) == []
    assert parser.reconnection_time == 2.5


def test_a_reader_without_a_message_resumes_after_the_welcomes_cursor() -> None:
    [event] = EventStreamParser().feed(serving.encode_event(encode_frame(Welcome(cursor="1-7"))))
    assert event.last_event_id == "1-7"


def test_a_poll_without_a_position_wants_only_new_messages() -> None:
    assert serving.wants_only_new({"room": "lobby", "sender": "ada", "limit": "9"})
    for name in ("after", "history", "hold"):
        assert not serving.wants_only_new({"room": "lobby", name: ""})


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\n\n"])
def test_A80_no_line_end_in_a_frame_forges_a_field(end: str) -> None:
    """Check line ends escaped in a type or an id, and as white space between the frame's tokens."""
    odd = msgspec.json.encode({"type": f"odd{end}id: 9", "n": 1}).decode()
    [event] = EventStreamParser(last_event_id="1-7").feed(serving.encode_event(odd))
    assert (event.type, event.last_event_id, event.data) == ("oddid: 9", "1-7", odd)
    [event] = EventStreamParser().feed(serving.encode_event(encode_frame(ChatMessage(id=f"1{end}data: x"))))
    assert (event.last_event_id, msgspec.json.decode(event.data)["id"]) == ("1data: x", f"1{end}data: x")
    spaced = f'{{"type":{end}"pong",{end}"id":7{end}}}'
    [event] = EventStreamParser().feed(serving.encode_event(spaced))
    assert msgspec.json.decode(event.data) == {"type": "pong", "id": 7}


@pytest.mark.parametrize("more", [False, True])
def test_pages_have_the_next_cursor_and_a_flag_for_more(more: bool) -> None:
    messages = [message(number) for number in range(1, 4)]
    answer = serving.page("1-0", messages, more=more)
    read = HTTP.page(answer)
    assert read is not None
    assert (list(read.items), read.more) == (messages, more)
    assert answer.headers["chat-cursor"] == "1-3"
    assert serving.page("1-5", [], more=False).headers == {"chat-cursor": "1-5"}


def test_only_temporary_refusals_have_a_retry_after() -> None:
    assert serving.refused(Nack("a-1", 503, "full disk")).headers == {"retry-after": "2"}
    assert serving.refused(Nack("a-1", 422, "no message")).headers == {}


def test_every_answer_is_read_as_it_is_meant() -> None:
    gone = HTTP.page(serving.unknown_cursor("2-0"))
    assert gone is not None
    assert (gone.items, gone.more) == ((Welcome(cursor="2-0", resync=True),), True)
    assert HTTP.posted(serving.accepted("a-1", "1-1", new=True), "a-1") == Ack("a-1")
    assert serving.accepted("a-1", "1-1", new=False).status == 200
    assert HTTP.csrf_token(serving.token("secret").body) == "secret"
    assert msgspec.json.decode(serving.health("1", 2, 3).body) == {
        "status": "ok",
        "epoch": "1",
        "people": 2,
        "rooms": 3,
    }
    failure = failure_of(serving.problem(429, "slow down", 2.0))
    assert (failure.code, failure.reason, failure.retry_after) == (429, "slow down", 2.0)
    assert failure_of(serving.refused(Nack("a-1", 413, "too long"))).reason == "too long"


def test_a_plain_request_for_the_path_of_websockets_is_told_what_to_ask_for() -> None:
    answer = serving.upgrade_required()
    assert answer.status == 426
    assert answer.headers["Upgrade"] == "websocket"  # Source: RFC 9110 §15.5.22.
    assert "error" in msgspec.json.decode(answer.body)
