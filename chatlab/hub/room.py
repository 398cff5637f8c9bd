"""A room: who is in it, the end of its log, and what a reader of it gets."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from chatlab.hub.rate import Bucket
from chatlab.messages import ChatMessage


class Member(Bucket):
    """One connection: whose, where, and its token bucket."""

    room: Room
    sender: str


class Room:
    """A room's members, and the end of its log. `keys` finds what a sender has posted by its client id.

    Everybody can read a client id, and use it again: it is a key for its sender's own repetitions only.
    """

    __slots__ = ("count", "keys", "log", "members", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0
        self.log: list[ChatMessage] = []
        self.keys: dict[tuple[str, str], ChatMessage] = {}
        self.members: dict[int, Member] = {}

    def append(self, message: ChatMessage, retain: int) -> None:
        """Add a message as the latest, and forget what is beyond `retain`, some at a time."""
        self.count += 1
        self.log.append(message)
        if message.client_id:
            self.keys[message.sender, message.client_id] = message
        if len(self.log) > retain + retain // 4:
            for old in self.log[:-retain]:
                key = old.sender, old.client_id
                if self.keys.get(key) is old:
                    del self.keys[key]
            del self.log[:-retain]

    def replay(self, epoch: str, after: str | None, history: int | None) -> Replay:
        """Return what a reader is to get in this epoch: what came after its cursor, or the latest `history`
        messages (None: all)."""
        log = self.log
        first = self.count - len(log)
        if after is None:
            skip = max(0, len(log) - history) if history is not None else 0
            return Replay(f"{epoch}-{first + skip}", log[skip:])
        seen = _position(epoch, after)
        if seen is None or not first <= seen <= self.count:
            return Replay(f"{epoch}-{first}", log[:], gap=True)
        return Replay(after, log[seen - first :])


class Replay(Struct, frozen=True):
    """What a reader gets on coming (back): `start` is the cursor before `messages`; `gap` when some may be
    missing."""

    start: str
    messages: Sequence[ChatMessage]
    gap: bool = False


def _position(epoch: str, cursor: str) -> int | None:
    """Return how many messages of the epoch a cursor has behind it; None: it isn't of this epoch."""
    its, _, number = cursor.rpartition("-")
    return (
        int(number) if its == epoch and number.isascii() and number.isdigit() and len(number) < 19 else None
    )
