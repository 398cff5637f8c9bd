"""Rooms and their members."""

from __future__ import annotations

from msgspec import field

from chatlab.hub.rate import Bucket


class Member(Bucket, kw_only=True):
    """One connection: its room, sender, client address and token bucket.

    `behind` is the cursor up to which it has got its replay, while there is more; `posted` are the client ids
    of its messages that the replay has yet to reach. Its messages are refused until `refused_until`.
    """

    room: Room
    sender: str
    address: str | None = None
    behind: str | None = None
    posted: list[str] = field(default_factory=list)
    refused_until: float = 0.0


class Room:
    """The members of a room. Those in `behind` get no new frames until their replay has ended."""

    __slots__ = ("behind", "members", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.members: dict[int, Member] = {}
        self.behind: set[int] = set()

    def listeners(self) -> tuple[int, ...]:
        """Return the members that get new frames at once."""
        if not self.behind:
            return tuple(self.members)
        return tuple(number for number in self.members if number not in self.behind)

    def remove(self, member: int) -> None:
        """Remove a member."""
        del self.members[member]
        self.behind.discard(member)
