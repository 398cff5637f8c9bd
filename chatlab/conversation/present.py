"""The people in the room."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from chatlab.conversation.typists import MAX_NAME_LENGTH

MAX_PEOPLE = 1_000
"""Maximum number of names that are kept; further people are left out."""


class Present:
    """The people in the room, as the server announces them: who is here, and who joins and leaves.

    Somebody with several connections is there until the last one has ended. Without a list from the server
    the people are unknown.
    """

    def __init__(self) -> None:
        self._connections: Counter[str] | None = None

    def here(self, names: Iterable[object]) -> None:
        """Replace all by the server's list, with a name for each connection."""
        self._connections = Counter()
        for name in names:
            self.joined(str(name))

    def joined(self, name: str) -> None:
        """Add a connection."""
        known, name = self._connections, name[:MAX_NAME_LENGTH]
        if known is not None and (name in known or len(known) < MAX_PEOPLE):
            known[name] += 1

    def left(self, name: str) -> None:
        """Remove a connection."""
        known, name = self._connections, name[:MAX_NAME_LENGTH]
        if known is not None and name in known:
            known[name] -= 1
            if not known[name]:
                del known[name]

    def clear(self) -> None:
        """Forget all, since the connection is lost."""
        self._connections = None

    def names(self) -> tuple[str, ...] | None:
        """Return the names in alphabetical order; None if they are unknown."""
        return None if self._connections is None else tuple(sorted(self._connections))
