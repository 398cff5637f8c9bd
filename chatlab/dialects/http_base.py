"""The base of a dialect's part for requests, and the requests and answers that it translates."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from chatlab.dialects.items import Ack, Incoming, InFlight, Nack, Refused, Unreadable, Welcome
from chatlab.messages import OutgoingMessage
from chatlab.settings import TransportConfig


class Request(Struct, frozen=True, gc=False):
    """An HTTP request: `path` and `query` are added to the configured URL, `headers` to the user's."""

    method: str
    path: str
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    body: str = ""


class Answer(Struct, frozen=True, gc=False, omit_defaults=True):
    """The response to a request. `headers` has lower-case names: those in `answer_headers`, `content-type`,
    and `retry-after` converted to seconds. `redirected` means that it comes from another URL than the
    requested one."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = {}
    redirected: bool = False


class Page(Struct, frozen=True):
    """The content of a poll's answer; with `more`, there is more to fetch at once.

    The cursor moves to the last message's id, or to `cursor` if the server gives one. With `gap`, messages
    are missing between the reader's cursor and these items.
    """

    items: Sequence[Incoming]
    more: bool = False
    cursor: str | None = None
    gap: bool = False

    @property
    def resync(self) -> bool:
        """Whether the server no longer has the messages after the reader's cursor."""
        return any(isinstance(item, Welcome) and item.resync for item in self.items)

    @property
    def senseless(self) -> bool:
        """Whether no item can be decoded, nor skipped by its id."""
        return bool(self.items) and all(isinstance(item, Unreadable) and not item.id for item in self.items)


class HttpDialect:
    """The part of a dialect for SSE + POST and polling. Pure; reading an answer never raises."""

    streams: bool = True
    """Whether there are event streams; if so, implement `stream` and `event`."""
    polls: bool = True
    """Whether there are polls; if so, implement `poll` and `page`."""
    short_polls: bool = True
    """Whether there are polls that the server doesn't hold."""
    answer_headers: frozenset[str] = frozenset()
    """Names, in lower case, of the headers of an answer that `page` reads."""
    csrf: Request | None = None
    """The request for a CSRF token; None: the server needs none."""
    csrf_header: str = "X-CSRF-Token"
    """The header of a POST with the token."""

    def for_connection(self) -> HttpDialect:
        """Return the dialect of a new session: itself, or a fresh object with the session's state.

        A session begins with each attempt to connect. The last session's object is asked, and may hand over
        what it knows.
        """
        return self

    def csrf_token(self, body: bytes) -> str | None:
        """Return the token in the answer to a `csrf` request; None: there is none."""
        return None

    def stream(self, config: TransportConfig, cursor: str | None) -> Request:
        """Return the request for an event stream that resumes after `cursor`."""
        raise NotImplementedError

    def event(self, kind: str, data: str, id: str) -> Sequence[Incoming]:
        """Return the items of a stream's event with type `kind`, this data and last event ID."""
        raise NotImplementedError

    def poll(self, config: TransportConfig, cursor: str | None, hold: float | None) -> Request:
        """Return the request for the messages after `cursor`, which the server may hold for `hold` seconds.

        `hold` is None for short polling; 0 for a long poll that is to be answered at once.
        """
        raise NotImplementedError

    def page(self, answer: Answer) -> Page | None:
        """Return the content of a poll's answer; None: it is a failure, which the failure table judges."""
        raise NotImplementedError

    def post(self, config: TransportConfig, message: OutgoingMessage) -> Request:
        """Return the request that sends a message."""
        raise NotImplementedError

    def posted(self, answer: Answer, client_id: str) -> Ack | Nack | InFlight | Refused | None:
        """Return the result in the answer to a POST; None: it is a failure, which the failure table judges.

        Return an `Ack` or an `InFlight` only for an answer that no captive portal or proxy would give: a
        message in flight isn't sent again in this session. A status alone is no proof, so the default
        implementation returns neither. A `client_id` "" is that of a `Reply`; return an `InFlight` if it was
        accepted.
        """
        return None

    def post_reply(self, config: TransportConfig, frame: str | bytes) -> Request:
        """Return the request that sends the frame of a `Reply`."""
        raise NotImplementedError

    def retry_after(self, answer: Answer) -> float | None:
        """Return the delay in seconds that a refusal's body asks for; None: it asks for none. It is used if
        there is no `Retry-After` header."""
        return None

    def post_typing(self, config: TransportConfig) -> Request | None:
        """Return the request that reports that the person is typing; None: the server has no such request."""
        return None
