"""Display of a conversation in a panel: rows of messages, a status, and the spans of a timeline."""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count

from chatlab.conversation import Conversation, OwnMessage, Place, ReceivedMessage, explain_end
from chatlab.live.client.kinds import KINDS
from chatlab.live.client.transport import ChatTransport
from chatlab.messages import ChatMessage, ConnectionStatus, StatusChange
from chatlab.settings import AnyConfig, FallbackConfig
from chatlab.widgets.logs import ChatLog
from chatlab.widgets.status_badge import StatusBadge
from chatlab.widgets.timeline import Mark, Span

MOST_SPANS = 500
RETRYING = "“Retry” beside each sends it."
LEFT = "undelivered"
"""State of a row whose message the conversation left behind; all other states are the ledger's."""
LOST = (LEFT, "dropped", "expired", "failed")
"""States of rows whose messages were not delivered."""


class PanelDisplay:
    """Shows a conversation in the views of a panel.

    Times are in seconds on the monotonic clock. `redraw` is called after every change of status.
    """

    def __init__(
        self,
        log: ChatLog,
        badge: StatusBadge,
        make: Callable[[AnyConfig], ChatTransport],
        redraw: Callable[[], None],
    ) -> None:
        self._log = log
        self._badge = badge
        self._redraw = redraw
        self._series = secrets.token_hex(8)  # distinguishes ids from those in loaded files
        self._numbers = count(1)
        self._epoch = time.time() - time.monotonic()
        self._typing: tuple[str, ...] = ()
        self._waiting = 0
        self._people: tuple[str, ...] | None = None
        self._lost = (0, 0)
        self._used = ""
        self.conversation = Conversation(self, make=make, retrying=RETRYING)
        self.spans: deque[Span] = deque(maxlen=MOST_SPANS)
        self.marks: deque[Mark] = deque(maxlen=MOST_SPANS)

    @property
    def transport(self) -> ChatTransport | None:
        """The transport that new messages go to."""
        return self.conversation.transport

    def mark(self, kind: str, label: str) -> None:
        """Add a mark to the timeline at the present moment."""
        self.marks.append({"kind": kind, "label": label, "at": time.monotonic()})

    # The `Display` interface

    def accepted(self, own: OwnMessage) -> None:
        """Add a row for an own message."""
        state, reason = _state_of(own)
        self._log.upsert(
            {
                "id": own.key,
                "at": own.written_at * 1000,
                "sender": own.place.name,
                "text": own.text,
                "own": True,
                "state": state,
                "reason": reason,
                "kind": "message",
            }
        )

    def settled(self, own: OwnMessage) -> None:
        """Change the state in an own message's row. An undelivered one gets a new row if its row is gone."""
        state, reason = _state_of(own)
        if not self._log.update(own.key, state=state, reason=reason) and state in LOST:
            self.accepted(own)

    def received(self, received: ReceivedMessage) -> None:
        """Add a row for a message from the server."""
        message = received.message
        self._log.upsert(
            {
                "id": received.key,
                "at": _posted_at(message) * 1000,
                "sender": message.sender,
                "text": message.text if message.data is None else f"({len(message.data):,} bytes)",
                "own": received.own,
                "state": "acked" if received.own else "",
                "kind": "message",
            }
        )

    def notice(self, text: str, *, warning: bool = False) -> None:
        """Add a row for a notice, which is not a message."""
        row = f"notice-{self._series}-{next(self._numbers)}"
        self._log.upsert(
            {"id": row, "at": time.time() * 1000, "sender": "", "text": text, "own": False, "kind": "notice"}
        )

    def moved(self, before: Place) -> None:
        """Add a notice that separates the messages of two places."""
        if (place := self.conversation.place) is not None:
            self.notice(f"Switched to {place.describe(before)}.")

    def changed(self) -> None:
        """Show who is here and who is typing, and the numbers of unsettled and undelivered messages."""
        if (typing := self.conversation.typists()) != self._typing:
            self._typing = typing
            self._log.set_typing(typing)
        if (people := self.conversation.present()) != self._people:
            self._people = people
            self._log.set_people(people)
        here, undelivered = self.conversation.place, self.conversation.undelivered()
        mine = sum(own.place == here for own in undelivered)
        if (lost := (mine, len(undelivered) - mine)) != self._lost:
            self._lost = lost
            self._log.set_lost(*lost)
        if (waiting := self.conversation.waiting) != self._waiting:
            self._waiting = waiting
            self._badge.show_waiting(waiting)

    def status(self, change: StatusChange) -> None:
        """Show a status in the badge and on the timeline."""
        transport = self.transport
        if transport is None:
            return
        now = transport.now()
        if not self.spans or self.spans[-1]["status"] != change.status:
            if self.spans:
                self.spans[-1]["end"] = now
            self.spans.append({"status": change.status.value, "start": now, "end": None})
        if change.attempt and change.retry_at is None and change.status == "reconnecting":
            self.marks.append({"kind": "attempt", "label": f"attempt {change.attempt}", "at": now})
        self._show_badge(transport, change, (self._epoch + now) * 1000)
        if end := explain_end(change):
            self.notice(f"{end} “Connect” tries again.", warning=True)
        self._redraw()

    def transport_used(self) -> None:
        """Show the transport in use: a fallback may have gone over to another one, still connected."""
        if (transport := self.transport) is not None and transport.kind != self._used:
            self._show_badge(transport, self.conversation.last_change, time.time() * 1000)

    def _show_badge(self, transport: ChatTransport, change: StatusChange, at: float) -> None:
        self._used = transport.kind
        self._badge.show(
            change.status.value,
            change.reason,
            attempt=0 if change.status is ConnectionStatus.CONNECTED else change.attempt,
            max_attempts=self.conversation.max_attempts,
            retry_in=None if change.retry_at is None else change.retry_at - transport.now(),
            code=change.code,
            at=at,
            transport=_title(transport),
            details=_details(transport),
        )


def _state_of(own: OwnMessage) -> tuple[str, str]:
    return (LEFT if own.left_behind else own.state.value), own.reason


def _posted_at(message: ChatMessage) -> float:
    return time.time() if message.posted_at is None else message.posted_at.timestamp()


def _title(transport: ChatTransport) -> str:
    """Return the title of the transport in use."""
    return next(kind.title for kind in KINDS.values() if kind.config.__name__ == transport.kind)


def _details(transport: ChatTransport) -> str:
    """Describe a connection in lines: the transport in use, the address, and the room and name."""
    config = transport.config
    used = _title(transport)
    if isinstance(config, FallbackConfig):
        used += f", of {len(config.transports)} to fall back on"
        config = config.first
    return f"{used}\n{config.url}\nroom {config.room}, as {config.sender}"


def since(start: float, spans: Sequence[Span], marks: Sequence[Mark]) -> tuple[list[Span], list[Mark]]:
    """Return the spans and marks with times relative to `start`."""
    shifted: list[Span] = [
        {
            "status": span["status"],
            "start": span["start"] - start,
            "end": None if span["end"] is None else span["end"] - start,
        }
        for span in spans
    ]
    return shifted, [
        {"kind": mark["kind"], "label": mark["label"], "at": mark["at"] - start} for mark in marks
    ]
