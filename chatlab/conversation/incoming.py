"""Events of a transport: messages, typing, presence, and failures."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from msgspec.structs import replace

from chatlab.conversation.display import Display, ReceivedMessage
from chatlab.conversation.outgoing import Outgoing
from chatlab.conversation.present import Present
from chatlab.conversation.session import Session
from chatlab.conversation.typists import Typists
from chatlab.messages import ChatEvent, ChatMessage
from chatlab.text import cut, short_name, visible_line

EXCERPT = 200
"""Maximum characters shown of a server's error."""


class Incoming:
    """Shows events from the server; passes echoes of own messages to `outgoing`.

    `clock` returns seconds. Not thread-safe.
    """

    def __init__(self, display: Display, series: str, clock: Callable[[], float], outgoing: Outgoing) -> None:
        self.typists = Typists()
        self.present = Present()
        self._display = display
        self._series = series
        self._clock = clock
        self._outgoing = outgoing
        self._numbers = count(1)
        self._unreadable = ""  # the last frame reported; cleared by a message

    def handle(self, session: Session, event: ChatEvent, *, current: bool) -> bool:
        """Show an event, and return whether there was something to show.

        `current` is False for a previous session that is still ending.
        """
        match event.type:
            case "message":
                if event.message is not None:
                    self._received(session, event.message)
            case "edit":
                if event.message is not None:
                    self._received(session, replace(event.message, text=f"(edited) {event.message.text}"))
            case "redaction":
                self._report_removed(event)
            case "typing" if current:
                self.typists.typed(event.sender, self._clock())
            case "presence" if current:
                self._presence(session, event)
            case "resync" | "overrun":
                self.report_missing(event.reason)
            case "unreadable":
                self._report_unreadable(f"({event.reason}): {_excerpt(event.payload)}")
            case "error":
                self._display.notice(f"Error from the server: {_excerpt(event.payload)}", warning=True)
            case _:
                return False  # Statuses have their own callback; other events aren't shown.
        return True

    def report_missing(self, reason: str) -> None:
        """Report that messages may have been skipped."""
        self._display.notice(f"Messages may be missing here: {reason}.", warning=True)

    def _report_unreadable(self, what: str) -> None:
        """Report an unreadable frame once, not for each poll that a captive portal answers."""
        if what != self._unreadable:
            self._unreadable = what
            self._display.notice(f"A frame from the server can't be read {what}", warning=True)

    def _report_removed(self, event: ChatEvent) -> None:
        """Report that somebody removed an earlier message."""
        somebody = short_name(event.sender) if event.sender else "Somebody"
        why = f": {_excerpt(event.reason)}" if event.reason else "."
        self._display.notice(f"{somebody} removed a message{why}")

    def _received(self, session: Session, message: ChatMessage) -> None:
        self._unreadable = ""
        self.typists.stopped(message.sender)
        if not session.log.mark_seen(message.id) or self._outgoing.match_echo(session, message):
            return
        place = f"{session.log.number}-{message.id}" if message.id else f"unnumbered-{next(self._numbers)}"
        key = f"received-{self._series}-{place}"
        self._display.received(ReceivedMessage(key, message, message.sender == session.place.name))

    def _presence(self, session: Session, event: ChatEvent) -> None:
        payload = event.payload if isinstance(event.payload, dict) else {}
        match state := payload.get("state"):
            case "here" if isinstance(people := payload.get("people"), list):
                self.present.here(people)
            case "joined":
                self.present.joined(event.sender)
            case "left":
                self.present.left(event.sender)
                self.typists.stopped(event.sender)
            case _:
                pass
        if state in ("joined", "left") and event.sender != session.place.name:
            self._display.notice(f"{short_name(event.sender)} {state}.")


def _excerpt(payload: Any) -> str:
    match payload:
        case str(text) | {"error": str(text)}:
            pass
        case _:
            text = repr(payload)
    return cut(visible_line(text), EXCERPT)
