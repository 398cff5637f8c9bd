"""Where a reader stands in a room: what it has seen, and what to ask for after a break."""

from __future__ import annotations

REMEMBERED_IDS = 10_000
"""So many of the latest ids are remembered to drop duplicates; an older one that comes again is shown
again."""


class Cursor:
    """Remembers the id of the last message received, and enough ids to drop a message that comes twice.

    Ids are opaque strings: never compared but for equality. It may begin after a message received elsewhere.
    """

    __slots__ = ("_seen", "last_id")

    def __init__(self, last_id: str | None = None) -> None:
        self.last_id = last_id
        self._seen: dict[str, None] = {}

    def advance(self, id: str) -> bool:
        """Note a received message; return whether it is new. A message without an id is always new."""
        if not id:
            return True
        seen = self._seen
        if id in seen:
            return False
        seen[id] = None
        if len(seen) > REMEMBERED_IDS:
            del seen[next(iter(seen))]
        self.last_id = id
        return True

    def move(self, id: str | None) -> None:
        """Stand where the server says; what was seen stays seen."""
        self.last_id = id
