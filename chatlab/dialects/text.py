"""The `text` dialect: each frame or event is a message's bare text, for echo servers and event streams.

Over HTTP the configured URL is the event stream and accepts texts by POST; `TextDialect` takes other paths. A
stream's event ids are cursors; a WebSocket has none.
"""

from __future__ import annotations

from collections.abc import Sequence

from chatlab.dialects.base import Ack, Answer, Dialect, HttpDialect, Incoming, Request
from chatlab.dialects.templates import request_to
from chatlab.messages import ChatMessage, OutgoingMessage
from chatlab.settings import TransportConfig

SENDER = "server"
"""Sender of all messages, as bare text names none."""


class TextHttp(HttpDialect):
    """Bare texts as an event stream's data and as the bodies of POSTs."""

    polls = False

    def __init__(self, stream: str, post: str) -> None:
        self._stream = stream
        self._post = post

    def stream(self, config: TransportConfig, cursor: str | None) -> Request:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if cursor is not None:
            headers["Last-Event-ID"] = cursor
        return request_to("GET", self._stream, headers, channel=config.room, sender=config.sender)

    def event(self, kind: str, data: str, id: str) -> Sequence[Incoming]:
        return (ChatMessage(id=id, sender=SENDER, text=data),)

    def post(self, config: TransportConfig, message: OutgoingMessage) -> Request:
        text = message.text or (message.data or b"").decode(errors="replace")
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        names = {"channel": config.room, "sender": config.sender, "txn": message.client_id}
        return request_to("POST", self._post, headers, text, **names)

    def posted(self, answer: Answer, client_id: str) -> Ack | None:
        # Acks of such servers have no common form. But an HTML page, or an answer after a redirect, is surely
        # no ack.
        kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        accepted = 200 <= answer.status < 300 and kind != "text/html" and not answer.redirected
        return Ack(client_id) if accepted else None


class TextDialect(Dialect):
    """Bare text (or bytes) in both directions; heartbeats are Ping frames, which any server answers. `stream`
    and `post` are paths with `{channel}` and `{sender}`."""

    name = "text"

    def __init__(self, *, stream: str = "", post: str = "") -> None:
        self._http = TextHttp(stream, post)

    @property
    def http(self) -> HttpDialect:
        return self._http

    def encode(self, config: TransportConfig, message: OutgoingMessage) -> str | bytes:
        return message.text if message.data is None else message.data

    def decode(self, frame: str | bytes) -> Sequence[Incoming]:
        if isinstance(frame, str):
            return (ChatMessage(id="", sender=SENDER, text=frame),)
        return (ChatMessage(id="", sender=SENDER, data=frame),)
