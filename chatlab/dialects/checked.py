"""A dialect of the user's own with its results checked: a wrong one is named where it is returned.

The machines trust a dialect. Without the check, a function that returns None would be reported from the place
that uses the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, get_args

import msgspec
from msgspec import Struct, structs

from chatlab.dialects.base import (
    Ack,
    Answer,
    Credentials,
    Dialect,
    HttpDialect,
    Incoming,
    InFlight,
    Nack,
    Opening,
    Page,
    Refused,
    Request,
)
from chatlab.errors import SettingsError
from chatlab.messages import ChatMessage, OutgoingMessage
from chatlab.settings import TransportConfig

FRAME = (str, bytes)
_ITEMS = get_args(Incoming)
_ITEM_NAMES = ", ".join(item.__name__ for item in _ITEMS)
_FRAMES = frozenset({"frame", "frames"})
"""Fields that msgspec can't check, as their type is a union of text and bytes."""


class WrongResult(TypeError):
    """A function of a dialect has returned something else than the interface says; the text names it."""


def checked(dialect: Dialect) -> Dialect:
    """Return the dialect with its results checked, unless it is one of chatlab's."""
    return dialect if type(dialect).__module__.startswith("chatlab.") else CheckedDialect(dialect)


def _kind(value: object) -> str:
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


class Checker:
    """The calls of the functions of a user's dialect, or of its part for requests."""

    def __init__(self, owner: Dialect | HttpDialect) -> None:
        self._owner = owner
        self.name = type(owner).__name__

    def _where(self, function: str) -> str:
        return f"{self.name}.{function} returned"

    def one(self, function: str, kinds: tuple[type, ...], right: str, *arguments: Any) -> Any:
        """Return the result, which must be of one of the `kinds`.

        Errors: `WrongResult`, which says what is `right`.
        """
        made = getattr(self._owner, function)(*arguments)
        where = self._where(function)
        if not isinstance(made, kinds):
            raise WrongResult(f"{where} {_kind(made)}: return {right}")
        if isinstance(made, Struct):
            _check_fields(where, made)
        if isinstance(made, Page):
            return structs.replace(made, items=self._items(f"{where} a Page whose items are", made.items))
        return made

    def many(self, function: str, *arguments: Any) -> Sequence[Incoming]:
        """Return the result, which must be a sequence of items, or yields them. Errors: `WrongResult`."""
        return self._items(self._where(function), getattr(self._owner, function)(*arguments))

    def _items(self, where: str, made: Any) -> Sequence[Incoming]:
        if isinstance(made, Iterator):
            made = tuple(made)
        if isinstance(made, str | bytes) or not isinstance(made, Sequence):
            raise WrongResult(
                f"{where} {_kind(made)}: return a tuple of items, such as (ChatMessage(...),), or () for none"
            )
        for item in made:
            if not isinstance(item, _ITEMS):
                raise WrongResult(f"{where} {_kind(made)} with {_kind(item)} in it: an item is {_ITEM_NAMES}")
            _check_fields(where, item)
        return made


def _check_fields(where: str, made: Struct) -> None:
    for name, kind, default in _fields(type(made)):
        value = getattr(made, name)
        if type(value) is kind or value is default:  # To be quick.
            continue
        if problem := _problem(name, kind, value):
            raise WrongResult(f"{where} {_kind(made)} whose {name} is wrong: {problem}")


@cache
def _fields(kind: type[Struct]) -> Sequence[tuple[str, Any, Any]]:
    return [
        (field.name, field.type, field.default) for field in structs.fields(kind) if field.name != "items"
    ]


def _problem(name: str, kind: Any, value: Any) -> str:
    """Return what is wrong with a field's value; "": nothing."""
    try:
        if name == "frame":
            value, kind = (value,), tuple[Any, ...]
        msgspec.convert(value, tuple[Any, ...] if name == "frames" else kind)
    except msgspec.ValidationError as error:
        return f"e{str(error)[1:]}"  # "expected `str`, got `int`"
    if name in _FRAMES:
        return next(
            (
                f"a frame is text or bytes, not {_kind(frame)}"
                for frame in value
                if not isinstance(frame, FRAME)
            ),
            "",
        )
    return ""


