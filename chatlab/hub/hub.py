"""The hub itself: the outputs for each frame and each request."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from http import HTTPStatus
from typing import assert_never

from chatlab.dialects.base import Ack, Nack, ServerPing, ServerPong, Unreadable, Welcome
from chatlab.dialects.chatlab import (
    PAGE_LIMIT,
    ClientTyping,
    decode_client_frame,
    encode_frame,
    encode_message,
    refusal_of,
)
from chatlab.dialects.serving import RETRY_AFTER
from chatlab.hub.log import Log, LogError, LogLimits, Page
from chatlab.hub.outputs import Behind, ErrorFrame, Expel, News, Output, PresenceFrame, Reply, TypingFrame
from chatlab.hub.rate import Bucket, Buckets
from chatlab.hub.room import Member, Room
from chatlab.messages import ChatMessage, OutgoingMessage
from chatlab.settings import Count, PositiveDuration, Size


class HubConfig(LogLimits, frozen=True):
    """The limits of a server, in addition to those of its log.

    A connection may send `rate` frames or posts a second, with bursts of `burst`; all connections of one
    address together may send `address_factor` times that. A replay pauses after each `replay_size` bytes of
    content until its reader has read them. Rooms with more than `presence_limit` members don't report who
    joins and leaves.
    """

    rate: PositiveDuration = 500.0
    burst: Size = 1000
    address_factor: Size = 20
    replay_size: Size = 256 * 1024
    presence_limit: Count = 50
    max_name_length: Size = 200


class Hub:
    """All rooms of a server, over its log. `utc` gives the time stamps of messages; `now` of its methods is
    in seconds on any steady clock."""

    def __init__(self, config: HubConfig, log: Log, *, utc: Callable[[], datetime]) -> None:
        self.config = config
        self.log = log
        self._utc = utc
        self._rooms: dict[str, Room] = {}
        self._members: dict[int, Member] = {}
        factor = config.address_factor
        self._addresses = Buckets(factor * config.rate, factor * config.burst)

    @property
    def epoch(self) -> str:
        """The epoch of the log, which is part of message ids."""
        return self.log.epoch

    def refusal(self, room: str, sender: str) -> str | None:
        """Return why that room or that sender's name is invalid, or None."""
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

    # Members

    def join(
        self,
        member: int,
        room: str,
        sender: str,
        *,
        after: str | None = None,
        history: int | None = None,
        address: str | None = None,
    ) -> list[Output]:
        """Add a connection to a room, and begin its replay: after its cursor, or with the latest `history`
        messages (None: all). Its frames count for its `address`, if it has one.

        Errors: `LogError`; then it isn't added.
        """
        page = self._replay(room, after, history)
        the_room = self._rooms.get(room)
        if the_room is None:
            the_room = self._rooms[room] = self._new_room(room)
        others = the_room.listeners()
        entry = Member(room=the_room, sender=sender, address=address)
        the_room.members[member] = self._members[member] = entry
        out: list[Output] = [Reply((member,), _welcome(page.start, page.gap))]
        self._pass_on(member, entry, page, out)
        if others and self._size(the_room) <= self.config.presence_limit:
            out.append(Reply(others, encode_frame(PresenceFrame("joined", sender))))
        return out

    def go_on(self, member: int) -> list[Output]:
        """Continue a member's replay, as it has read the last page.

        Errors: `LogError`.
        """
        entry = self._members.get(member)
        if entry is None or entry.behind is None:
            return []
        page = self._replay(entry.room.name, entry.behind, None)
        out: list[Output] = []
        if page.gap:  # The replay may skip the member's own messages, whose echoes would be their acks.
            out.append(Reply((member,), _welcome(page.start, True)))
            out.extend(Reply((member,), encode_frame(Ack(client_id))) for client_id in entry.posted)
            entry.posted.clear()
        self._pass_on(member, entry, page, out)
        return out

    def _replay(self, room: str, after: str | None, history: int | None) -> Page:
        size = self.config.replay_size
        if after is None:
            return self.log.latest(room, history, size=size)
        return self.log.after(room, after, size=size)

    def _pass_on(self, member: int, entry: Member, page: Page, out: list[Output]) -> None:
        """Send a page of a replay; after the last page, send the members' names."""
        the_room = entry.room
        out.extend(Reply((member,), encode_message(message)) for message in page.messages)
        if page.more:
            entry.behind = page.end
            the_room.behind.add(member)
            out.append(Behind(member))
            return
        entry.behind = None
        entry.posted.clear()
        the_room.behind.discard(member)
        if self._size(the_room) <= self.config.presence_limit:
            people = self._people(the_room)
            out.append(Reply((member,), encode_frame(PresenceFrame("here", people=people))))

    def _new_room(self, name: str) -> Room:
        return Room(name)

    def _size(self, room: Room) -> int:
        """Return the number of connections to a room."""
        return len(room.members)

    def _people(self, room: Room) -> list[str]:
        """Return the sender of each connection to a room."""
        return [member.sender for member in room.members.values()]

    def dissolve(self) -> None:
        """Remove all members, without notifying anyone."""
        for room in self._rooms.values():
            room.members.clear()
        self._rooms.clear()
        self._members.clear()

    def leave(self, member: int) -> list[Output]:
        """Remove a connection, unless it has been removed already."""
        entry = self._members.pop(member, None)
        if entry is None:
            return []
        the_room = entry.room
        crowded = self._size(the_room) > self.config.presence_limit
        the_room.remove(member)
        if not the_room.members:
            del self._rooms[the_room.name]
        others = () if crowded else the_room.listeners()
        return [Reply(others, encode_frame(PresenceFrame("left", entry.sender)))] if others else []

    def receive(self, member: int, frame: str | bytes, now: float) -> list[Output]:
        """Process a member's frame. A frame of a connection that isn't a member is ignored."""
        entry = self._members.get(member)
        if entry is None:
            return []
        if reason := self._excess(entry, 1, now):
            return [Expel(member, 1013, reason)]
        match decode_client_frame(frame):
            case OutgoingMessage() as message:
                return self._take_message(member, entry, message, now)
            case ServerPing(id):
                return [Reply((member,), encode_frame(ServerPong(id)))]
            case ClientTyping():
                return self._tell_typing(member, entry)
            case Unreadable(reason=reason):
                return [Reply((member,), encode_frame(refusal_of(frame, reason) or ErrorFrame(reason)))]
            case ServerPong():
                return []
            case unknown:
                assert_never(unknown)

    def _tell_typing(self, member: int, entry: Member) -> list[Output]:
        others = tuple(other for other in entry.room.listeners() if other != member)
        return [Reply(others, encode_frame(TypingFrame(entry.sender)))] if others else []

    def charge(self, member: int, count: int, now: float) -> list[Output]:
        """Count what a member has sent in addition to its frames: fragments, Pings and Pongs of a
        WebSocket."""
        entry = self._members.get(member)
        reason = entry and self._excess(entry, count, now)
        return [Expel(member, 1013, reason)] if reason else []

    def may_burst(self, member: int, at: float) -> bool:
        """Return whether a connection may send a whole burst at a time, if it sends nothing before."""
        entry = self._members.get(member)
        return entry is not None and entry.full(self.config.rate, self.config.burst, at)

    def _excess(self, entry: Member, count: int, now: float) -> str | None:
        """Count frames of a member; return the reason to expel it if they are too many, or None."""
        config = self.config
        if entry.wait(config.rate, config.burst, now, count):
            return f"more than {config.rate:g} frames a second; slow down and come back"
        if entry.address is not None:
            wait, shared = self._addresses.wait(entry.address, now, count)
            if wait:
                most = self._addresses.rate
                return f"more than {most:g} frames a second from one address; slow down and come back"
            shared.take(count)
        entry.take(count)
        return None

    def _take_message(self, member: int, entry: Member, message: OutgoingMessage, now: float) -> list[Output]:
        if now < entry.refused_until:  # Messages sent after a refused one mustn't overtake it.
            return [Reply((member,), encode_frame(Nack(message.client_id, 503, NOT_STORED)))]
        posted = self.publish(entry.room.name, entry.sender, message)
        if isinstance(posted, Nack):
            if posted.status == HTTPStatus.SERVICE_UNAVAILABLE:
                entry.refused_until = now + RETRY_AFTER
            return [Reply((member,), encode_frame(posted))]
        _, outputs = posted
        if outputs and entry.behind is not None:
            entry.posted.append(message.client_id)
        return outputs or [Reply((member,), encode_frame(Ack(message.client_id)))]

    # For clients that aren't members

    def publish(self, room: str, sender: str, message: OutgoingMessage) -> tuple[str, list[Output]] | Nack:
        """Append a message to the log; return its id there, and no outputs if it is there already.

        `Nack`: the sender has posted other content with that client id, or the log can't be written.
        """
        try:
            known, new = self.log.append(room, sender, message, self._utc())
        except LogError:
            return Nack(message.client_id, 503, NOT_STORED)
        if not new:
            repeats = message.text == known.text and message.data == known.data
            return (known.id, []) if repeats else Nack(message.client_id, 422, OTHER_CONTENT)
        return known.id, self._pass_around(room, known)

    def _pass_around(self, room: str, message: ChatMessage) -> list[Output]:
        """Send a message that is new in the log to a room."""
        the_room = self._rooms.get(room)
        others = the_room.listeners() if the_room else ()
        news = News(room)
        return [news, Reply(others, encode_message(message))] if others else [news]

    def tell_typing(self, room: str, sender: str) -> list[Output]:
        """Tell the others in a room that `sender` is typing."""
        the_room = self._rooms.get(room)
        if the_room is None:
            return []
        members = the_room.members
        others = tuple(number for number in the_room.listeners() if members[number].sender != sender)
        return [Reply(others, encode_frame(TypingFrame(sender)))] if others else []

    def read(self, room: str, after: str | None, history: int | None, limit: int | None = None) -> Page:
        """Return the first page of the messages after a cursor, or of the latest `history` messages (None:
        all).

        It has at most `limit` messages, and no more than a page may have. Errors: `LogError`.
        """
        most = PAGE_LIMIT if limit is None else min(limit, PAGE_LIMIT)
        if after is None:
            return self.log.latest(room, history, most)
        return self.log.after(room, after, most)

    def delay(self, bucket: Bucket | None, address: str | None, now: float) -> float:
        """Count a request from a connection with its own bucket, and from an address; either may be None.
        Return the seconds until it is allowed, 0 if it is now."""
        wait = bucket.wait(self.config.rate, self.config.burst, now) if bucket else 0.0
        shared = None
        if address is not None:
            shared_wait, shared = self._addresses.wait(address, now)
            wait = max(wait, shared_wait)
        if not wait:
            for one in (bucket, shared):
                if one:
                    one.take()
        return wait


OTHER_CONTENT = "another message of this sender has that client_id; give each its own"
NOT_STORED = "the server can't write its history"


@lru_cache
def _welcome(cursor: str, resync: bool) -> str:
    return encode_frame(Welcome(cursor=cursor, resync=resync))
