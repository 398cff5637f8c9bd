"""The original document's `SSEConnection`, and the browser's EventSource under it.

- `source.onerror` reports `reconnecting`, and there is no `onopen`. From the first error on the status stays
  `reconnecting`, even while messages arrive.
- The EventSource reconnects only after errors of the network. Any answer but 200, such as a proxy's 503
  during a deploy, ends it for good; `onerror` reports `reconnecting` then, too.
- No timer watches the stream: a stream on a dead path is never given up.
- It resumes by `Last-Event-ID`, which it has only after a first message with an id. A client without one
  loses the messages posted while it is away.

Source: seed ("SSE + POST Pattern"); WHATWG HTML §9.2.2, §9.2.3.
"""

from __future__ import annotations

from math import inf

from chatlab.dialects.base import Dialect, Request
from chatlab.messages import ConnectionStatus
from chatlab.sim.as_written.seed_http import News, SeedHttpMachine
from chatlab.sim.as_written.settings import SeedSSE
from chatlab.transports.eventstream import EventStreamParser
from chatlab.transports.machine import Answered, Close, Closed, Effect, Fetch, Opened, ReceivedBytes

ERROR = "EventSource error"


class SeedSSEMachine(SeedHttpMachine):
    """One person's chat through the seed's SSE and `sendMessage`."""

    __slots__ = ("_last_event_id", "_parser", "_reconnection_time", "_stream")

    def __init__(self, settings: SeedSSE, dialect: Dialect, room: str, sender: str) -> None:
        super().__init__(dialect, room, sender)
        self._reconnection_time = settings.reconnection_time
        self._stream = 0
        self._last_event_id = ""
        self._parser = EventStreamParser()

    def _start(self, now: float, out: list[Effect]) -> None:
        self._stream = self._links.next()
        query = {"room": self._room, "sender": self._sender, "history": "0"}
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if self._last_event_id:
            headers["Last-Event-ID"] = self._last_event_id
        out.append(Fetch(self._stream, "stream", Request("GET", "/stream", query, headers)))

    def _stop(self, out: list[Effect]) -> None:
        if self._stream:
            out.append(Close(self._stream))
        self._stream, self.deadline = 0, inf
        if self.status is not ConnectionStatus.DISCONNECTED:
            self._notify(out, ConnectionStatus.DISCONNECTED)

    def _take(self, event: News, now: float, out: list[Effect]) -> None:
        if event.link != self._stream:
            return
        match event:
            case Opened():
                self._parser = EventStreamParser(last_event_id=self._last_event_id)
                if self.status is ConnectionStatus.CONNECTING:
                    self._notify(out, ConnectionStatus.CONNECTED)
            case ReceivedBytes():
                for read in self._parser.feed(event.data):
                    self._last_event_id = read.last_event_id
                    self._dispatch(self._http.event(read.type, read.data, read.last_event_id), out)
                self._reconnection_time = self._parser.reconnection_time or self._reconnection_time
            case Closed():
                self._stream, self.deadline = 0, now + self._reconnection_time
                self._notify(out, ConnectionStatus.RECONNECTING, ERROR)
            case Answered():
                self._stream = 0
                self._notify(out, ConnectionStatus.RECONNECTING, ERROR)

    def _tick(self, now: float, out: list[Effect]) -> None:
        self.deadline = inf
        self._start(now, out)
