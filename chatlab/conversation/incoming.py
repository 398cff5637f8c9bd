"""Events of a transport: messages, typing, presence, and failures."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from chatlab.conversation.face import Face, Heard
from chatlab.conversation.outgoing import Outgoing
from chatlab.conversation.typists import Typists
from chatlab.conversation.use import Use
from chatlab.messages import ChatEvent, ChatMessage
from chatlab.text import cut, short_name, visible_line

EXCERPT = 200
"""Characters that are shown of what a server complains about."""


class Incoming:
    """Shows what the server says; own messages that come back go to `outgoing`.

    `clock` returns seconds. For one thread at a time.
    """

    def __init__(self, face: Face, series: str, clock: Callable[[], float], outgoing: Outgoing) -> None:
        self.typists = Typists()
        self._face = face
        self._series = series
        self._clock = clock
        self._outgoing = outgoing
        self._numbers = count(1)
        self._unreadable = ""  # as last said, since a message came

    def take(self, use: Use, event: ChatEvent, *, here: bool) -> bool:
        """Show an event of a transport; `here`: it is the one in use, and not one that is ending. Return
        whether it was for reading."""
        match event.type:
            case "message":
                if event.message is not None:
                    self._received(use, event.message)
            case "typing" if here:
                self.typists.typed(event.sender, self._clock())
            case "presence" if here:
                self._presence(use, event)
            case "resync" | "overrun":
                self.missing(event.reason)
            case "unreadable":
                self._cant_read(f"({event.reason}): {_excerpt(event.payload)}")
            case "error":
                self._face.notice(f"The server complains: {_excerpt(event.payload)}", warning=True)
            case _:
                return False  # Statuses have their own way, and a server's other events aren't for reading.
        return True

    def missing(self, reason: str) -> None:
        """Say that messages may have been skipped."""
        self._face.notice(f"Messages may be missing here: {reason}.", warning=True)

    def _cant_read(self, what: str) -> None:
        """Say it once, and not with each poll that a captive portal answers."""
        if what != self._unreadable:
            self._unreadable = what
            self._face.notice(f"A frame from the server can't be read {what}", warning=True)

    def _received(self, use: Use, message: ChatMessage) -> None:
        self._unreadable = ""
        self.typists.stopped(message.sender)
        if not use.log.first(message.id) or self._outgoing.came_back(use, message):
            return
        place = f"{use.log.number}-{message.id}" if message.id else f"unnumbered-{next(self._numbers)}"
        key = f"heard-{self._series}-{place}"
        self._face.heard(Heard(key, message, message.sender == use.place.name))

    def _presence(self, use: Use, event: ChatEvent) -> None:
        state = event.payload.get("state") if isinstance(event.payload, dict) else None
        if state == "left":
            self.typists.stopped(event.sender)
        if state in ("joined", "left") and event.sender != use.place.name:
            self._face.notice(f"{short_name(event.sender)} {state}.")


def _excerpt(payload: Any) -> str:
    match payload:
        case str(text) | {"error": str(text)}:
            pass
        case _:
            text = repr(payload)
    return cut(visible_line(text), EXCERPT)
