"""The seed's `poll`.

- `setInterval(async () => …)` asks again whether the last answer is there or not, by the same
  `lastMessageId`: where answers take longer than the interval, two of them bring the same messages.
- `lastMessageId = messages[messages.length - 1].id` is set by whichever answer comes last: an older one that
  was overtaken sets it back, and shows its messages after later ones.
- The first request goes out only when the first interval is over.
- What `fetch` throws nobody catches, and what isn't an array has no `length`: every error passes in silence.
  A server that no longer knows the cursor is asked for it for ever.
- Nothing ends it, and it has no status: whoever was connected once seems so for good.
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
        """Nothing ends it."""

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
