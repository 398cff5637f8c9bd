"""The items that a transport delivers to an application, and their size in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from chatlab.live.subscribers import Subscribers
from chatlab.messages import ChatEvent, ChatMessage


class Delivery(Struct, eq=False):
    """One `item` to deliver: an event, a status change, a receipt or a step.

    The function `sink` gets it before the handlers. An item `from_server` can be held back. If it is a
    message with an id, `cursor_before` is the cursor before it.
    """

    item: Any
    subscribers: Subscribers[Any] | None = None
    sink: Callable[[Any], object] | None = None
    size: int = 0
    from_server: bool = False
    cursor_before: str | None = None

    @property
    def message(self) -> ChatMessage | None:
        """The message, if it is one that the server would send again."""
        message = self.item.message if self.from_server else None
        return message if message is not None and message.id else None


def size_of(event: ChatEvent) -> int:
    """Return the approximate size of an event in memory, in bytes."""
    message = event.message
    if message is not None:
        text = message.text
        return 400 + len(text) * (1 if text.isascii() else 4) + len(message.data or b"")
    return 400 + len(event.reason) + _size_of(event.payload)


def _size_of(payload: Any) -> int:
    if isinstance(payload, str | bytes):
        return len(payload)
    if isinstance(payload, dict):
        return 100 + sum(_size_of(key) + _size_of(value) for key, value in payload.items())
    if isinstance(payload, list | tuple):
        return 100 + sum(map(_size_of, payload))
    return 50
