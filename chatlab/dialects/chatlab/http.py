"""The client's half over HTTP: streams, polls and posts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from chatlab.dialects.base import Ack, Answer, HttpDialect, Incoming, Page, Request, Welcome, unreadable
from chatlab.dialects.chatlab.frames import (
    OWN_TYPES,
    UNREADABLE,
    decode_any_json,
    decode_server_json,
    decoding_error,
    encode_frame,
    server_defined_event,
    server_event,
)
from chatlab.messages import ChatEvent, ChatMessage, OutgoingMessage
from chatlab.settings import TransportConfig

_decode_page = msgspec.json.Decoder(list[ChatMessage]).decode
_decode_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
_NOTHING_NEW = frozenset({204, 304, 408})
PAGE_LIMIT = 200
"""Maximum messages that a poll asks for."""
_HEADER_VALUE = re.compile(r"(?! )[^\x00-\x1f\x7f]*(?<! )")
"""A text that a header can hold unchanged. Source: RFC 9110 §5.5."""


class ChatlabHttp(HttpDialect):
    """The client's half over HTTP: SSE + POST, and polling."""

    answer_headers = frozenset({"chat-cursor", "chat-more"})
    csrf = Request("GET", "/csrf")

    def csrf_token(self, body: bytes) -> str | None:
        try:
            return msgspec.json.decode(body, type=_Token).token
        except UNREADABLE:
            return None

    def stream(self, config: TransportConfig, cursor: str | None) -> Request:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        query = {"room": config.room, "sender": config.sender}
        if cursor is None:
            if config.history is not None:
                query["history"] = str(config.history)
        elif _HEADER_VALUE.fullmatch(cursor):
            headers["Last-Event-ID"] = cursor
        else:
            query["after"] = cursor
        return Request("GET", "/stream", query, headers)

    def event(self, kind: str, data: str, id: str) -> Sequence[Incoming]:
        return (_read_event(kind, data),)

    def poll(self, config: TransportConfig, cursor: str | None, hold: float | None) -> Request:
        query = {"room": config.room, "limit": str(PAGE_LIMIT)}
        if cursor is not None:
            query["after"] = cursor
        elif config.history is not None:
            query["history"] = str(config.history)
        if hold is None:
            return Request("GET", "/messages", query)
        return Request("GET", "/messages/poll", query | {"hold": f"{hold:g}"})

    def page(self, answer: Answer) -> Page | None:
        cursor = answer.headers.get("chat-cursor")
        if answer.status == 410:
            return Page((Welcome(cursor=cursor, resync=True),), more=True)
        if answer.status in _NOTHING_NEW:
            return Page(())
        if answer.status != 200:
            return None
        items = _read_page(answer.body)
        if not items and cursor is not None:
            items = (Welcome(cursor=cursor),)
        return Page(items, more="chat-more" in answer.headers)

    def post(self, config: TransportConfig, message: OutgoingMessage) -> Request:
        query = {"room": config.room, "sender": config.sender}
        return Request(
            "POST", "/messages", query, {"Content-Type": "application/json"}, encode_frame(message)
        )

    def posted(self, answer: Answer, client_id: str) -> Ack | None:
        if not (200 <= answer.status < 300 or answer.status == 409):
            return None
        try:
            frame = decode_server_json(answer.body)
        except UNREADABLE:
            return None
        return frame if isinstance(frame, Ack) and frame.client_id == client_id else None

    def post_typing(self, config: TransportConfig) -> Request | None:
        query = {"room": config.room, "sender": config.sender}
        return Request("POST", "/typing", query, {"Content-Type": "application/json"}, "{}")


class _Token(Struct):
    token: str


class _Identified(Struct):
    id: str


def _read_event(kind: str, data: str) -> Incoming:
    """Decode an event's data as a frame; if it isn't one, pass on the event's own type and data."""
    try:
        frame: Incoming = decode_server_json(data)
        return frame
    except UNREADABLE as error:
        event = server_defined_event(data)
        if isinstance(event, ChatEvent):
            return event
        if kind in OWN_TYPES:
            return unreadable(decoding_error(error), data)
    try:
        content: Any = decode_any_json(data)
    except UNREADABLE:
        content = data
    return server_event(kind, content)


def _read_page(body: bytes) -> Sequence[Incoming]:
    """Decode a list of messages; an invalid element becomes an `Unreadable`, and the others are kept."""
    try:
        messages: list[ChatMessage] = _decode_page(body)
        return messages
    except UNREADABLE as error:
        try:
            elements = _decode_elements(body)
        except UNREADABLE:
            return (unreadable(decoding_error(error), body),)
    return [_read_element(bytes(element)) for element in elements]


def _read_element(element: bytes) -> Incoming:
    try:
        message: ChatMessage = msgspec.json.decode(element, type=ChatMessage)
        return message
    except UNREADABLE as error:
        return replace(unreadable(decoding_error(error), element), id=_id_of(element))


def _id_of(element: bytes) -> str:
    try:
        return msgspec.json.decode(element, type=_Identified).id
    except UNREADABLE:
        return ""
