"""A reader's position in the rooms' logs: the cursor to resume at, and the ids already seen."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b

from chatlab.conversation.places import Place

MOST_LOGS = 50
"""Maximum number of logs to remember; the oldest are dropped."""
SEEN = 10_000
"""Number of message ids remembered for the current log, to drop duplicates."""
SEEN_ELSEWHERE = 1_000
"""Number of message ids remembered for every other log."""
LONGEST_CURSOR = 4_096
"""Characters beyond which a cursor is not kept."""


class Log:
    """One room's log. `number` identifies it; `visited` is set at the first connection to it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.visited = False
        self.cursor: str | None = None
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def set_cursor(self, cursor: str | None) -> None:
        """Set the cursor to resume after. None changes nothing; one that is too long clears it."""
        if cursor is not None:
            self.cursor = cursor if len(cursor) <= LONGEST_CURSOR else None

    def mark_seen(self, id: str) -> bool:
        """Record a message by the server's id; return whether it is new. Without an id, it always is."""
        if not id:
            return True
        digest = blake2b(
            id.encode(errors="surrogatepass"), digest_size=16
        ).digest()  # the same size for any id
        if digest in self._seen:
            return False
        self._seen[digest] = None
        self.trim(SEEN)
        return True

    def trim(self, most: int) -> None:
        """Drop the oldest ids beyond `most`."""
        while len(self._seen) > most:
            self._seen.popitem(last=False)


class Logs:
    """The logs that were read, by server, room and dialect."""

    def __init__(self) -> None:
        self._logs: OrderedDict[tuple[str, str, str], Log] = OrderedDict()
        self._made = 0

    def at(self, place: Place) -> Log:
        """Return the log of a place, which becomes the current one."""
        for other in self._logs.values():
            other.trim(SEEN_ELSEWHERE)
        log = self._logs.pop(place.log, None)
        if log is None:
            self._made += 1
            log = Log(self._made)
        self._logs[place.log] = log
        if len(self._logs) > MOST_LOGS:
            self._logs.popitem(last=False)
        return log
