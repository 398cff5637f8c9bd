"""The `nchan` dialect: channels of the nginx module nchan, by WebSocket, SSE, long and interval polling.

nchan forwards published messages unchanged, so they have our format: `{"type":"message","sender":…,"text":…,
"client_id":…}`, with bytes as base64. Anything else that is published there is a message of bare text. The
cursor is nchan's message id `T:G`, T in seconds since 1970 and G a number within that second, in all
transports:

    WebSocket   GET /ws/{channel}    sub-protocol ws+meta.nchan: each frame begins with `id: T:G` and an empty
                                     line; `?last_event_id=` on opening. A location with nchan_pubsub
    SSE         GET /sub/{channel}   the events' ids, and `Last-Event-ID`
    long poll   GET /sub/{channel}   `Last-Modified` is T and `Etag` G, asked for with If-Modified-Since and
                                     If-None-Match; one message, or a multipart batch whose headers are its
                                     last message's; 304 and 408 mean nothing new
    short poll  GET /poll/{channel}  the same, from a location with nchan_subscriber intervalpoll
    send        POST /pub/{channel}  201 and 202 mean accepted; or a frame on the WebSocket

nchan has no client ids, so readers drop a message that was published twice because no answer came. nchan
doesn't report when messages after a cursor have left the channel's buffer. But G counts from 0 in each
second, so a gap within a second is detected (`missed`); a gap of whole seconds isn't. Without a cursor,
`nchan_subscriber_first_message` determines the first message; of `history` only None (all) is supported.

Source: nchan's README (1.3); tested with 1.3.6. Its `nchan_longpoll_multipart_response` must not be set for
interval polls: they are then answered with 304 and the newest cursor, without the messages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from types import MappingProxyType

from chatlab.dialects.base import (
    Ack,
    Answer,
    Dialect,
    HttpDialect,
    Incoming,
    Opening,
    Page,
    Request,
    Unreadable,
    Welcome,
    unreadable,
)
from chatlab.dialects.bodies import parts_of
from chatlab.dialects.envelope import encode_envelope, read_envelope
from chatlab.dialects.templates import expand, request_to
from chatlab.messages import ChatMessage, OutgoingMessage
from chatlab.settings import TransportConfig, Verdict

PROTOCOL = "ws+meta.nchan"
OLDEST = "1:0"
"""An id before all others, to ask for all messages."""

_NOTHING_NEW = frozenset({204, 304, 408})
_ACCEPTED = frozenset({201, 202})
_ID = re.compile(r"(\d{1,11}):(\d{1,9})", re.ASCII)
_META_ID = re.compile(rb"id: ([!-~]+)(?:\n|$)")


class NchanHttp(HttpDialect):
    """SSE, long polling, interval polling, and publishing by POST."""

    answer_headers = frozenset({"content-type", "etag", "last-modified"})

    def __init__(self, subscribe: str, poll: str, publish: str) -> None:
        self._subscribe = subscribe
        self._poll = poll
        self._publish = publish

    def stream(self, config: TransportConfig, cursor: str | None) -> Request:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if (place := cursor or _first(config)) is not None:
            headers["Last-Event-ID"] = place
        return request_to("GET", self._subscribe, headers, channel=config.room)

    def event(self, kind: str, data: str, id: str) -> Sequence[Incoming]:
        return (_read(id, data.encode()),)

    def poll(self, config: TransportConfig, cursor: str | None, hold: float | None) -> Request:
        # nginx sets how long a location holds a request; a poll that must not be held goes to another
        # location.
        template = self._subscribe if hold else self._poll
        place = cursor or _first(config)
        headers = {} if place is None else _validators(place)
        return request_to("GET", template, headers, channel=config.room)

    def page(self, answer: Answer) -> Page | None:
        headers = answer.headers
        last = _id_of(headers)
        if answer.status in _NOTHING_NEW:
            return Page((Welcome(cursor=last),) if last else ())
        if answer.status != 200:
            return None
        if not last:
            return Page((unreadable("the answer has no Last-Modified and Etag", answer.body),))
        kind = headers.get("content-type", "").lower()
        if kind.startswith("text/html") and _ID.fullmatch(last) is None:
            return Page((unreadable("a page, whose ETag isn't a message id of nchan", answer.body),))
        if not kind.startswith("multipart/mixed"):
            return Page((_read(last, answer.body),), more=True)
        parts = parts_of(answer.body, headers["content-type"])
        if isinstance(parts, Unreadable):
            return Page((parts,))
        ids = _ids_up_to(last, len(parts))
        items = [_read(id, part.content) for id, part in zip(ids, parts, strict=True)]
        return Page(items, more=True)

    def post(self, config: TransportConfig, message: OutgoingMessage) -> Request:
        body = _envelope(config.sender, message)
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        return request_to("POST", self._publish, headers, body, channel=config.room)

    def posted(self, answer: Answer, client_id: str) -> Ack | None:
        return Ack(client_id) if answer.status in _ACCEPTED else None


class NchanDialect(Dialect):
    """A channel of nchan. The paths are those of nginx's locations, with `{channel}` for the room. The
    WebSocket's is added to its own URL, the others to the server's root."""

    name = "nchan"
    acks = True
    idempotent = False
    heartbeat = "ping"  # A text frame would be published, or refused with 1008.
    # 1000: idle, with reason "408". 410: nchan stops, or the channel was deleted; a reader creates it anew.
    failures: Mapping[str, Verdict] = MappingProxyType({"close 1000": "retry", "http 410": "retry"})

    def __init__(
        self,
        *,
        socket: str = "/{channel}",
        subscribe: str = "/sub/{channel}",
        poll: str = "/poll/{channel}",
        publish: str = "/pub/{channel}",
    ) -> None:
        self._socket = socket
        self._http = NchanHttp(subscribe, poll, publish)
        self.gap = missed

    @property
    def http(self) -> HttpDialect:
        return self._http

    def opening(self, config: TransportConfig, cursor: str | None) -> Opening:
        place = cursor or _first(config)
        query = {} if place is None else {"last_event_id": place}
        return Opening(expand(self._socket, channel=config.room), query, protocols=(PROTOCOL,))

    def encode(self, config: TransportConfig, message: OutgoingMessage) -> str:
        return _envelope(config.sender, message)

    def decode(self, frame: str | bytes) -> Sequence[Incoming]:
        whole = frame.encode(errors="replace") if isinstance(frame, str) else frame
        head, _, content = whole.partition(b"\n\n")
        id = _META_ID.match(head)
        if id is None:
            return (unreadable("the frame doesn't begin with a message id", frame),)
        return (_read(id[1].decode(), content),)


def missed(before: str, after: str) -> bool:
    """Return whether a message is certainly missing between two ids of one channel, as the numbers within a
    second have a gap."""
    earlier, later = _ID.fullmatch(before), _ID.fullmatch(after)
    if earlier is None or later is None:
        return False
    then, now = int(earlier[1]), int(later[1])
    return now >= then and int(later[2]) > (int(earlier[2]) + 1 if now == then else 0)


def _first(config: TransportConfig) -> str | None:
    """Return the cursor of a first connection."""
    return OLDEST if config.history is None else None


def _validators(cursor: str) -> dict[str, str]:
    """Return the headers that ask for the messages after a cursor."""
    seconds, _, number = cursor.partition(":")
    posted_at = _time(seconds)
    if posted_at is None:
        return {"Last-Event-ID": cursor}
    return {"If-Modified-Since": format_datetime(posted_at, usegmt=True), "If-None-Match": number}


def _id_of(headers: Mapping[str, str]) -> str:
    """Return the message id in an answer's headers; "": there is none."""
    try:
        modified = parsedate_to_datetime(headers["last-modified"])
        return f"{int(modified.timestamp())}:{headers['etag'].strip(chr(34))}"
    except (KeyError, ValueError, OverflowError):
        return ""


def _ids_up_to(last: str, count: int) -> list[str]:
    """Return the ids of a batch, counted back from the last; "" for those of earlier seconds."""
    seconds, _, number = last.partition(":")
    if not number.isdecimal():
        return [""] * (count - 1) + [last]
    first = int(number) - count + 1
    return [f"{seconds}:{index}" if index >= 0 else "" for index in range(first, first + count)]


def _time(seconds: str) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _envelope(sender: str, message: OutgoingMessage) -> str:
    return encode_envelope(sender, message).decode()


def _read(id: str, content: bytes) -> ChatMessage:
    """Return the published message; the id has its time."""
    return read_envelope(id, content, _time(id.partition(":")[0]))
