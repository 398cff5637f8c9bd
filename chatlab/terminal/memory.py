"""What a console remembers for a while: its own messages, and who types."""

from __future__ import annotations

from typing import TypeVar

from msgspec import Struct

T = TypeVar("T")

REMEMBERED = 10_000
"""Own messages by whose ids their echo is recognised, and people who may be typing."""
TYPING_LASTS = 6.0
"""Seconds after which somebody who typed is thought to have stopped."""
MOST_TYPING = 3
"""Names of typing people that are shown at most."""


class Own(Struct):
    """An own message on its way; `waits`: it was not sent at once, or its connection was lost since."""

    text: str
    accepted_at: float
    waits: bool = False


class OwnMessages:
    """The messages on their way, and the ids by which they are recognised when they come back."""

    def __init__(self) -> None:
        self._under_way: dict[str, Own] = {}
        self._ids: dict[str, None] = {}

    def __contains__(self, client_id: str) -> bool:
        return client_id in self._ids

    def add(self, client_id: str, text: str, now: float) -> Own:
        """Remember a message that is about to be handed over."""
        own = self._under_way[client_id] = Own(text, now)
        _remember(self._ids, client_id, None)
        return own

    def take_back(self, client_id: str) -> None:
        """Forget a message that was not accepted."""
        del self._under_way[client_id], self._ids[client_id]

    def settle(self, client_id: str) -> Own | None:
        """Return a message that has come to its end; None: it had before."""
        return self._under_way.pop(client_id, None)

    def let_wait(self) -> None:
        """Note that the connection of those on their way is gone."""
        for own in self._under_way.values():
            own.waits = True


class Typists:
    """Who types."""

    def __init__(self) -> None:
        self._typed_at: dict[str, float] = {}

    def typed(self, name: str, now: float) -> None:
        """Note that somebody types."""
        self.stopped(name)
        _remember(self._typed_at, name, now)

    def stopped(self, name: str) -> None:
        """Note that somebody has sent the message, or has left."""
        self._typed_at.pop(name, None)

    def names(self, now: float) -> tuple[str, ...]:
        """Return who types, but not too many of them."""
        recent = [name for name, at in self._typed_at.items() if at > now - TYPING_LASTS]
        return tuple(recent[:MOST_TYPING])


def _remember(memory: dict[str, T], key: str, value: T) -> None:
    memory[key] = value
    if len(memory) > REMEMBERED:
        del memory[next(iter(memory))]
