"""The HTTP requests of the `chatlab` dialect, answered without I/O.

The embedded server and the simulated one pass a request's parameters on to these functions, and send the
answers that they return. `query` has the parameters, percent-decoded.

A poll waits in the server: `Poll.answer` returns None while there is nothing new.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import ceil

from msgspec import Struct

from chatlab.dialects import serving
from chatlab.dialects.base import Answer, Nack
from chatlab.dialects.chatlab import decode_posted
from chatlab.hub.hub import Hub
from chatlab.hub.log import LogError, Page
from chatlab.hub.outputs import Output
from chatlab.hub.rate import Bucket

UNREADABLE = "the server can't read its history"
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?(e[-+]?[0-9]{1,2})?")


class Refusal(Exception):
    """The refusal of a request: its HTTP status, what is wrong, and the seconds after which to retry."""

    def __init__(self, status: int, error: str, retry_after: float | None = None) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.retry_after = retry_after

    @property
    def answer(self) -> Answer:
        """The answer that says so."""
        return serving.problem(self.status, self.error, self.retry_after)


# Parameters


def count_of(query: Mapping[str, str], name: str) -> int | None:
    """Return a parameter that is a whole number; None if it isn't given.

    Errors: `Refusal` 400.
    """
    value = query.get(name)
    if value is None:
        return None
    least = 1 if name == "limit" else 0
    if not (value.isascii() and value.isdigit() and len(value) <= 9 and int(value) >= least):
        raise Refusal(400, f"{name} must be a whole number from {least} to 999999999")
    return int(value)


def seconds_of(query: Mapping[str, str], name: str) -> float | None:
    """Return a parameter that is a number of seconds; None if it isn't given.

    Errors: `Refusal` 400.
    """
    value = query.get(name)
    if value is None:
        return None
    if not _SECONDS.fullmatch(value):
        raise Refusal(400, f"{name} must be a number of seconds, such as 25 or 0.5")
    return float(value)


def _room_of(hub: Hub, query: Mapping[str, str]) -> str:
    room = query.get("room", "")
    if reason := hub.refusal(room, sender=room):
        raise Refusal(400, reason)
    return room


def _names_of(hub: Hub, query: Mapping[str, str]) -> tuple[str, str]:
    room, sender = query.get("room", ""), query.get("sender", "")
    if reason := hub.refusal(room, sender):
        raise Refusal(400, reason)
    return room, sender


# Reading


class Join(Struct, frozen=True):
    """The request for a stream or a WebSocket: who joins which room, and from where its replay begins."""

    room: str
    sender: str
    after: str | None
    history: int | None


def join(hub: Hub, query: Mapping[str, str], last_event_id: str | None = None) -> Join:
    """Return a request to join a room; the id of a stream's last event takes precedence over `after`.

    Errors: `Refusal` 400.
    """
    room, sender = _names_of(hub, query)
    return Join(room, sender, last_event_id or query.get("after"), count_of(query, "history"))


class Poll(Struct, frozen=True):
    """A request for messages, which may be held for `hold` seconds while nothing is new."""

    room: str
    after: str | None
    history: int | None
    limit: int | None
    hold: float = 0.0

    def answer(self, hub: Hub, *, at_once: bool = True) -> Answer | None:
        """Return its answer; None if nothing is new, unless it must be answered `at_once`.

        Errors: `Refusal` 503 if the history can't be read.
        """
        page = _page(hub, self)
        if page.gap:
            return serving.unknown_cursor(page.start)
        if page.messages or at_once:
            return serving.page(page.start, page.messages, more=page.more)
        return None


def read(hub: Hub, query: Mapping[str, str]) -> Poll:
    """Return the request of `GET /messages`, which isn't held.

    Errors: `Refusal` 400.
    """
    room = _room_of(hub, query)
    return Poll(room, query.get("after"), count_of(query, "history"), count_of(query, "limit"))


def poll(hub: Hub, query: Mapping[str, str], max_hold: float) -> Poll:
    """Return the request of `GET /messages/poll`. Without a cursor it isn't held, so that each reader gets
    one before it waits.

    Errors: `Refusal` 400; 503 if the history can't be read.
    """
    request = read(hub, query)
    hold = seconds_of(query, "hold")
    after = request.after
    if serving.wants_only_new(query):
        after = _page(hub, Poll(request.room, None, 0, None)).start
    held = 0.0 if after is None else max_hold if hold is None else min(hold, max_hold)
    return Poll(request.room, after, request.history, request.limit, held)


def _page(hub: Hub, poll: Poll) -> Page:
    try:
        return hub.read(poll.room, poll.after, poll.history, poll.limit)
    except LogError:
        raise Refusal(503, UNREADABLE, serving.RETRY_AFTER) from None


# Posting


def admit_poster(
    hub: Hub,
    query: Mapping[str, str],
    *,
    has_token: bool,
    bucket: Bucket | None,
    address: str | None,
    now: float,
) -> tuple[str, str]:
    """Return the room and the sender of a request that changes something, and count it for its connection's
    bucket and its address, if given.

    Errors: `Refusal` 400, 403 or 429.
    """
    if not has_token:
        raise Refusal(403, serving.STALE_TOKEN)
    room, sender = _names_of(hub, query)
    if delay := hub.delay(bucket, address, now):
        raise Refusal(429, serving.TOO_FAST, ceil(delay))
    return room, sender


def post(hub: Hub, room: str, sender: str, body: bytes) -> tuple[Answer, Sequence[Output]]:
    """Post a message; return the answer, and the outputs to carry out."""
    message = decode_posted(body)
    if isinstance(message, Nack):
        return serving.refused(message), ()
    posted = hub.publish(room, sender, message)
    if isinstance(posted, Nack):
        return serving.refused(posted), ()
    message_id, outputs = posted
    return serving.accepted(message.client_id, message_id, new=bool(outputs)), outputs
