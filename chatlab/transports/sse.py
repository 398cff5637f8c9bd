"""The SSE + POST machine: an event stream that reconnects by itself, beside a poster.

    idle ──Connect──▶ connecting ──200, text/event-stream──▶ online
                          ▲   │ any other end                   │ the stream ends,
                          │   ▼                                 │ or is silent for `idle_timeout`
                          └─ waiting ◀──────────────────────────┘

With a dialect that greets, *greeting* comes before *online*: see `session.py`.

State diagram, made by exploring the machine; the poster's effects are left out, as they are the same in all
states:

<diagram>
any --Submit--> same: Refuse
idle --Connect--> connecting: Notify(connecting), Fetch(stream)
connecting --Disconnect--> idle: Close(1000), Notify(disconnected)
connecting --Tick | stream 200 HTML--> waiting: Close(1006), Notify(reconnecting)
connecting --stream 200--> online: Notify(connected)
connecting --stream 200 HTML | Tick--> idle: Close(1006), Notify(error)
connecting --stream 204--> idle: Notify(disconnected)
connecting --stream 401--> connecting: Notify(reconnecting), Fetch(stream)
connecting --stream 503 | Closed(retry)--> waiting: Notify(reconnecting)
connecting --Disconnect--> draining: Close(1000)
connecting --stream 401 | stream 503 | Closed(retry)--> idle: Notify(error)
connecting --Tick--> idle: Close(1006), Notify(error), Close(1006)
online --Disconnect--> idle: Close(1000), Notify(disconnected)
online --Tick--> waiting: Close(1006), Notify(reconnecting)
online --message--> online: Deliver(message)
online --Closed(retry)--> waiting: Notify(reconnecting)
online --Disconnect--> draining: Close(1000)
online --Tick--> idle: Close(1006), Notify(error)
online --Closed(retry)--> idle: Notify(error)
waiting --Disconnect--> idle: Notify(disconnected)
waiting --Tick--> connecting: Notify(reconnecting), Fetch(stream)
waiting --Disconnect--> draining
draining --Connect--> connecting: Notify(connecting), Fetch(stream)
draining --Tick | post 201--> idle: Notify(disconnected)
</diagram>

Source: seed ("SSE + POST Pattern"); WHATWG HTML §9.2. Departs: every reconnection sends `Last-Event-ID`, not
only the browser's own, and repeated failures back off.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import assert_never

from chatlab.dialects.base import Answer
from chatlab.errors import EventTooLarge
from chatlab.messages import ChatEvent
from chatlab.settings import SSEConfig
from chatlab.transports.backoff import Uniform
from chatlab.transports.eventstream import EventStreamParser, StreamEvent
from chatlab.transports.hints import asked_for, buffered_stream, not_found
from chatlab.transports.http import HttpMachine, Receiver
from chatlab.transports.ledger import Ledger
from chatlab.transports.machine import (
    Answered,
    Close,
    Closed,
    Deliver,
    Effect,
    Failure,
    Fetch,
    Links,
    Opened,
    ReceivedBytes,
)
from chatlab.transports.posting import failure_of
from chatlab.transports.retry_state import RetryState
from chatlab.transports.session import Session

STREAM = "an event stream"


class StreamReceiver:
    """Receiver by an event stream."""

    rtt = None  # A stream measures no round trip.
    __slots__ = (
        "_acked",
        "_config",
        "_ledger",
        "_links",
        "_opened_at",
        "_parser",
        "_received",
        "_retry_state",
        "_session",
        "deadline",
        "link",
        "phase",
    )

    def __init__(
        self, config: SSEConfig, session: Session, retry_state: RetryState, ledger: Ledger, links: Links
    ) -> None:
        self._config = config
        self._session = session
        self._retry_state = retry_state
        self._ledger = ledger
        self._links = links
        self._parser: EventStreamParser | None
        self._opened_at = 0.0
        self._acked = 0  # `ledger.acked` when the first stream in a row without a byte was requested
        self._received = True
        self.stop()

    def stop(self) -> None:
        """End the session, and become idle."""
        self._session.end()
        self._parser = None
        self.link = 0
        self.deadline = inf
        self.phase = "idle"

    def fetch(self, now: float, out: list[Effect], failure: Failure | None = None) -> None:
        """Begin a session, by requesting the stream after the cursor."""
        self._session.begin(now)
        self.link = self._links.next()
        self.deadline = now + self._config.connect_timeout
        self.phase = "connecting"
        if self._received:
            self._acked, self._received = self._ledger.acked, False
        config, cursor = self._ledger.resume_from(self._config, None, out)
        request = self._session.http.stream(config, cursor)
        out.append(Fetch(self.link, "stream", request, failure))

    def take(self, event: Opened | ReceivedBytes | Answered | Closed, now: float, out: list[Effect]) -> None:
        """Handle an event of the stream."""
        match event:
            case ReceivedBytes():
                if self._parser is not None:
                    if self.phase == "online":
                        self.deadline = now + self._allowed
                    self._received = True
                    self._read(self._parser, event.data, now, out)
            case Opened():
                if self.phase == "connecting":
                    self._open(event.protocol, now, out)
            case Closed():
                self.fail(event.failure, now, out)
            case Answered():
                self._refused(event.answer, now, out)
            case unknown:
                assert_never(unknown)

    def _open(self, content_type: str, now: float, out: list[Effect]) -> None:
        if content_type.partition(";")[0].strip().lower() != "text/event-stream":
            out.append(Close(self.link, 1006, "wrong content type"))
            shown = content_type[:80] or "none"
            reason = f"the stream's content type is {shown}, not text/event-stream"
            hint = f"; {asked_for(self._config, STREAM, self._path)}"
            self.fail(Failure("answer", 200, reason), now, out, hint)
            return
        config = self._config
        self._parser = EventStreamParser(
            config.max_event_size, last_event_id=self._ledger.cursor.last_id or ""
        )
        if self._session.let_in:
            self._enter(now, out)
        else:
            self.phase = "greeting"

    def _enter(self, now: float, out: list[Effect]) -> None:
        """Become connected."""
        self._opened_at = now
        self.phase = "online"
        self.deadline = now + self._allowed
        self._retry_state.connected(out)

    @property
    def _allowed(self) -> float:
        """Seconds without a byte after which the stream counts as failed."""
        return self._session.silence or self._config.idle_timeout

    def _read(self, parser: EventStreamParser, data: bytes, now: float, out: list[Effect]) -> None:
        try:
            events = parser.feed(data)
        except EventTooLarge as error:
            if not self._deliver(error.events, now, out):
                return
            out.append(Deliver(ChatEvent("unreadable", reason=str(error))))
            out.append(Close(self.link, 1006, "event too large"))
            self.fail(Failure("reset", reason=str(error)), now, out)
            return
        if not self._deliver(events, now, out):
            return
        requested = parser.reconnection_time
        if requested is not None:
            self._retry_state.backoff.rebase(
                min(max(requested, self._config.min_retry), self._config.reconnect.max_delay)
            )

    def _deliver(self, events: Sequence[StreamEvent], now: float, out: list[Effect]) -> bool:
        """Read the events; return whether the session goes on."""
        session = self._session
        for event in events:
            if not session.let_in:
                session.came.note(event.data)
            items = session.http.event(event.type, event.data, event.last_event_id)
            if session.welcomed_by(items) and self.phase == "greeting":
                self._enter(now, out)
            refused = session.read(items, self._ledger, out)
            if refused is not None:
                out.append(Close(self.link, 1006, "refused"))
                self.fail(refused, now, out)
                return False
        return True

    def _refused(self, answer: Answer, now: float, out: list[Effect]) -> None:
        if answer.status == 204:
            self.stop()
            self._retry_state.disconnected(out, "the server has no more events (204)", 204)
            return
        failure = failure_of(answer)
        if self._config.strict_eventsource:
            self.stop()
            self._retry_state.give_up(failure, out)
        else:
            hint = not_found(failure, self._config, STREAM, self._path)
            self.fail(failure, now, out, hint)

    @property
    def _path(self) -> str:
        return self._session.http.stream(self._config, None).path

    def fail(self, failure: Failure, now: float, out: list[Effect], hint: str = "") -> None:
        """Handle the end of the session: of the stream, a refusal, or a failure that the poster met."""
        if self.phase == "online":
            lasted = now - self._opened_at
            hint += self._retry_state.record_lifetime(failure, lasted)
            if lasted >= self._config.reconnect.stable_after:
                self._retry_state.reset()
        self.stop()
        if failure.kind == "answer" and self._config.strict_eventsource:
            self._retry_state.give_up(failure, out, str(failure) + hint)
            return
        then = self._retry_state.fail(failure, now, out, hint, check_address=True)
        if then.what == "renew":
            self.fetch(now, out, failure)
        elif then.what == "retry":
            self.phase, self.deadline = "waiting", then.at

    def tick(self, now: float, out: list[Effect]) -> None:
        """Handle the deadline: of the connection, of an idle stream, or of the wait."""
        if self.phase == "waiting":
            self._retry_state.retry(out)
            self.fetch(now, out)
            return
        match self.phase:
            case "online":
                failure = Failure("timeout", reason=f"nothing received for {self._allowed:g} s")
            case "greeting":
                failure = self._session.missing
            case _:
                reason = f"no connection within {self._config.connect_timeout:g} s"
                failure = Failure("timeout", reason=reason)
        out.append(Close(self.link, 1006, failure.reason))
        acked = self._ledger.acked > self._acked
        opened = self.phase != "connecting"
        hint = "" if self._received else buffered_stream(acked=acked, opened=opened)
        self.fail(failure, now, out, hint)


class SSEMachine(HttpMachine):
    """One person's chat over SSE + POST, without sockets or clock."""

    __slots__ = ()
    transport = "sse"
    answers = "event"
    _config: SSEConfig

    def _make_receiver(self, uniform: Uniform, links: Links) -> Receiver:
        return StreamReceiver(self._config, self._session, self._retry_state, self._ledger, links)
