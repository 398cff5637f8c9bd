"""The people who are typing."""

from __future__ import annotations

TYPING_TIMEOUT = 6.0
"""Seconds after a typing notice until the person counts as idle."""
MAX_TYPISTS = 50
"""Maximum number of typing people; the oldest are dropped."""
MAX_NAME_LENGTH = 200
"""Maximum characters kept of a name."""


class Typists:
    """The typing people, each until their message arrives, they leave, or `TYPING_TIMEOUT` seconds are
    over."""

    def __init__(self) -> None:
        self._typed_at: dict[str, float] = {}

    def typed(self, name: str, now: float) -> None:
        """Record a typing notice."""
        self.stopped(name)
        self._typed_at[name[:MAX_NAME_LENGTH]] = now
        if len(self._typed_at) > MAX_TYPISTS:
            del self._typed_at[next(iter(self._typed_at))]

    def stopped(self, name: str) -> None:
        """Remove a person whose message has arrived, or who has left."""
        self._typed_at.pop(name[:MAX_NAME_LENGTH], None)

    def clear(self) -> None:
        """Remove all, since the connection is lost."""
        self._typed_at.clear()

    def names(self, now: float) -> tuple[str, ...]:
        """Return the typing people's names, the earliest notice first."""
        for name in [name for name, at in self._typed_at.items() if at <= now - TYPING_TIMEOUT]:
            del self._typed_at[name]
        return tuple(self._typed_at)

    def expires_in(self, now: float) -> float:
        """Return the seconds until the first notice expires."""
        return min(self._typed_at.values(), default=now) + TYPING_TIMEOUT - now
