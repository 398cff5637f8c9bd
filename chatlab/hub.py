"""The server's mind: rooms, their logs, cursors and idempotency. Pure, so that the embedded server and the
simulated one share it.

A member is one connection, numbered by the server's driver; who only posts, or reads on request, needn't be
one. Each call returns outputs, which the driver carries out in order: what is to be kept is kept before
anybody hears of it.

A message's id is `epoch-n`: the n-th message of its room in that epoch. An epoch is one life of the log: a
server that has lost its log starts another, and can so tell that a reader's cursor is from a log it no
longer has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Literal, assert_never

from msgspec import Struct

from chatlab.dialects.base import Ack, Nack, ServerPing, ServerPong, Unreadable, Welcome
from chatlab.dialects.chatlab import (
    ClientTyping,
    decode_client_frame,
    encode_frame,
    encode_message,
    refused_client_id,
)
from chatlab.messages import ChatMessage, OutgoingMessage
from chatlab.settings import Count, PositiveDuration, Settings, Size

# Outputs: what the server's driver must now do, in order.


class Keep(Struct, frozen=True, gc=False):
    """Write the message to the room's history, before anything that follows; then whoever waits for the
    room's next message can read it."""

    room: str
    message: ChatMessage


class Reply(Struct, frozen=True, gc=False):
    """Send a frame to these members."""

    members: Sequence[int]
    frame: str | bytes


class Expel(Struct, frozen=True, gc=False):
    """Close a member's connection."""

    member: int
    code: int
    reason: str


Output = Keep | Reply | Expel


class PresenceFrame(Struct, frozen=True, omit_defaults=True, tag_field="type", tag="presence"):
    """Somebody `joined` or `left`; or, to a newcomer, the people who are `here`."""

    state: Literal["joined", "left", "here"]
    sender: str = ""
    people: list[str] = []


class TypingFrame(Struct, frozen=True, tag_field="type", tag="typing"):
    """Somebody types."""

    sender: str


class ErrorFrame(Struct, frozen=True, tag_field="type", tag="error"):
    """What a client sent makes no sense."""

    reason: str


class HubConfig(Settings, frozen=True):
    """The limits of a server.

    `retain` messages a room are kept for readers who come back (and their ids for dropping duplicates). A
    member may send `rate` frames a second, with bursts of `burst`; so may a sender who is no member, to each
    room. Rooms of more than `presence_limit` members don't tell who comes and goes.
    """

    retain: Size = 10_000
    rate: PositiveDuration = 500.0
    burst: Size = 1000
    presence_limit: Count = 50
    max_name_length: Size = 200


class Bucket(Struct):
    """A token bucket: `tokens` were in it at `filled_at`."""

    tokens: float
    filled_at: float


class Member(Bucket):
    """One connection: whose, where, and its token bucket."""

    room: Room
    sender: str


