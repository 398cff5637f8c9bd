"""Rooms' logs as a reader knows them: the place to resume at, and what was seen."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b

from chatlab.conversation.places import Place

MOST_LOGS = 50
"""Logs that are remembered: the latest."""
SEEN = 10_000
"""Ids of the latest messages of a log that are remembered to drop duplicates."""
SEEN_ELSEWHERE = 1_000
"""Ids of a log that isn't read now."""
LONGEST_CURSOR = 4_096
"""Characters of a cursor that is kept."""


class Log:
    """One room's log. `number` tells it from others here; `met` once it was connected to."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.met = False
        self.cursor: str | None = None
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def move(self, cursor: str | None) -> None:
        """Resume after this cursor the next time. None, or one that is too long, says nothing."""
        if cursor is not None:
            self.cursor = cursor if len(cursor) <= LONGEST_CURSOR else None

    def first(self, id: str) -> bool:
        """Note a message by the server's id, and return whether it is new; one without an id always is."""
        if not id:
            return True
        digest = blake2b(id.encode(errors="surrogatepass"), digest_size=16).digest()  # of any id's length
        if digest in self._seen:
            return False
        self._seen[digest] = None
        self.trim(SEEN)
        return True

    def trim(self, most: int) -> None:
        """Forget the oldest ids beyond `most`."""
        while len(self._seen) > most:
            self._seen.popitem(last=False)


class Logs:
    """The logs that were read, each by the server, room and dialect of its place."""

    def __init__(self) -> None:
        self._logs: OrderedDict[tuple[str, str, str], Log] = OrderedDict()
        self._made = 0

    def at(self, place: Place) -> Log:
        """Return the log of a place, which is read from now on."""
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
