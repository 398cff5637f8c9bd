"""The history of a server's rooms: the hub's interface to it, and its implementation in memory.

A message's id is `epoch-n`: the n-th message of its room in that epoch. An epoch is one instance of the log.
A server that has lost its log begins another epoch, and so recognises a cursor of the lost log.

The log returns the latest messages of a room, up to its limits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from msgspec import Struct

from chatlab.dialects.chatlab import PAGE_LIMIT
from chatlab.errors import ChatError
from chatlab.messages import ChatMessage, OutgoingMessage
from chatlab.settings import Settings, Size

OVERHEAD = 512
"""Bytes that a message is assumed to need in addition to its content."""
MAX_PAGE_SIZE = 1024 * 1024
"""Bytes of content after which a page gets no further message."""


class LogError(ChatError):
    """The history can't be read or written."""


class LogLimits(Settings, frozen=True):
    """The part of a log that is kept for readers.

    `retain` messages of a room, and `retain_size` bytes of them. A log in memory keeps `retain_total` bytes
    of all rooms together: beyond that it drops the rooms in which nothing was posted for the longest time.
    """

    retain: Size = 10_000
    retain_size: Size = 64 * 1024 * 1024
    retain_total: Size = 256 * 1024 * 1024


class Page(Struct, frozen=True):
    """Consecutive messages of a room. `start` is the cursor before them. `more`: further ones follow.

    `gap`: messages after the reader's cursor are no longer available, so the page begins with the first
    available one.
    """

    start: str
    messages: Sequence[ChatMessage]
    more: bool = False
    gap: bool = False

    @property
    def end(self) -> str:
        """The cursor after the messages."""
        return self.messages[-1].id if self.messages else self.start


class Appended(NamedTuple):
    """A message in the log; `new` is false if its sender had already posted it with that client id."""

    message: ChatMessage
    new: bool


class Log(ABC):
    """A log of the messages of all rooms."""

    epoch: str

    @abstractmethod
    def append(
        self, room: str, sender: str, message: OutgoingMessage, posted_at: datetime | None
    ) -> Appended:
        """Add a message to a room, and return it once it is stored. If the sender has already posted a
        message with that client id, return that one instead.

        Errors: `LogError`; then the message isn't in the log.
        """

    def after(self, room: str, cursor: str, limit: int = PAGE_LIMIT, size: int = MAX_PAGE_SIZE) -> Page:
        """Return the first messages after a cursor, up to a number and a size; at least one if there is any.

        Errors: `LogError`.
        """
        count, seen = self._count(room), self.position(cursor)
        known = seen is not None and seen <= count
        start = self._start(room, seen if seen is not None and known else 0)
        return self._page(room, start, count, limit, size, gap=not known or start != seen)

    def latest(
        self, room: str, history: int | None, limit: int = PAGE_LIMIT, size: int = MAX_PAGE_SIZE
    ) -> Page:
        """Return the first of the latest `history` messages (None: all), as `after` does.

        Errors: `LogError`.
        """
        count = self._count(room)
        start = self._start(room, 0 if history is None else max(0, count - history))
        return self._page(room, start, count, limit, size)

    def _page(self, room: str, seen: int, count: int, limit: int, size: int, *, gap: bool = False) -> Page:
        messages = self._read(room, seen, limit, size) if seen < count else ()
        more = bool(messages) and messages[-1].id != self._id(count)
        return Page(self._id(seen), messages, more, gap)

    @abstractmethod
    def _count(self, room: str) -> int:
        """Return the number of messages that a room has had."""

    @abstractmethod
    def _start(self, room: str, wanted: int) -> int:
        """Return `wanted`, or the number of messages that are no longer kept if that is larger."""

    @abstractmethod
    def _read(self, room: str, seen: int, limit: int, size: int) -> Sequence[ChatMessage]:
        """Return at most `limit` messages after number `seen`: see `leading`."""

    def position(self, cursor: str) -> int | None:
        """Return the number of a room's messages up to a cursor; None if it is of another epoch."""
        its, _, number = cursor.rpartition("-")
        known = its == self.epoch and number.isascii() and number.isdigit() and len(number) < 19
        return int(number) if known else None

    def _id(self, number: int) -> str:
        return f"{self.epoch}-{number}"