class Room:
    """A room's members, and the end of its log."""

    __slots__ = ("count", "keys", "log", "members", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0
        self.log: list[ChatMessage] = []
        self.keys: dict[tuple[str, str], str] = {}
        self.members: dict[int, Member] = {}

    def append(self, message: ChatMessage, retain: int) -> None:
        """Add a message as the latest, and forget what is beyond `retain`, some at a time."""
        self.count += 1
        self.log.append(message)
        if message.client_id:
            self.keys[message.sender, message.client_id] = message.id
        if len(self.log) > retain + retain // 4:
            for old in self.log[:-retain]:
                self.keys.pop((old.sender, old.client_id), None)
            del self.log[:-retain]


class Replay(Struct, frozen=True):
    """What a reader gets on coming (back): `start` is the cursor before `messages`; `gap` when some may be
    missing."""

    start: str
    messages: Sequence[ChatMessage]
    gap: bool = False


class Hub:
    """All rooms of a server. `utc` stamps messages; `now` of its methods is seconds on any steady clock."""

    def __init__(self, config: HubConfig, *, epoch: str, utc: Callable[[], datetime]) -> None:
        self.config = config
        self.epoch = epoch
        self._utc = utc
        self._rooms: dict[str, Room] = {}
        self._members: dict[int, Member] = {}
        self._buckets: dict[tuple[str, str], Bucket] = {}
        self._most_buckets = 64

    def refusal(self, room: str, sender: str) -> str | None:
        """Return why nobody can join that room by that name, or None."""
        for what, name in (("room", room), ("sender", sender)):
            if (
                not 1 <= len(name) <= self.config.max_name_length
                or not name.isprintable()
                or name != name.strip()
            ):
                return (
                    f"the {what} must have 1 to {self.config.max_name_length} printable characters, "
                    "without spaces at its ends"
                )
        return None

    def room(self, name: str) -> Room:
        """Return the room of that name, which is made when first asked for."""
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = Room(name)
        return room

    def restore(self, room: str, messages: Iterable[ChatMessage], count: int) -> None:
        """Put back the end of a room's log, after which `count` messages were posted in this epoch."""
        there = self.room(room)
        for message in messages:
            there.append(message, self.config.retain)
        there.count = count

    # Members

    def join(
        self,
        member: int,
        room: str,
        sender: str,
        now: float,
        *,
        after: str | None = None,
        history: int | None = None,
    ) -> list[Output]:
        """Let a connection in, and bring it up to date: after its cursor, or with the latest `history`
        messages (None: all)."""
        there = self.room(room)
        replay = self.replay(there, after, history)
        out: list[Output] = [Reply((member,), encode_frame(Welcome(cursor=replay.start, resync=replay.gap)))]
        out.extend(Reply((member,), encode_message(message)) for message in replay.messages)
        entry = Member(float(self.config.burst), now, there, sender)
        others = tuple(there.members)
        there.members[member] = self._members[member] = entry
        if len(there.members) <= self.config.presence_limit:
            people = [other.sender for other in there.members.values()]
            out.append(Reply((member,), encode_frame(PresenceFrame("here", people=people))))
            if others:
                out.append(Reply(others, encode_frame(PresenceFrame("joined", sender))))
        return out

    def leave(self, member: int) -> list[Output]:
        """Let a connection go. One that has gone already does no harm."""
        entry = self._members.pop(member, None)
        if entry is None:
            return []
        there = entry.room
        crowded = len(there.members) > self.config.presence_limit
        del there.members[member]
        if crowded or not there.members:
            return []
        return [Reply(tuple(there.members), encode_frame(PresenceFrame("left", entry.sender)))]

    def receive(self, member: int, frame: str | bytes, now: float) -> list[Output]:
        """Take a member's frame. One from somebody who isn't a member does nothing."""
        entry = self._members.get(member)
        if entry is None:
            return []
        if self._spend(entry, now):
            reason = f"more than {self.config.rate:g} frames a second; slow down and come back"
            return [Expel(member, 1013, reason)]
        match decode_client_frame(frame):
            case OutgoingMessage() as message:
                return self._take_message(member, entry, message)
            case ServerPing(id):
                return [Reply((member,), encode_frame(ServerPong(id)))]
            case ClientTyping():
                others = tuple(other for other in entry.room.members if other != member)
                return [Reply(others, encode_frame(TypingFrame(entry.sender)))] if others else []
            case Unreadable(reason=reason):
                client_id = refused_client_id(frame)
                refusal = ErrorFrame(reason) if client_id is None else Nack(client_id, 422, reason)
                return [Reply((member,), encode_frame(refusal))]
            case ServerPong():
                return []
            case unknown:
                assert_never(unknown)

    def _take_message(self, member: int, entry: Member, message: OutgoingMessage) -> list[Output]:
        posted = self.post(entry.room, entry.sender, message)
        if posted is None:
            return [Reply((member,), encode_frame(Ack(message.client_id)))]
        return _published(entry.room, posted)

    # Who is no member

    def publish(self, room: str, sender: str, message: OutgoingMessage) -> tuple[str, list[Output]]:
        """Take a message; return its id in the log, and no outputs when it is there already."""
        there = self.room(room)
        posted = self.post(there, sender, message)
        if posted is None:
            return there.keys[sender, message.client_id], []
        return posted.id, _published(there, posted)

    def tell_typing(self, room: str, sender: str) -> list[Output]:
        """Tell the others in a room that somebody types."""
        there = self._rooms.get(room)
        members = there.members if there else {}
        others = tuple(number for number, member in members.items() if member.sender != sender)
        return [Reply(others, encode_frame(TypingFrame(sender)))] if others else []

    def read(self, room: str, after: str | None, history: int | None) -> Replay:
        """Return what a reader is to get, as `replay`; a room that isn't there is empty, and isn't made."""
        return self.replay(self._rooms.get(room) or Room(room), after, history)

    def delay(self, room: str, sender: str, now: float) -> float:
        """Count a request of a sender to a room; return the seconds until it may be made, 0 for at once."""
        bucket = self._buckets.get((room, sender))
        if bucket is None:
            if len(self._buckets) >= self._most_buckets:
                self._forget_full_buckets(now)
            bucket = self._buckets[room, sender] = Bucket(float(self.config.burst), now)
        return self._spend(bucket, now)

    def _forget_full_buckets(self, now: float) -> None:
        """Drop the buckets that are full by now, as new ones are; next when twice as many are left again."""
        self._buckets = {
            key: bucket
            for key, bucket in self._buckets.items()
            if bucket.tokens + (now - bucket.filled_at) * self.config.rate < self.config.burst
        }
        self._most_buckets = max(64, 2 * len(self._buckets))

    def _spend(self, bucket: Bucket, now: float) -> float:
        """Take one token from a bucket and return 0; or the seconds until there is one."""
        earned = max(0.0, now - bucket.filled_at) * self.config.rate
        tokens = min(float(self.config.burst), bucket.tokens + earned)
        bucket.filled_at = now
        bucket.tokens = tokens - 1 if tokens >= 1 else tokens
        return max(0.0, 1 - tokens) / self.config.rate

    # Logs

    def post(self, room: Room, sender: str, message: OutgoingMessage) -> ChatMessage | None:
        """Add a message to the room's log and return it; None: it is there already."""
        if message.client_id and (sender, message.client_id) in room.keys:
            return None
        posted = ChatMessage(
            id=f"{self.epoch}-{room.count + 1}",
            sender=sender,
            text=message.text,
            client_id=message.client_id,
            posted_at=self._utc(),
            data=message.data,
        )
        room.append(posted, self.config.retain)
        return posted

    def replay(self, room: Room, after: str | None, history: int | None) -> Replay:
        """Return what a reader is to get: what came after its cursor, or the latest `history` messages
        (None: all)."""
        log = room.log
        first = room.count - len(log)
        if after is None:
            skip = max(0, len(log) - history) if history is not None else 0
            return Replay(f"{self.epoch}-{first + skip}", log[skip:])
        seen = self._position(after)
        if seen is None or not first <= seen <= room.count:
            return Replay(f"{self.epoch}-{first}", log[:], gap=True)
        return Replay(after, log[seen - first :])

    def _position(self, cursor: str) -> int | None:
        """Return how many messages of this epoch a cursor has behind it; None: it isn't of this epoch."""
        epoch, _, number = cursor.rpartition("-")
        return (
            int(number)
            if epoch == self.epoch and number.isascii() and number.isdigit() and len(number) < 19
            else None
        )


def _published(room: Room, message: ChatMessage) -> list[Output]:
    keep = Keep(room.name, message)
    return [keep, Reply(tuple(room.members), encode_message(message))] if room.members else [keep]
