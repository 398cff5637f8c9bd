"""One person's conversation, independent of its display and its transport.

The transport can be replaced at any time, for other settings, another room, name or server:

    switch_to ──▶ the new transport queues new messages, but doesn't connect yet
              ──▶ the old one sends what it still can, and disconnects
              ──▶ the new one sends its unsettled messages, first and with their old ids, if it leads to
                  the place that they were written for; others stay undelivered, to be retried there
              ──▶ the new one resumes at the old one's cursor, or at this room's last one, and connects

So a message is sent only to the place that it was written for, and skipped messages are reported.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Callable

from chatlab.conversation.display import Display
from chatlab.conversation.failures import explain
from chatlab.conversation.incoming import Incoming
from chatlab.conversation.logs import Logs
from chatlab.conversation.outgoing import Outgoing
from chatlab.conversation.own import OwnMessage
from chatlab.conversation.places import Place, place_of
from chatlab.conversation.session import Session
from chatlab.dialects import find_dialect
from chatlab.live.background_loop import background_loop
from chatlab.live.client.audience import ENDED
from chatlab.live.client.kinds import make_transport
from chatlab.live.client.receipt import Receipt
from chatlab.live.client.transport import ChatTransport
from chatlab.live.loggers import get_logger
from chatlab.messages import ChatEvent, ConnectionStatus, OutgoingMessage, StatusChange
from chatlab.settings import AnyConfig, FallbackConfig
from chatlab.transports.retry_state import REQUESTED

logger = get_logger()

_CHANGING = StatusChange(ConnectionStatus.CONNECTING, "closing the previous connection")
_NOWHERE = StatusChange(ConnectionStatus.DISCONNECTED)


class Conversation:
    """One person's conversation, shown by `display`. All methods may be called from any thread.

    `make` makes transports, which run on `loop`, or on the background loop. `retrying` tells a person how to
    retry undelivered messages.
    """

    def __init__(
        self,
        display: Display,
        *,
        make: Callable[[AnyConfig], ChatTransport] = make_transport,
        loop: asyncio.AbstractEventLoop | None = None,
        retrying: str = "",
    ) -> None:
        self._display = display
        self._make = make
        self._loop = loop
        self._retrying = retrying
        self._clock = time.monotonic if loop is None else loop.time
        self._lock = threading.RLock()
        series = secrets.token_hex(8)  # distinguishes keys from those in loaded files
        self._outgoing = Outgoing(display, series, self._clock)
        self._incoming = Incoming(display, series, self._clock, self._outgoing)
        self._own = self._outgoing.messages
        self._typists = self._incoming.typists
        self._logs = Logs()
        self._forgetting = False
        self._config: AnyConfig | None = None
        self._session: Session | None = None
        self._ending: list[Session] = []
        self._wanted = False

    # State

    @property
    def transport(self) -> ChatTransport | None:
        """The transport that new messages go to; None before the first `switch_to`."""
        return None if self._session is None else self._session.transport

    @property
    def place(self) -> Place | None:
        """The place that the transport leads to; None before the first `switch_to`."""
        return None if self._session is None else self._session.place

    @property
    def changing(self) -> bool:
        """Whether a previous transport is still disconnecting."""
        return bool(self._ending)

    @property
    def wanted(self) -> bool:
        """Whether a connection is wanted: it was asked for and has not ended since."""
        return self._wanted

    @property
    def last_change(self) -> StatusChange:
        """The latest status change."""
        if self._ending:
            return _CHANGING if self._wanted else _NOWHERE
        return _NOWHERE if self._session is None else self._session.transport.last_change

    @property
    def max_attempts(self) -> int | None:
        """Attempts after which the transport gives up; None if unlimited, or for a fallback."""
        config = self._config
        return None if config is None or isinstance(config, FallbackConfig) else config.reconnect.max_attempts

    @property
    def waiting(self) -> int:
        """Number of own unsettled messages."""
        return len(self._own)

    @property
    def lost(self) -> int:
        """Number of own undelivered messages that were not retried."""
        return len(self._own.undelivered()) + self._own.forgotten

    def undelivered(self) -> list[OwnMessage]:
        """Return the own undelivered messages that are still kept, oldest first."""
        with self._lock:
            return self._own.undelivered()

    def under_way(self) -> list[OwnMessage]:
        """Return the own messages that aren't in a final state, oldest first."""
        with self._lock:
            return list(self._own)

    def typists(self) -> tuple[str, ...]:
        """Return the names of typing people."""
        with self._lock:
            return self._typists.names(self._clock())

    def present(self) -> tuple[str, ...] | None:
        """Return the names of the people in the room; None while they aren't known."""
        with self._lock:
            return self._incoming.present.names()

    # Replacing the transport

    def switch_to(self, config: AnyConfig, place: Place | None = None) -> None:
        """Switch to a transport with these settings, and connect if a connection is wanted.

        `place` is the place that they lead to, if it differs from their URL, as with a proxy.

        Errors: `SettingsError` if the settings are invalid; then nothing changes.
        """
        place = place or place_of(config)
        with self._lock:
            old = self._session
            if old is not None and config == self._config and place == old.place:
                return
            transport = self._make(config)
            self._config = config
            self._session = session = Session(
                transport, place, self._logs.at(place), find_dialect(config.dialect), []
            )
            session.subscriptions += [
                transport.on_message(lambda event: self._on_event(session, event)),
                transport.on_receipt(lambda receipt: self._on_receipt(session, receipt)),
                transport.on_status_change(lambda change: self._on_status(session, change)),
            ]
            if old is None:
                session.resume()
                return
            self._forget_people()
            self._own.mark_waiting()
            self._ending.append(old)
            asyncio.run_coroutine_threadsafe(self._end(old), self._loop or background_loop())
            if place != old.place:
                self._display.moved(old.place)
            self._display.status(self.last_change)
            self._display.changed()

    async def _end(self, session: Session) -> None:
        try:
            await session.transport.disconnect()
        except Exception:
            logger.exception("a transport could not be disconnected; the conversation continues without it")
        with self._lock:
            session.end()
            for message in session.transport.unsettled():
                self._outgoing.adopt(session, message)
            self._ending.remove(session)
            if not self._ending:
                self._start_new()

    def _start_new(self) -> None:
        """Hand unsettled messages to the new transport and connect it, once all previous ones have ended."""
        session = self._session
        assert session is not None
        self._outgoing.take_over(session)
        session.resume()
        count = sum(own.left_behind for own in self._outgoing.for_place(session.place))
        if count:
            are = "1 message for this place is" if count == 1 else f"{count} messages for this place are"
            self._display.notice(f"{are} undelivered. {self._retrying}".rstrip())
        if not self._wanted:
            self._display.status(self.last_change)
        else:
            try:
                session.transport.start()
            except (Exception, SystemExit) as error:
                self._wanted = False
                self._display.notice(f"Not connected: {explain(error)}.", warning=True)
                self._display.status(self.last_change)
        self._display.changed()

    # Connecting

    def start(self, *, at_once: bool = False) -> None:
        """Start to connect; with `at_once`, skip a running backoff delay."""
        with self._lock:
            self._wanted = True
            if self._ending:
                self._display.status(self.last_change)
            elif self._session is not None:
                if at_once and self._session.transport.last_change.retry_at is not None:
                    self._session.transport.stop()
                self._session.transport.start()

    def stop(self) -> None:
        """Start to disconnect."""
        with self._lock:
            self._wanted = False
            if self._ending:
                self._display.status(self.last_change)
            elif self._session is not None:
                self._session.transport.stop()

    # Sending

    def submit(self, message: OutgoingMessage | str) -> Receipt:
        """Send a message to the current place.

        Errors: `OutboxFull` and `InvalidMessage`, from the transport.
        """
        with self._lock:
            assert self._session is not None, "no transport yet: call switch_to first"
            receipt = self._outgoing.submit(self._session, message)
            self._display.changed()
            return receipt

    def retry(self, key: str) -> None:
        """Retry an undelivered message that was written for the current place.

        Errors: `ChatError` if it was written for another place, or is no longer kept; `OutboxFull` and
        `InvalidMessage`, from the transport.
        """
        with self._lock:
            self._outgoing.retry(self._session, key)
            self._display.changed()

    def retry_all(self) -> int:
        """Retry all undelivered messages for the current place; return their number.

        Errors: as for `retry`; some may have been sent before.
        """
        with self._lock:
            here = self._outgoing.for_place(self.place)
            for own in here:
                self.retry(own.key)
            return len(here)

    def typing(self) -> None:
        """Send a typing notice to the room."""
        with self._lock:
            if self._session is not None and not self._ending:
                self._session.transport.typing()

    # Callbacks, on a thread of the transport's own or on its loop

    def _on_receipt(self, session: Session, receipt: Receipt) -> None:
        with self._lock:
            if self._outgoing.settled(session, receipt):
                self._display.changed()

    def _on_event(self, session: Session, event: ChatEvent) -> None:
        with self._lock:
            if self._incoming.handle(session, event, current=session is self._session):
                self._forget_typists_later()
                self._display.changed()

    def _forget_people(self) -> None:
        """Forget who is here and who is typing, since the connection is lost."""
        self._typists.clear()
        self._incoming.present.clear()

    def _forget_typists_later(self) -> None:
        if not self._forgetting and self._typists.names(self._clock()):
            self._forgetting = True
            loop, delay = self._loop or background_loop(), self._typists.expires_in(self._clock())
            loop.call_soon_threadsafe(loop.call_later, delay, self._forget_typists)

    def _forget_typists(self) -> None:
        with self._lock:
            self._forgetting = False
            self._forget_typists_later()
            self._display.changed()

    def _on_status(self, session: Session, change: StatusChange) -> None:
        with self._lock:
            connected = change.status is ConnectionStatus.CONNECTED
            visited, session.log.visited = session.log.visited, session.log.visited or connected
            if session is not self._session or self._ending:
                return  # The end of a replaced transport needn't be shown.
            if change.status not in ENDED:
                self._wanted = True
            elif change.reason != REQUESTED:  # A requested end may be reported after a new start.
                self._wanted = False
            if connected:
                if visited and session.transport.cursor is None:
                    self._incoming.report_missing("this server doesn't replay missed messages")
            else:
                self._forget_people()
                self._own.mark_waiting()
            self._display.status(change)
            self._display.changed()
