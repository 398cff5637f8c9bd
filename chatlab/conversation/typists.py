"""The people who are typing."""

from __future__ import annotations

LASTS = 6.0
"""Seconds after which somebody who typed is thought to have stopped."""
MOST = 50
"""People who are known to type at most: the latest."""
LONGEST_NAME = 200
"""Characters of a name that are kept."""


class Typists:
    """The people who type, each until a message of theirs comes, they leave, or `LASTS` seconds are over."""

    def __init__(self) -> None:
        self._typed_at: dict[str, float] = {}

    def typed(self, name: str, now: float) -> None:
        """Note that somebody types."""
        self.stopped(name)
        self._typed_at[name[:LONGEST_NAME]] = now
        if len(self._typed_at) > MOST:
            del self._typed_at[next(iter(self._typed_at))]

    def stopped(self, name: str) -> None:
        """Note that somebody has sent the message, or has left."""
        self._typed_at.pop(name[:LONGEST_NAME], None)

    def clear(self) -> None:
        """Forget all: typing can't be known any more."""
        self._typed_at.clear()

    def names(self, now: float) -> tuple[str, ...]:
        """Return who types, the longest typing first."""
        for name in [name for name, at in self._typed_at.items() if at <= now - LASTS]:
            del self._typed_at[name]
        return tuple(self._typed_at)

    def lasts(self, now: float) -> float:
        """Return the seconds until the first of them is thought to have stopped."""
        return min(self._typed_at.values(), default=now) + LASTS - now
