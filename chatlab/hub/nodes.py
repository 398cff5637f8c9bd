"""One node's part of a hub: several nodes share a log, and each has some of the members.

The log gives the order. A room's members at a node have got the log's messages up to the room's cursor, and
get those that other nodes have posted by `catch_up`, before any later one. Nodes tell each other by `Notice`s
who joins, leaves and types. Rates are counted at each node on its own.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import chain
from typing import Literal, NamedTuple, final

from msgspec import Struct

from chatlab.dialects.base import Welcome
from chatlab.dialects.chatlab import encode_frame, encode_message
from chatlab.hub.hub import Hub, HubConfig
from chatlab.hub.log import Log, LogError, Page
from chatlab.hub.outputs import News, Output, PresenceFrame, Reply
from chatlab.hub.room import Member, Room
from chatlab.messages import ChatMessage


class Person(NamedTuple):
    """A connection at another node; it may have several of a sender in a room."""

    node: str
    room: str
    sender: str


@final
class Notice(Struct, frozen=True):
    """A person has joined a room at a node, has left it, or is typing."""

    kind: Literal["joined", "left", "typing"]
    room: str
    sender: str
    node: str = ""


class Report(NamedTuple):
    """The changes at other nodes since the last report: rooms with new messages, and notices in their order.

    `people` are all connections that the log has of any node, this one included, if it is unknown what has
    changed: then any room may have new messages, and there are no notices.
    """

    rooms: Sequence[str] = ()
    notices: Sequence[Notice] = ()
    people: Sequence[Person] | None = None


class SharedLog(Log):
    """A log that several nodes share, each by an object of its own, and their notices.

    `csrf_secret` is the same at all of them. `lost`: every call fails until `reconnect` succeeds.
    """

    node: str
    csrf_secret: bytes
    lost: bool = False

    @abstractmethod
    def reconnect(self) -> None:
        """Try to reach a lost log again. It may take seconds, so it is called on another thread."""

    @abstractmethod
    def tell(self, notices: Sequence[Notice]) -> None:
        """Tell the other nodes; keep who is here.

        Errors: `LogError`; then none of them has been told.
        """

    @abstractmethod
    def report(self) -> Report:
        """Return the changes at other nodes since the last call; the first one returns all people.

        Errors: `LogError`.
        """

    @abstractmethod
    def close(self) -> None:
        """End this node's part in it."""

    @abstractmethod
    def bury(self) -> None:
        """Tell that the people of nodes that have died have left.

        Errors: `LogError`.
        """


class NodeRoom(Room):
    """A room whose members at this node have got the messages up to `cursor`, unless they are behind."""

    __slots__ = ("cursor",)

    def __init__(self, name: str, cursor: str) -> None:
        super().__init__(name)
        self.cursor = cursor