class CheckedHttp(HttpDialect):
    """A part for requests, with its results checked."""

    def __init__(self, inner: HttpDialect) -> None:
        self.call = Checker(inner)
        self.streams, self.polls, self.short_polls = inner.streams, inner.polls, inner.short_polls
        self.answer_headers, self.csrf, self.csrf_header = inner.answer_headers, inner.csrf, inner.csrf_header

    def for_connection(self) -> HttpDialect:
        return CheckedHttp(
            self.call.one("for_connection", (HttpDialect,), "self, or a fresh HttpDialect for the session")
        )

    def csrf_token(self, body: bytes) -> str | None:
        made: str | None = self.call.one("csrf_token", (str, type(None)), "the token, or None", body)
        return made

    def _request(self, function: str, *arguments: Any) -> Request:
        made: Request = self.call.one(function, (Request,), "a Request", *arguments)
        return made

    def stream(self, config: TransportConfig, cursor: str | None) -> Request:
        return self._request("stream", config, cursor)

    def event(self, kind: str, data: str, id: str) -> Sequence[Incoming]:
        return self.call.many("event", kind, data, id)

    def poll(self, config: TransportConfig, cursor: str | None, hold: float | None) -> Request:
        return self._request("poll", config, cursor, hold)

    def page(self, answer: Answer) -> Page | None:
        made: Page | None = self.call.one("page", (Page, type(None)), "a Page, or None for a failure", answer)
        return made

    def post(self, config: TransportConfig, message: OutgoingMessage) -> Request:
        return self._request("post", config, message)

    def posted(self, answer: Answer, client_id: str) -> Ack | Nack | InFlight | Refused | None:
        kinds = (Ack, Nack, InFlight, Refused, type(None))
        right = "an Ack, a Nack, an InFlight, a Refused, or None for a failure"
        made: Ack | Nack | InFlight | Refused | None = self.call.one(
            "posted", kinds, right, answer, client_id
        )
        return made

    def post_reply(self, config: TransportConfig, frame: str | bytes) -> Request:
        return self._request("post_reply", config, frame)

    def retry_after(self, answer: Answer) -> float | None:
        made: float | None = self.call.one(
            "retry_after", (int, float, type(None)), "seconds, or None", answer
        )
        return made

    def post_typing(self, config: TransportConfig) -> Request | None:
        made: Request | None = self.call.one(
            "post_typing", (Request, type(None)), "a Request, or None", config
        )
        return made


class CheckedDialect(Dialect):
    """A dialect with its results checked.

    Errors: `SettingsError` if its part for requests is something else.
    """

    def __init__(self, inner: Dialect) -> None:
        self.call = Checker(inner)
        self._inner = inner
        self.name, self.websocket, self.heartbeat = inner.name, inner.websocket, inner.heartbeat
        self.acks, self.idempotent, self.greets = inner.acks, inner.idempotent, inner.greets
        self.failures, self.gap, self.reuses_ids = inner.failures, inner.gap, inner.reuses_ids

        http: object = inner.http
        if http is not None and not isinstance(http, HttpDialect):
            hint = "; is it without @property?" if callable(http) else ""
            raise SettingsError(
                f"dialect: {self.call.name}.http must be an HttpDialect or None, got {_kind(http)}{hint}"
            )

    @property
    def http(self) -> HttpDialect | None:
        made = self._inner.http
        return None if made is None else CheckedHttp(made)

    def require(self, transport: str) -> None:
        self._inner.require(transport)

    def credentials(self, headers: Mapping[str, str]) -> Credentials:
        return self._inner.credentials(headers)  # The live client checks it: it holds secrets.

    def for_connection(self) -> Dialect:
        return CheckedDialect(
            self.call.one("for_connection", (Dialect,), "self, or a fresh Dialect for the connection")
        )

    def opening(self, config: TransportConfig, cursor: str | None) -> Opening:
        made: Opening = self.call.one("opening", (Opening,), "an Opening", config, cursor)
        return made

    def _frame(self, function: str, *arguments: Any) -> str | bytes:
        made: str | bytes = self.call.one(function, FRAME, "the frame, text or bytes", *arguments)
        return made

    def encode(self, config: TransportConfig, message: OutgoingMessage) -> str | bytes:
        return self._frame("encode", config, message)

    def decode(self, frame: str | bytes) -> Sequence[Incoming]:
        return self.call.many("decode", frame)

    def ping(self, id: int) -> str | bytes:
        return self._frame("ping", id)

    def pong(self, id: int | None) -> str | bytes:
        return self._frame("pong", id)

    def is_echo(self, sent: OutgoingMessage, came: ChatMessage) -> bool:
        return self._inner.is_echo(sent, came)

    def last_frame(self) -> str | bytes | None:
        made: str | bytes | None = self.call.one(
            "last_frame", (*FRAME, type(None)), "the frame, text or bytes, or None"
        )
        return made

    def typing(self, config: TransportConfig) -> str | bytes | None:
        made: str | bytes | None = self.call.one(
            "typing", (*FRAME, type(None)), "the frame, text or bytes, or None", config
        )
        return made

    def __repr__(self) -> str:
        return repr(self._inner)
