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
from itertools import count
from typing import Any

from msgspec import Struct

from chatlab.conversation.face import Face, Heard
from chatlab.conversation.failures import explain
from chatlab.conversation.logs import Log, Logs
from chatlab.conversation.own import REASON, Own, OwnMessages
from chatlab.conversation.places import Place, place_of
from chatlab.conversation.typists import Typists
from chatlab.errors import ChatError, ChatSendError
from chatlab.live.kinds import make_transport
from chatlab.live.logs import get_logger
from chatlab.live.portal import background_loop
from chatlab.live.receipt import Receipt
from chatlab.live.subscribers import Unsubscribe
from chatlab.live.transport import ENDED, ChatTransport
from chatlab.messages import (
    ChatEvent,
    ChatMessage,
    ConnectionStatus,
    DeliveryState,
    OutgoingMessage,
    StatusChange,
)
from chatlab.settings import AnyConfig
from chatlab.transports.machine import Settle

logger = get_logger()

EXCERPT = 200
"""Characters that are shown of what a server complains about."""

_CHANGING = StatusChange(ConnectionStatus.CONNECTING, "the previous connection is being closed")
_NOWHERE = StatusChange(ConnectionStatus.DISCONNECTED)


class _Use(Struct, eq=False):
    """A transport in use: where it leads to, and the log that it reads."""

    transport: ChatTransport
    place: Place
    log: Log
    subscriptions: list[Unsubscribe]


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
        self._series = secrets.token_hex(8)  # what was loaded from a file has keys of another
        self._numbers = count(1)
        self._own = OwnMessages(self._series)
        self._logs = Logs()
        self._typists = Typists()
        self._forgetting = False
        self._config: AnyConfig | None = None
        self._use: _Use | None = None
        self._ending: list[_Use] = []
        self._wanted = False  # whether it is to be connected

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
    def last_change(self) -> StatusChange:
        """The latest change of status."""
        if self._ending:
            return _CHANGING if self._wanted else _NOWHERE
        return _NOWHERE if self._use is None else self._use.transport.last_change

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
            self._use = use = _Use(transport, place, self._logs.at(place), [])
            use.subscriptions += [
                transport.on_message(lambda event: self._on_event(use, event)),
                transport.on_receipt(lambda receipt: self._on_receipt(use, receipt)),
                transport.on_status_change(lambda change: self._on_status(use, change)),
            ]
            if old is None:
                self._resume(use)
                return
            self._typists.clear()
            self._own.let_wait()
            self._ending.append(old)
            asyncio.run_coroutine_threadsafe(self._end(old), self._loop or background_loop())
            if place != old.place:
                self._face.moved(old.place)
            self._face.status(self.last_change)
            self._face.changed()

    async def _end(self, use: _Use) -> None:
        try:
            await use.transport.disconnect()
        except Exception:
            logger.exception("a transport could not be disconnected; the conversation goes on without it")
        with self._lock:
            for unsubscribe in use.subscriptions:
                unsubscribe()
            use.log.move(use.transport.cursor)
            for message in use.transport.unsettled():
                self._adopt(use, message)
            self._ending.remove(use)
            if not self._ending:
                self._arrive()

    def _arrive(self) -> None:
        """All transports before have ended: the new one takes over what is for its place, and connects."""
        use = self._use
        assert use is not None
        for own in self._own:
            if own.holder is use.transport:
                continue
            if own.place == use.place:
                self._hand_over(own, use.transport)
            else:
                self._leave_behind(own, use.place)
        self._resume(use)
        left = sum(own.left and own.place == use.place for own in self._own.undelivered())
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

    def _resume(self, use: _Use) -> None:
        if use.log.cursor is not None:
            use.transport.resume(use.log.cursor)

    def _hand_over(self, own: Own, transport: ChatTransport) -> None:
        assert own.message is not None
        age = transport.config.outbox.max_age
        if age is not None and self._clock() - own.accepted_at >= age:
            self._give_up(own, DeliveryState.EXPIRED, f"expired: waited longer than {age:g} s")
            return
        own.holder = transport
        try:
            receipt = transport.submit(own.message, again=True)
        except (Exception, SystemExit) as error:
            self._give_up(own, DeliveryState.FAILED, explain(error))
            return
        own.receipt = own.receipt or receipt
        if own.state is not receipt.state:
            own.state = receipt.state
            self._face.settled(own)

    def _leave_behind(self, own: Own, here: Place) -> None:
        unknown = own.state is not DeliveryState.QUEUED
        own.left = True
        own.reason = f"for {own.place.seen_from(here)}{'; it may have arrived' if unknown else ''}"
        self._face.settled(own)
        self._own.close(own)

    def _give_up(self, own: Own, state: DeliveryState, reason: str) -> None:
        own.state, own.reason = state, reason[:REASON]
        _tell(own, Settle(own.client_id, state, reason))
        self._face.settled(own)
        self._own.close(own)

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
        if isinstance(message, str) or not message.client_id:
            text, data = (message, None) if isinstance(message, str) else (message.text, message.data)
            message = OutgoingMessage(text=text, data=data, client_id=secrets.token_hex(16))
        with self._lock:
            use = self._use
            assert use is not None, "there is nowhere to go yet"
            own = self._own.add(message, use.place, use.transport, time.time(), self._clock())
            try:
                receipt = use.transport.submit(message)
            except Exception:
                self._own.take_back(own)
                raise
            own.waits = receipt.state is DeliveryState.QUEUED
            self._show(own, receipt)
            return receipt

    def _show(self, own: Own, receipt: Receipt) -> None:
        own.receipt, own.state, own.shown = receipt, receipt.state, True
        self._face.accepted(own)
        if receipt.final:
            self._follow(own, receipt)
        self._face.changed()

    def retry(self, key: str) -> None:
        """Send a message again that came to nothing, if it was written for the present place.

        Errors: `ChatError` where it wasn't, or is no longer kept; `OutboxFull`, and `InvalidMessage`, as of
        the transport.
        """
        with self._lock:
            own, use = self._own.waiting_for(key), self._use
            if own is None or own.message is None or use is None:
                raise ChatError(
                    "that message is from a file, or no longer kept; copy its text to send it anew"
                )
            if own.place != use.place:
                raise ChatError(f"that message is for {own.place.seen_from(use.place)}; go there first")
            before = (own.state, own.reason, own.left)
            self._own.reopen(own, use.transport)
            try:
                receipt = use.transport.submit(own.message)
            except Exception:
                own.state, own.reason, own.left = before
                self._own.close(own)
                raise
            if own.receipt is None or own.receipt.final:
                own.receipt = receipt
            own.state, own.waits = receipt.state, True
            self._face.settled(own)
            self._face.changed()

    def retry_all(self) -> int:
        """Send all undelivered messages for the present place again; return their number.

        Errors: as of `retry`, after which some may have been sent.
        """
        with self._lock:
            here = [own for own in self._own.undelivered() if own.place == self.place]
            for own in here:
                self.retry(own.key)
            return len(here)

    def typing(self) -> None:
        """Tell the room that the person types."""
        with self._lock:
            if self._use is not None and not self._ending:
                self._use.transport.typing()

    def _adopt(self, use: _Use, message: OutgoingMessage) -> Own | None:
        """Take a message for an own one that was handed to the transport itself; None: it's known."""
        if self._own.under_way(message.client_id) is not None:
            return None
        known = self._own.find(message.client_id, use.place, use.place.name)
        if known is not None:
            return None
        own = self._own.add(message, use.place, use.transport, time.time(), self._clock())
        own.shown = own.waits = True
        self._face.accepted(own)
        return own

    # What happens: on a thread of the transport's own, or on its loop

    def _on_receipt(self, use: _Use, receipt: Receipt) -> None:
        with self._lock:
            own = self._own.under_way(receipt.client_id) or self._adopt(use, receipt.message)
            if own is not None and own.holder is use.transport and own.shown:
                if own.receipt is None:
                    own.receipt = receipt
                self._follow(own, receipt)
                self._face.changed()

    def _follow(self, own: Own, receipt: Receipt) -> None:
        """Take over the state of the receipt of the transport that holds a message."""
        error = receipt.error
        own.state, own.reason = receipt.state, str(error or "")[:REASON]
        if own.receipt is not receipt:
            refusal = error if isinstance(error, ChatSendError) else None
            reason, status = (refusal.reason, refusal.status) if refusal is not None else (own.reason, None)
            _tell(own, Settle(own.client_id, own.state, reason, status))
        self._face.settled(own)
        if receipt.final:
            self._own.close(own)

    def _on_event(self, use: _Use, event: ChatEvent) -> None:
        with self._lock:
            here = use is self._use
            match event.type:
                case "message":
                    if event.message is not None:
                        self._received(use, event.message)
                case "typing" if here:
                    self._typists.typed(event.sender, self._clock())
                    self._forget_typists_later()
                case "presence" if here:
                    self._presence(use, event)
                case "resync" | "overrun":
                    self._face.notice(f"Messages may be missing here: {event.reason}.", warning=True)
                case "unreadable":
                    what = f"A frame from the server can't be read ({event.reason})"
                    self._face.notice(f"{what}: {_excerpt(event.payload)}", warning=True)
                case "error":
                    self._face.notice(f"The server complains: {_excerpt(event.payload)}", warning=True)
                case _:
                    return  # Statuses have their own way, and a server's other events aren't for reading.
            self._face.changed()

    def _received(self, use: _Use, message: ChatMessage) -> None:
        self._typists.stopped(message.sender)
        if not use.log.first(message.id):
            return
        own = self._own.find(message.client_id, use.place, message.sender) if message.client_id else None
        if own is not None and own.echo is None:
            own.echo = message.id
            if own.left or own.state is not DeliveryState.ACKED:
                own.state, own.reason, own.left = DeliveryState.ACKED, "", False
                _tell(own, Settle(own.client_id, own.state))
                self._face.settled(own)
                self._own.close(own)
            return
        place = f"{use.log.number}-{message.id}" if message.id else f"unnumbered-{next(self._numbers)}"
        key = f"heard-{self._series}-{place}"
        self._face.heard(Heard(key, message, message.sender == use.place.name))

    def _presence(self, use: _Use, event: ChatEvent) -> None:
        state = event.payload.get("state") if isinstance(event.payload, dict) else None
        if state == "left":
            self._typists.stopped(event.sender)
        if state in ("joined", "left") and event.sender != use.place.name:
            self._face.notice(f"{event.sender} {state}.")

    def _forget_typists_later(self) -> None:
        if not self._forgetting:
            self._forgetting = True
            loop, lasts = self._loop or background_loop(), self._typists.lasts(self._clock())
            loop.call_soon_threadsafe(loop.call_later, lasts, self._forget_typists)

    def _forget_typists(self) -> None:
        with self._lock:
            self._forgetting = False
            if self._typists.names(self._clock()):
                self._forget_typists_later()
            self._face.changed()

    def _on_status(self, use: _Use, change: StatusChange) -> None:
        with self._lock:
            connected = change.status is ConnectionStatus.CONNECTED
            met, use.log.met = use.log.met, use.log.met or connected
            if use is not self._use or self._ending:
                return  # The end of one that has made way is no news.
            self._wanted = change.status not in ENDED
            if connected:
                if met and use.transport.cursor is None:
                    reason = "this server doesn't tell what came meanwhile"
                    self._face.notice(f"Messages may be missing here: {reason}.", warning=True)
            else:
                self._typists.clear()
                self._own.let_wait()
            self._face.status(change)
            self._face.changed()


def _tell(own: Own, settle: Settle) -> None:
    """Tell whoever holds the first receipt of a message, which another transport has taken over."""
    if own.receipt is not None and not own.receipt.final:
        own.receipt.settle(settle)


def _excerpt(payload: Any) -> str:
    text = payload if isinstance(payload, str) else repr(payload)
    return text if len(text) <= EXCERPT else text[: EXCERPT - 1] + "…"
