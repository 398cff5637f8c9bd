"""The original document's `longPoll`.

- `fetch(`${apiUrl}/messages/poll`)` sends no cursor, so the server can answer only with messages that arrive
  while it holds the request. A message posted between an answer and the next request, a round trip later, is
  never shown: the second of two messages in a row.
- `if (… e.name === 'TimeoutError') continue`: a dead path looks like an idle one, for ever.
- `while (true)`: polling never ends, and a server that answers at once is asked again at once.
- There is no status: once connected, a client looks connected for ever.
"""

from __future__ import annotations

from math import inf

from chatlab.dialects.base import Dialect, Request
from chatlab.messages import ConnectionStatus
from chatlab.sim.as_written.seed_http import News, SeedHttpMachine, messages_of
from chatlab.sim.as_written.settings import SeedLongPolling
from chatlab.transports.machine import Answered, Close, Effect, Fetch


class SeedLongPollingMachine(SeedHttpMachine):
    """One person's chat through the seed's long polling and `sendMessage`."""

    __slots__ = ("_poll", "_settings")

    def __init__(self, settings: SeedLongPolling, dialect: Dialect, room: str, sender: str) -> None:
        super().__init__(dialect, room, sender)
        self._settings = settings
        self._poll = 0

    def _start(self, now: float, out: list[Effect]) -> None:
        self._poll = self._links.next()
        self.deadline = now + self._settings.timeout
        out.append(Fetch(self._poll, "poll", Request("GET", "/messages/poll", {"room": self._room})))

    def _take(self, event: News, now: float, out: list[Effect]) -> None:
        if event.link != self._poll:
            return
        self._poll, self.deadline = 0, inf
        messages = messages_of(self._http, event.answer) if isinstance(event, Answered) else None
        if messages is None:
            self.deadline = now + self._settings.error_delay
            return
        if self.status is not ConnectionStatus.CONNECTED:
            self._notify(out, ConnectionStatus.CONNECTED)
        self._dispatch(messages, out)
        self._start(now, out)

    def _stop(self, out: list[Effect]) -> None:
        """Do nothing: polling never ends."""

    def _tick(self, now: float, out: list[Effect]) -> None:
        if self._poll:
            out.append(Close(self._poll, 1006, "TimeoutError"))
        self._start(now, out)
