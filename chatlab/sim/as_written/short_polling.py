"""The original document's `poll`.

- `setInterval(async () => …)` sends the next request even if the last one is unanswered, with the same
  `lastMessageId`. If answers take longer than the interval, two of them bring the same messages.
- `lastMessageId = messages[messages.length - 1].id` is set by the answer that arrives last. An overtaken,
  older answer sets it back, and shows its messages after later ones.
- The first request is sent after the first interval.
- No code catches what `fetch` throws, and an answer that isn't an array has no `length`: every error is
  silent. A server that no longer knows the cursor is asked for it again and again.
- Polling never ends, and there is no status: once connected, a client looks connected for ever.
"""

from __future__ import annotations

from chatlab.dialects.base import Dialect, Request
from chatlab.messages import ConnectionStatus
from chatlab.sim.as_written.seed_http import News, SeedHttpMachine, messages_of
from chatlab.sim.as_written.settings import SeedShortPolling
from chatlab.transports.machine import Answered, Effect, Fetch


class SeedShortPollingMachine(SeedHttpMachine):
    """One person's chat through the seed's short polling and `sendMessage`."""

    __slots__ = ("_last_message_id", "_settings")

    def __init__(self, settings: SeedShortPolling, dialect: Dialect, room: str, sender: str) -> None:
        super().__init__(dialect, room, sender)
        self._settings = settings
        self._last_message_id: str | None = None

    def _start(self, now: float, out: list[Effect]) -> None:
        self.deadline = now + self._settings.interval

    def _stop(self, out: list[Effect]) -> None:
        """Do nothing: polling never ends."""

    def _tick(self, now: float, out: list[Effect]) -> None:
        self.deadline += self._settings.interval
        query = {"room": self._room}
        if self._last_message_id is not None:
            query["after"] = self._last_message_id
        out.append(Fetch(self._links.next(), "poll", Request("GET", "/messages", query)))

    def _take(self, event: News, now: float, out: list[Effect]) -> None:
        messages = messages_of(self._http, event.answer) if isinstance(event, Answered) else None
        if messages is None:
            return
        if self.status is not ConnectionStatus.CONNECTED:
            self._notify(out, ConnectionStatus.CONNECTED)
        if messages:
            self._last_message_id = messages[-1].id
            self._dispatch(messages, out)