class NodeHub(Hub):
    """The hub of one node. `notices` are those that the other nodes have yet to be told."""

    log: SharedLog

    def __init__(self, config: HubConfig, log: SharedLog, *, utc: Callable[[], datetime]) -> None:
        super().__init__(config, log, utc=utc)
        self.notices: list[Notice] = []
        self._elsewhere: dict[str, Counter[Person]] = {}
        self._late: set[str] = set()

    # Members of this node

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
        try:
            out = super().join(member, room, sender, after=after, history=history, address=address)
        except LogError:
            super().leave(member)
            raise
        self.notices.append(Notice("joined", room, sender))
        return out

    def leave(self, member: int) -> list[Output]:
        entry = self._members.get(member)
        if entry is not None:
            self.notices.append(Notice("left", entry.room.name, entry.sender))
        return super().leave(member)

    def _tell_typing(self, member: int, entry: Member) -> list[Output]:
        self.notices.append(Notice("typing", entry.room.name, entry.sender))
        return super()._tell_typing(member, entry)

    def tell_typing(self, room: str, sender: str) -> list[Output]:
        self.notices.append(Notice("typing", room, sender))
        return super().tell_typing(room, sender)

    # Messages

    def _new_room(self, name: str) -> Room:
        return NodeRoom(name, self.log.latest(name, 0).start)

    def _pass_on(self, member: int, entry: Member, page: Page, out: list[Output]) -> None:
        """Send a page of a replay. Before the replay ends, the room gets to the log's end, and so does the
        member; if that fails, the member remains behind."""
        the_room = entry.room
        if not page.more and isinstance(the_room, NodeRoom):
            the_room.behind.add(member)
            out.extend(self.catch_up(the_room.name))
            missing = self._number(the_room.cursor) - self._number(page.end)
            if missing > 0:
                try:
                    rest = self.log.after(the_room.name, page.end, missing)
                    page = Page(page.start, [*page.messages, *rest.messages], len(rest.messages) < missing)
                except LogError:
                    page = Page(page.start, page.messages, more=True)
        super()._pass_on(member, entry, page, out)

    def _number(self, cursor: str) -> int:
        number = self.log.position(cursor)
        assert number is not None
        return number

    def _pass_around(self, room: str, message: ChatMessage) -> list[Output]:
        the_room = self._rooms.get(room)
        if isinstance(the_room, NodeRoom):
            if self._number(message.id) - self._number(the_room.cursor) != 1:
                try:
                    return self.catch_up(room)
                except LogError:  # The message is stored, so its sender must not hear that it isn't.
                    self._late.add(room)
                    return [News(room)]
            the_room.cursor = message.id
        return super()._pass_around(room, message)

    def catch_up(self, room: str) -> list[Output]:
        """Send the members of a room what is new in the log, as far as it can be read.

        Errors: `LogError` if nothing can be read.
        """
        out: list[Output] = [News(room)]
        the_room = self._rooms.get(room)
        if not isinstance(the_room, NodeRoom):
            return out
        while True:
            try:
                page = self.log.after(room, the_room.cursor)
            except LogError:
                if len(out) == 1:
                    raise
                self._late.add(room)
                return out
            if members := the_room.listeners():
                if page.gap:
                    out.append(Reply(members, encode_frame(Welcome(cursor=page.start, resync=True))))
                out.extend(Reply(members, encode_message(message)) for message in page.messages)
            the_room.cursor = page.end
            if not page.more:
                return out

    # The other nodes

    def hear(self, report: Report, waiting: Iterable[str] = ()) -> list[Output]:
        """Process the changes at other nodes; clients that aren't members wait for news of the rooms
        `waiting`.

        If the log has other people of this node than are here, `notices` correct that. A room whose messages
        can't be read is tried again at the next call.
        """
        late, self._late = self._late, set()
        rooms = late.union(report.rooms)
        if report.people is not None:
            rooms.update(self._rooms, waiting)
        out: list[Output] = []
        for room in sorted(rooms):
            try:
                out += self.catch_up(room)
            except LogError:
                self._late.add(room)
        notices = report.notices
        if (people := report.people) is not None:
            node = self.log.node
            here = [Person(node, one.room.name, one.sender) for one in self._members.values()]
            self.notices = _changes([person for person in people if person.node == node], here)
            before = [person for room in self._elsewhere.values() for person in room.elements()]
            notices = _changes(before, [person for person in people if person.node != node])
        return [*out, *chain.from_iterable(map(self._notice, notices))]

    def _notice(self, notice: Notice) -> list[Output]:
        room, sender = notice.room, notice.sender
        person = Person(notice.node, room, sender)
        the_room = self._rooms.get(room)
        size = self._size(the_room) if the_room else 0
        if notice.kind == "typing":
            return super().tell_typing(room, sender)
        if notice.kind == "joined":
            self._elsewhere.setdefault(room, Counter())[person] += 1
            size += 1
        elif not self._remove(person):
            return []
        others = the_room.listeners() if the_room and size <= self.config.presence_limit else ()
        return [Reply(others, encode_frame(PresenceFrame(notice.kind, sender)))] if others else []

    def _remove(self, person: Person) -> bool:
        """Remove a connection of another node; return whether it was there."""
        people = self._elsewhere.get(person.room)
        if not people or not people[person]:
            return False
        people -= Counter([person])
        if not people:
            del self._elsewhere[person.room]
        return True

    def _size(self, room: Room) -> int:
        return super()._size(room) + self._elsewhere.get(room.name, Counter[Person]()).total()

    def _people(self, room: Room) -> list[str]:
        elsewhere = self._elsewhere.get(room.name, Counter[Person]())
        return [*super()._people(room), *(person.sender for person in elsewhere.elements())]


def _changes(before: Iterable[Person], now: Iterable[Person]) -> list[Notice]:
    """Return the notices that lead from some people to others."""
    was, is_now = Counter(before), Counter(now)
    left, joined = (was - is_now).elements(), (is_now - was).elements()
    return [
        *(Notice("left", person.room, person.sender, person.node) for person in left),
        *(Notice("joined", person.room, person.sender, person.node) for person in joined),
    ]
