"""Receiving by polls, one request in flight at a time; short and long polling differ in when they poll.

    idle ──Connect──▶ asking ──an answer──▶ pausing ──its time──▶ asking …
                        ▲  │ a failure
                        │  ▼
                       waiting

Each request has a cursor, which only moves forward, so no message posted between two polls is lost.

State diagram, made by exploring the long-polling machine; the poster's effects are left out, as they are the
same in all states. The short-polling machine differs in one transition: it never polls again at once after a
time-out.

<diagram>
any --Submit--> same: Refuse
idle --Connect--> asking: Notify(connecting), Fetch(poll)
asking --Disconnect--> idle: Close(1000), Notify(disconnected)
asking --Tick--> waiting: Close(1006), Notify(reconnecting)
asking --poll 200 | poll 200 in full--> pausing: Notify(connected)
asking --poll 200 in full--> asking: Notify(connected), Deliver(message), Fetch(poll)
asking --poll 410 | poll 401 | poll 503 | Closed(retry)--> idle: Notify(error)
asking --poll 401--> asking: Notify(reconnecting), Fetch(poll)
asking --poll 503 | Closed(retry)--> waiting: Notify(reconnecting)
asking --Disconnect--> draining: Close(1000)
asking --Tick--> asking: Close(1006), Fetch(poll)
asking --poll 200 | poll 200 in full--> pausing
asking --poll 410--> asking: Deliver(resync), Fetch(poll)
asking --Tick--> idle: Close(1006), Notify(error)
asking --poll 200 in full--> asking: Deliver(message), Fetch(poll)
asking --poll 410--> asking: Notify(connected), Deliver(resync), Fetch(poll)
pausing --Disconnect--> idle: Notify(disconnected)
pausing --Tick--> asking: Fetch(poll)
pausing --Disconnect--> draining
waiting --Disconnect--> idle: Notify(disconnected)
waiting --Tick--> asking: Notify(reconnecting), Fetch(poll)
waiting --Disconnect--> draining
draining --Connect--> asking: Notify(connecting), Fetch(poll)
draining --Tick | post 201--> idle: Notify(disconnected)
</diagram>
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import inf
from typing import assert_never

from chatlab.dialects.base import Page
from chatlab.messages import ConnectionStatus
from chatlab.settings import HttpConfig
from chatlab.transports.hints import not_found
from chatlab.transports.ledger import Ledger
from chatlab.transports.machine import (
    Answered,
    Close,
    Closed,
    Effect,
    Failure,
    Fetch,
    Links,
    Opened,
    ReceivedBytes,
)
from chatlab.transports.posting import failure_of, unexpected
from chatlab.transports.retry_state import RetryState
from chatlab.transports.session import GREETING_GAP, Session

CATCH_UP = 100
"""Number of messages to ask for if the last one's id is too long to resume from."""


