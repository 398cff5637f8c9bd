"""One person's conversation, whatever shows it, and by whatever transport it goes on.

The transport may be exchanged at any time, for other settings, another room, name or server:

    go ──▶ the new transport takes what is written from now on, but doesn't connect yet
       ──▶ the old one sends what it still can, and ends
       ──▶ what it has not settled goes out by the new one, first and under its old ids, if that leads to the
           place it was written for; else it is left behind, to be sent again there
       ──▶ the new one resumes where the old one stood, or where this room was left, and connects

So a message reaches no other place than the one it was written for, and none is skipped in silence.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Callable

from chatlab.conversation.face import Face
from chatlab.conversation.failures import explain
from chatlab.conversation.incoming import Incoming
from chatlab.conversation.logs import Logs
from chatlab.conversation.outgoing import Outgoing
from chatlab.conversation.own import Own
from chatlab.conversation.places import Place, place_of
from chatlab.conversation.use import Use
from chatlab.dialects import find_dialect
from chatlab.live.audience import ENDED
from chatlab.live.kinds import make_transport
from chatlab.live.logs import get_logger
from chatlab.live.portal import background_loop
from chatlab.live.receipt import Receipt
from chatlab.live.transport import ChatTransport
from chatlab.messages import ChatEvent, ConnectionStatus, OutgoingMessage, StatusChange
from chatlab.settings import AnyConfig, FallbackConfig
from chatlab.transports.retry_state import ASKED

logger = get_logger()

_CHANGING = StatusChange(ConnectionStatus.CONNECTING, "the previous connection is being closed")
_NOWHERE = StatusChange(ConnectionStatus.DISCONNECTED)


class Conversation:
    """One person's conversation, which `face` shows. Its methods may be called from any thread.

    `make` makes transports, which live on `loop`, or on the background loop. `retrying` tells a person how to
    send again what was left behind.
    """

    def __init__(
        self,
        face: Face,
        *,
        make: Callable[[AnyConfig], ChatTransport] = make_transport,
        loop: asyncio.AbstractEventLoop | None = None,
        retrying: str = "",
    ) -> None:
        self._face = face
        self._make = make
        self._loop = loop
        self._retrying = retrying
        self._clock = time.monotonic if loop is None else loop.time
        self._lock = threading.RLock()
        series = secrets.token_hex(8)  # what was loaded from a file has keys of another
        self._outgoing = Outgoing(face, series, self._clock)
        self._incoming = Incoming(face, series, self._clock, self._outgoing)
        self._own = self._outgoing.messages
        self._typists = self._incoming.typists
        self._logs = Logs()
        self._forgetting = False
        self._config: AnyConfig | None = None
        self._use: Use | None = None
        self._ending: list[Use] = []
        self._wanted = False

    # How it stands

    @property
    def transport(self) -> ChatTransport | None:
        """The transport that takes what is written now; None: there is none yet."""
        return None if self._use is None else self._use.transport

    @property
    def place(self) -> Place | None:
        """The place that the transport leads to."""
        return None if self._use is None else self._use.place

    @property
    def changing(self) -> bool:
        """Whether a transport before is still ending."""
        return bool(self._ending)

    @property
    def wanted(self) -> bool:
        """Whether it is to be connected: it was asked for, and has not ended since."""
        return self._wanted

    @property
    def last_change(self) -> StatusChange:
        """The latest change of status."""
        if self._ending:
            return _CHANGING if self._wanted else _NOWHERE
        return _NOWHERE if self._use is None else self._use.transport.last_change

    @property
    def most_attempts(self) -> int | None:
        """Attempts after which the transport gives up; None: no number, as a fallback counts those of all."""
        config = self._config
        return None if config is None or isinstance(config, FallbackConfig) else config.reconnect.max_attempts

    @property
    def waiting(self) -> int:
        """Number of own messages under way."""
        return len(self._own)

    @property
    def lost(self) -> int:
        """Number of own messages that came to nothing, and were not sent again."""
        return len(self._own.undelivered()) + self._own.forgotten

    def undelivered(self) -> list[Own]:
        """Return the own messages that came to nothing and are kept, oldest first."""
        with self._lock:
            return self._own.undelivered()

    def under_way(self) -> list[Own]:
        """Return the own messages that aren't in a final state, oldest first."""
        with self._lock:
            return list(self._own)

    def typists(self) -> tuple[str, ...]:
        """Return who types."""
        with self._lock:
            return self._typists.names(self._clock())

    # Where it goes

    def go(self, config: AnyConfig, place: Place | None = None) -> None:
        """Go on with these settings, connected if it was or is asked to be. `place` is where they lead to, if
        that isn't what they say, as by a proxy.

        Errors: `SettingsError` where there can't be such a transport; then all stays as it is.
        """
        place = place or place_of(config)
        with self._lock:
            old = self._use
            if old is not None and config == self._config and place == old.place:
                return
            transport = self._make(config)
            self._config = config
            self._use = use = Use(transport, place, self._logs.at(place), find_dialect(config.dialect), [])
            use.subscriptions += [
                transport.on_message(lambda event: self._on_event(use, event)),
                transport.on_receipt(lambda receipt: self._on_receipt(use, receipt)),
                transport.on_status_change(lambda change: self._on_status(use, change)),
            ]
            if old is None:
                use.resume()
                return
            self._typists.clear()
            self._own.let_wait()
            self._ending.append(old)
            asyncio.run_coroutine_threadsafe(self._end(old), self._loop or background_loop())
            if place != old.place:
                self._face.moved(old.place)
            self._face.status(self.last_change)
            self._face.changed()

    async def _end(self, use: Use) -> None:
        try:
            await use.transport.disconnect()
        except Exception:
            logger.exception("a transport could not be disconnected; the conversation goes on without it")
        with self._lock:
            use.end()
            for message in use.transport.unsettled():
                self._outgoing.adopt(use, message)
            self._ending.remove(use)
            if not self._ending:
                self._arrive()

    def _arrive(self) -> None:
        """All transports before have ended: the new one takes over what is for its place, and connects."""
        use = self._use
        assert use is not None
        self._outgoing.take_over(use)
        use.resume()
        left = sum(own.left for own in self._outgoing.for_place(use.place))
        if left:
            were = "1 message was" if left == 1 else f"{left} messages were"
            self._face.notice(f"{were} left behind here. {self._retrying}".rstrip())
        if not self._wanted:
            self._face.status(self.last_change)
        else:
            try:
                use.transport.start()
            except (Exception, SystemExit) as error:
                self._wanted = False
                self._face.notice(f"Not connected: {explain(error)}.", warning=True)
                self._face.status(self.last_change)
        self._face.changed()

    # Connecting

    def start(self, *, at_once: bool = False) -> None:
        """Begin to connect; `at_once`: without waiting for a countdown that runs."""
        with self._lock:
            self._wanted = True
            if self._ending:
                self._face.status(self.last_change)
            elif self._use is not None:
                if at_once and self._use.transport.last_change.retry_at is not None:
                    self._use.transport.stop()
                self._use.transport.start()

    def stop(self) -> None:
        """Begin to disconnect."""
        with self._lock:
            self._wanted = False
            if self._ending:
                self._face.status(self.last_change)
            elif self._use is not None:
                self._use.transport.stop()

    # Sending

    def submit(self, message: OutgoingMessage | str) -> Receipt:
        """Hand over a message for the present place.

        Errors: `OutboxFull`, and `InvalidMessage`, as of the transport.
        """
        with self._lock:
            assert self._use is not None, "there is nowhere to go yet"
            receipt = self._outgoing.submit(self._use, message)
            self._face.changed()
            return receipt

    def retry(self, key: str) -> None:
        """Send a message again that came to nothing, if it was written for the present place.

        Errors: `ChatError` where it wasn't, or is no longer kept; `OutboxFull`, and `InvalidMessage`, as of
        the transport.
        """
        with self._lock:
            self._outgoing.retry(self._use, key)
            self._face.changed()

    def retry_all(self) -> int:
        """Send all undelivered messages for the present place again; return their number.

        Errors: as of `retry`, after which some may have been sent.
        """
        with self._lock:
            here = self._outgoing.for_place(self.place)
            for own in here:
                self.retry(own.key)
            return len(here)

    def typing(self) -> None:
        """Tell the room that the person types."""
        with self._lock:
            if self._use is not None and not self._ending:
                self._use.transport.typing()

    # What happens: on a thread of the transport's own, or on its loop

    def _on_receipt(self, use: Use, receipt: Receipt) -> None:
        with self._lock:
            if self._outgoing.settled(use, receipt):
                self._face.changed()

    def _on_event(self, use: Use, event: ChatEvent) -> None:
        with self._lock:
            if self._incoming.take(use, event, here=use is self._use):
                self._forget_typists_later()
                self._face.changed()

    def _forget_typists_later(self) -> None:
        if not self._forgetting and self._typists.names(self._clock()):
            self._forgetting = True
            loop, lasts = self._loop or background_loop(), self._typists.lasts(self._clock())
            loop.call_soon_threadsafe(loop.call_later, lasts, self._forget_typists)

    def _forget_typists(self) -> None:
        with self._lock:
            self._forgetting = False
            self._forget_typists_later()
            self._face.changed()

    def _on_status(self, use: Use, change: StatusChange) -> None:
        with self._lock:
            connected = change.status is ConnectionStatus.CONNECTED
            met, use.log.met = use.log.met, use.log.met or connected
            if use is not self._use or self._ending:
                return  # The end of one that has made way is no news.
            if change.status not in ENDED:
                self._wanted = True
            elif change.reason != ASKED:  # News of an end that was asked for may come after a new start.
                self._wanted = False
            if connected:
                if met and use.transport.cursor is None:
                    self._incoming.missing("this server doesn't tell what came meanwhile")
            else:
                self._typists.clear()
                self._own.let_wait()
            self._face.status(change)
            self._face.changed()
