"""The hub itself: what comes of each frame and each request."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import lru_cache
from typing import assert_never

from chatlab.dialects.base import Ack, Nack, ServerPing, ServerPong, Unreadable, Welcome
from chatlab.dialects.chatlab import (
    ClientTyping,
    decode_client_frame,
    encode_frame,
    encode_message,
    refusal_of,
)
from chatlab.hub.outputs import ErrorFrame, Expel, Keep, Output, PresenceFrame, Reply, TypingFrame
from chatlab.hub.rate import Buckets
from chatlab.hub.room import Member, Replay, Room
from chatlab.messages import ChatMessage, OutgoingMessage
from chatlab.settings import Count, PositiveDuration, Settings, Size


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


class Hub:
    """All rooms of a server. `utc` stamps messages; `now` of its methods is seconds on any steady clock."""

    def __init__(self, config: HubConfig, *, epoch: str, utc: Callable[[], datetime]) -> None:
        self.config = config
        self.epoch = epoch
        self._utc = utc
        self._rooms: dict[str, Room] = {}
        self._members: dict[int, Member] = {}
        self._buckets = Buckets(config.rate, config.burst)

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
        replay = there.replay(self.epoch, after, history)
        out: list[Output] = [Reply((member,), _welcome(replay.start, replay.gap))]
        out.extend(Reply((member,), encode_message(message)) for message in replay.messages)
        entry = Member(float(self.config.burst), now, there, sender)
        there.members[member] = self._members[member] = entry
        if len(there.members) <= self.config.presence_limit:
            people = [other.sender for other in there.members.values()]
            out.append(Reply((member,), encode_frame(PresenceFrame("here", people=people))))
            if len(people) > 1:
                *others, _ = there.members
                out.append(Reply(tuple(others), encode_frame(PresenceFrame("joined", sender))))
        return out

    def dissolve(self) -> None:
        """Let all members go without a word, and forget all rooms."""
        for room in self._rooms.values():
            room.members.clear()
        self._rooms.clear()
        self._members.clear()

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
        if entry.spend(self.config.rate, self.config.burst, now):
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
                return [Reply((member,), encode_frame(refusal_of(frame, reason) or ErrorFrame(reason)))]
            case ServerPong():
                return []
            case unknown:
                assert_never(unknown)

    def _take_message(self, member: int, entry: Member, message: OutgoingMessage) -> list[Output]:
        posted = self.post(entry.room, entry.sender, message)
        if posted is None:
            known = entry.room.keys[entry.sender, message.client_id]
            answer = Ack(message.client_id) if _repeats(message, known) else _refusal(message)
            return [Reply((member,), encode_frame(answer))]
        return _published(entry.room, posted)

    # Who is no member

    def publish(self, room: str, sender: str, message: OutgoingMessage) -> tuple[str, list[Output]] | Nack:
        """Take a message; return its id in the log, and no outputs when it is there already.

        `Nack`: the sender has posted something else with that client id.
        """
        there = self.room(room)
        posted = self.post(there, sender, message)
        if posted is None:
            known = there.keys[sender, message.client_id]
            return (known.id, []) if _repeats(message, known) else _refusal(message)
        return posted.id, _published(there, posted)

    def tell_typing(self, room: str, sender: str) -> list[Output]:
        """Tell the others in a room that somebody types."""
        there = self._rooms.get(room)
        members = there.members if there else {}
        others = tuple(number for number, member in members.items() if member.sender != sender)
        return [Reply(others, encode_frame(TypingFrame(sender)))] if others else []

    def read(self, room: str, after: str | None, history: int | None) -> Replay:
        """Return what a reader is to get; a room that isn't there is empty, and isn't made."""
        there = self._rooms.get(room) or Room(room)
        return there.replay(self.epoch, after, history)

    def delay(self, room: str, sender: str, now: float) -> float:
        """Count a request of a sender to a room; return the seconds until it may be made, 0 for at once."""
        return self._buckets.spend(room, sender, now)

    # Logs

    def post(self, room: Room, sender: str, message: OutgoingMessage) -> ChatMessage | None:
        """Add a message to the room's log and return it; None: its sender has used its client id before."""
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


OTHER_CONTENT = "another message of this sender has that client_id; give each its own"


def _repeats(message: OutgoingMessage, known: ChatMessage) -> bool:
    """Whether a message comes again, and not another one by its id."""
    return message.text == known.text and message.data == known.data


def _refusal(message: OutgoingMessage) -> Nack:
    return Nack(message.client_id, 422, OTHER_CONTENT)


def _published(room: Room, message: ChatMessage) -> list[Output]:
    keep = Keep(room.name, message)
    return [keep, Reply(tuple(room.members), encode_message(message))] if room.members else [keep]


@lru_cache
def _welcome(cursor: str, resync: bool) -> str:
    return encode_frame(Welcome(cursor=cursor, resync=resync))