class PollReceiver(ABC):
    """Receiver by polls, one at a time."""

    __slots__ = (
        "_answer_within",
        "_asked_at",
        "_config",
        "_connected_at",
        "_held",
        "_ledger",
        "_links",
        "_retry_state",
        "_session",
        "deadline",
        "link",
        "phase",
        "rtt",
    )

    def __init__(
        self, config: HttpConfig, session: Session, retry_state: RetryState, ledger: Ledger, links: Links
    ) -> None:
        self._config = config
        self._session = session
        self._retry_state = retry_state
        self._ledger = ledger
        self._links = links
        self._asked_at = 0.0
        self._answer_within = 0.0
        self._connected_at = 0.0
        self._held = False
        self.rtt: float | None = None
        self.stop()

    @property
    def hold(self) -> float | None:
        """Seconds that the server may hold the next poll; None: short polling."""
        return None

    @property
    @abstractmethod
    def response_timeout(self) -> float:
        """Seconds until a poll without an answer times out."""

    @abstractmethod
    def next_at(self, asked_at: float, now: float) -> float:
        """Return the time of the next poll, for one made at `asked_at` and answered at `now`."""

    def tolerates_silence(self) -> bool:
        """Return whether a time-out counts as idle, not as a failure."""
        return False

    def stop(self) -> None:
        """End the session, and become idle."""
        self._session.end()
        self.link = 0
        self.deadline = inf
        self.phase = "idle"

    def fetch(self, now: float, out: list[Effect], failure: Failure | None = None) -> None:
        """Begin a session, by polling for the messages after the cursor."""
        self._session.begin(now)
        self._ask(now, out, failure)

    def _ask(self, now: float, out: list[Effect], failure: Failure | None = None) -> None:
        session = self._session
        self.link = self._links.next()
        self._asked_at = now
        self._answer_within = session.silence or self.response_timeout
        self.deadline = min(now + self._answer_within, session.deadline)
        self.phase = "asking"
        hold = self.hold
        self._held = bool(hold)
        # Limit the history: all of it may be several pages, and without a cursor only the first one arrives.
        config, cursor = self._ledger.resume_from(self._config, CATCH_UP, out)
        request = session.http.poll(config, cursor, hold)
        out.append(Fetch(self.link, "poll", request, failure))

    def take(self, event: Opened | ReceivedBytes | Answered | Closed, now: float, out: list[Effect]) -> None:
        """Handle an event of the request in flight."""
        match event:
            case Closed():
                self.fail(event.failure, now, out, check_address=True)
            case Answered():
                if not self._held:
                    self.rtt = now - self._asked_at
                cursor = self._ledger.cursor.last_id
                if not self._session.let_in:
                    self._session.came.note(event.answer.body)
                page = self._session.http.page(event.answer)
                # A server can't have lost a cursor that the request didn't have.
                if page is None or (page.resync and cursor is None):
                    self._refused(failure_of(event.answer), now, out)
                    return
                if page.senseless:
                    self._read(page, out)
                    hint = f" in the {self._config.dialect_name!r} dialect"
                    self.fail(unexpected(event.answer), now, out, hint)
                    return
                let_in = self._session.welcomed_by(page.items)
                if let_in and self._retry_state.status is not ConnectionStatus.CONNECTED:
                    self._connected_at = now
                    self._retry_state.connected(out)
                refused = self._read(page, out)
                if refused is not None:
                    self.fail(refused, now, out)
                    return
                self.link = 0
                if page.more and self._ledger.cursor.last_id != cursor:
                    self._ask(now, out)
                else:
                    self.phase = "pausing"
                    next_at = self.next_at(self._asked_at, now) if let_in else now + GREETING_GAP
                    self.deadline = min(next_at, self._session.deadline)
            case Opened() | ReceivedBytes():
                pass  # A poll is answered in one piece.
            case unknown:
                assert_never(unknown)

    def _read(self, page: Page, out: list[Effect]) -> Failure | None:
        ledger = self._ledger
        if page.gap and ledger.cursor.last_id is not None:  # Without a cursor there is no gap to report.
            ledger.report_gap(out)
        refused = self._session.read(page.items, ledger, out)
        if page.cursor is not None:
            ledger.cursor.move(page.cursor)
        return refused

    def _refused(self, failure: Failure, now: float, out: list[Effect]) -> None:
        path = self._session.http.poll(self._config, None, self.hold).path
        self.fail(failure, now, out, not_found(failure, self._config, "messages", path))

    def fail(
        self, failure: Failure, now: float, out: list[Effect], hint: str = "", *, check_address: bool = False
    ) -> None:
        """Handle the end of the session: a failed request, a refusal, or a failure that the poster met."""
        if self._held:
            hint += self._retry_state.record_lifetime(failure, now - self._asked_at)
        connected = self._retry_state.status is ConnectionStatus.CONNECTED
        if connected and now - self._connected_at >= self._config.reconnect.stable_after:
            self._retry_state.reset()
        self.stop()
        then = self._retry_state.fail(failure, now, out, hint, check_address=check_address)
        if then.what == "renew":
            self.fetch(now, out, failure)
        elif then.what == "retry":
            self.phase, self.deadline = "waiting", then.at

    def tick(self, now: float, out: list[Effect]) -> None:
        """Handle the deadline: of a pause, of a wait, or of an answer."""
        session = self._session
        if self.phase == "waiting":
            self._retry_state.retry(out)
            self.fetch(now, out)
            return
        if now >= session.deadline:
            if self.link:
                out.append(Close(self.link, 1006, "no greeting"))
            self.fail(session.missing, now, out)
        elif self.phase == "pausing":
            self._ask(now, out)
        else:
            out.append(Close(self.link, 1006, "no answer"))
            if session.silence is None and self.tolerates_silence():
                self._ask(now, out)
            else:
                reason = f"no answer within {self._answer_within:g} s"
                self.fail(Failure("timeout", reason=reason), now, out)