def size_of(message: ChatMessage) -> int:
    """Return the bytes that a message is assumed to need."""
    text = message.text
    content = len(text) if text.isascii() else len(text.encode())
    return content + len(message.data or b"") + OVERHEAD


def leading(messages: Iterable[ChatMessage], size: int) -> list[ChatMessage]:
    """Return the first messages, up to `size` bytes of content; at least one if there is any."""
    taken: list[ChatMessage] = []
    for message in messages:
        size -= len(message.text) + len(message.data or b"")
        if size < 0 and taken:
            break
        taken.append(message)
    return taken


class _Room:
    """The end of a room's log in memory: `size` bytes, after `count` messages in all.

    `keys` finds a sender's message by its client id.
    """

    __slots__ = ("count", "keys", "messages", "size")

    def __init__(self, count: int) -> None:
        self.count = count
        self.size = 0
        self.messages: list[ChatMessage] = []
        self.keys: dict[tuple[str, str], ChatMessage] = {}

    @property
    def first(self) -> int:
        """Number of messages that are no longer kept."""
        return self.count - len(self.messages)

    def add(self, message: ChatMessage, limits: LogLimits) -> None:
        """Add a message, and drop those beyond the limits; the latest is always kept."""
        self.count += 1
        self.size += size_of(message)
        self.messages.append(message)
        if message.client_id:
            self.keys[message.sender, message.client_id] = message
        forgotten = 0
        for old in self.messages[:-1]:
            if len(self.messages) - forgotten <= limits.retain and self.size <= limits.retain_size:
                break
            forgotten += 1
            self.size -= size_of(old)
            key = old.sender, old.client_id
            if self.keys.get(key) is old:  # After `old` was dropped, its client id may have been used again.
                del self.keys[key]
        del self.messages[:forgotten]


class MemoryLog(Log):
    """A log that exists as long as this object."""

    def __init__(self, epoch: str, limits: LogLimits | None = None) -> None:
        self.epoch = epoch
        self.size = 0
        self._limits = limits or LogLimits()
        self._rooms: dict[str, _Room] = {}
        self._floor = 0

    def __len__(self) -> int:
        """Return the number of rooms with messages."""
        return len(self._rooms)

    def append(
        self, room: str, sender: str, message: OutgoingMessage, posted_at: datetime | None
    ) -> Appended:
        room_log = self._rooms.pop(room, None) or _Room(self._floor)
        self._rooms[room] = room_log  # move it to the end: rooms are ordered by their latest post
        if message.client_id and (known := room_log.keys.get((sender, message.client_id))) is not None:
            return Appended(known, new=False)
        posted = ChatMessage(
            id=self._id(room_log.count + 1),
            sender=sender,
            text=message.text,
            client_id=message.client_id,
            posted_at=posted_at,
            data=message.data,
        )
        before = room_log.size
        room_log.add(posted, self._limits)
        self.size += room_log.size - before
        while self.size > self._limits.retain_total and len(self._rooms) > 1:
            self._forget_room()
        return Appended(posted, new=True)

    def _forget_room(self) -> None:
        """Drop the room in which nothing was posted for the longest time.

        No id is used twice: new rooms, and dropped ones that begin again, count on from the largest number
        of a dropped room.
        """
        name = next(iter(self._rooms))
        room = self._rooms.pop(name)
        self.size -= room.size
        self._floor = max(self._floor, room.count)

    def _count(self, room: str) -> int:
        room_log = self._rooms.get(room)
        return room_log.count if room_log else self._floor

    def _start(self, room: str, wanted: int) -> int:
        room_log = self._rooms.get(room)
        return max(wanted, room_log.first if room_log else self._floor)

    def _read(self, room: str, seen: int, limit: int, size: int) -> Sequence[ChatMessage]:
        room_log = self._rooms[room]
        start = seen - room_log.first
        return leading(room_log.messages[start : start + limit], size)
