"""The WebSocket machine.

It is in one of the states of `websocket_states.py`, each with its own deadline; leaving a state drops its
timers. Every connection attempt has its own link number, and events of an abandoned link are ignored.

State diagram, made by exploring the machine:

<diagram>
any --Submit--> same: Refuse
idle --Connect--> connecting: Notify(connecting), OpenWebSocket
idle --Tick--> idle: Settle(expired)
connecting --Disconnect--> idle: Close(1006), Notify(disconnected)
connecting --Tick--> waiting: Close(1006), Notify(reconnecting)
connecting --Opened--> online: Notify(connected)
connecting --Closed(401)--> connecting: Notify(reconnecting), OpenWebSocket
connecting --Closed(retry)--> waiting: Notify(reconnecting)
connecting --Closed(give up) | Closed(401) | Closed(retry)--> idle: Notify(error)
connecting --Opened--> online: Notify(connected), Send, Settle(sent)
connecting --Tick--> idle: Close(1006), Notify(error)
online --Disconnect--> idle: Close(1000), Notify(disconnected)
online --Submit--> online: Send, Settle(sent)
online --Typing | Tick--> online: Send
online --message--> online: Deliver(message)
online --Closed(1000)--> idle: Notify(disconnected)
online --Closed(retry)--> waiting: Notify(reconnecting)
online --Closed(give up) | Closed(retry)--> idle: Notify(error)
online --Disconnect--> draining
online --ack--> online: Settle(acked)
online --nack--> online: Settle(failed)
online --nack(503)--> waiting: Close(1000), Notify(reconnecting)
online --Tick--> waiting: Close(4000), Notify(reconnecting)
online --nack(503)--> idle: Close(1000), Notify(error)
online --Tick--> idle: Close(4000), Notify(error)
draining --Connect--> online
draining --Typing--> draining: Send
draining --Tick | nack(503)--> idle: Close(1000), Notify(disconnected)
draining --message--> draining: Deliver(message)
draining --ack--> idle: Settle(acked), Close(1000), Notify(disconnected)
draining --nack--> idle: Settle(failed), Close(1000), Notify(disconnected)
draining --Closed(1000) | Closed(retry) | Closed(give up)--> idle: Notify(disconnected)
waiting --Disconnect--> idle: Notify(disconnected)
waiting --Tick--> connecting: Notify(reconnecting), OpenWebSocket
</diagram>

Source: seed ("WebSocket Implementation"); RFC 6455.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import assert_never

from msgspec import UNSET

from chatlab.dialects.base import (
    Dialect,
    Nack,
    Refused,
    Reply,
    ServerPing,
    ServerPong,
    Unreadable,
    Welcome,
)
from chatlab.messages import ChatMessage, ConnectionStatus, DeliveryState
from chatlab.settings import HeartbeatConfig, WebSocketConfig
from chatlab.transports.backoff import Uniform
from chatlab.transports.cursor import Cursor
from chatlab.transports.failures import judge, refusal
from chatlab.transports.heartbeat import Heartbeat, Silence
from chatlab.transports.hints import heartbeat_refused, no_websocket, other_protocol
from chatlab.transports.ledger import Ledger
from chatlab.transports.machine import (
    Answered,
    Close,
    Closed,
    Connect,
    Disconnect,
    Effect,
    Event,
    Failure,
    Links,
    Opened,
    OpenWebSocket,
    Ping,
    Pinged,
    Pong,
    Received,
    ReceivedBytes,
    Send,
    SendBytes,
    Settle,
    Submit,
    Tick,
    Typing,
    frame_effect,
)
from chatlab.transports.retry_state import RetryState
from chatlab.transports.websocket_states import IDLE, Connecting, Greeting, Idle, Online, Open, Waiting

_SENT = DeliveryState.SENT  # Reading an enum's attribute takes longer than creating an effect.

PONG_GAP = 0.1
"""Minimum seconds between two pongs, so that a flood of pings doesn't cause a flood of pongs."""


class WebSocketMachine:
    """One person's chat over WebSocket, without sockets or clock.

    `uniform` draws its jitter. `heartbeat` makes the heartbeat of each connection.
    """

    __slots__ = (
        "_config",
        "_dialect",
        "_heartbeat_mode",
        "_ledger",
        "_links",
        "_make_heartbeat",
        "_retry_state",
        "_state",
        "_wire",
        "deadline",
        "rtt",
    )

    def __init__(
        self,
        config: WebSocketConfig,
        dialect: Dialect,
        uniform: Uniform,
        *,
        ledger: Ledger | None = None,
        links: Links | None = None,
        heartbeat: Callable[[HeartbeatConfig, float], Heartbeat] = Heartbeat,
    ) -> None:
        dialect.require("websocket")
        self._config = config
        self._dialect = dialect
        self._wire = dialect  # That of the last connection.
        self._retry_state = RetryState(config, uniform, dialect.failures)
        self._ledger = ledger or Ledger(config, dialect, acks=dialect.acks)
        self._state: Idle | Connecting | Greeting | Online | Waiting = IDLE
        self._links = links or Links()
        self._make_heartbeat = heartbeat
        mode = config.heartbeat.mode
        self._heartbeat_mode = dialect.heartbeat if mode is None or mode == "both" else mode
        self.deadline = inf
        self.rtt: float | None = None

    @property
    def state(self) -> str:
        """The name of the state, such as `online`."""
        return self._state.name

    @property
    def status(self) -> ConnectionStatus:
        """The transport's status as last notified."""
        return self._retry_state.status

    @property
    def cursor(self) -> Cursor:
        """The reader's position in the room."""
        return self._ledger.cursor

    @property
    def unsettled(self) -> int:
        """Number of accepted messages that aren't in a final state."""
        return self._ledger.unsettled

    def _ping(self, id: int) -> Ping | Send | SendBytes:
        link = self._state.link
        return Ping(link, id) if self._heartbeat_mode == "ping" else frame_effect(link, self._wire.ping(id))

    def handle(self, event: Event, now: float) -> Sequence[Effect]:
        """Handle an event at `now` (seconds on any monotonic clock); return the effects in order."""
        out: list[Effect] = []
        state = self._state
        if type(event) is Received or type(event) is ReceivedBytes:
            if isinstance(state, Open) and event.link == state.link:
                self._receive(state, event.data, now, out)
        elif type(event) is Tick:
            self._tick(event.woke, now, out)
        elif type(event) is Submit:
            self._ledger.submit(event.message, now, out, again=event.again)
            if isinstance(state, Online):
                self._flush(state.link, out)
            if not self._ledger.can_expire:
                return out  # The deadline is unchanged.
        elif type(event) is Closed:
            if isinstance(state, Connecting | Open) and event.link == state.link:
                self._fail(event.failure, now, out)
        elif type(event) is Opened:
            if isinstance(state, Connecting) and event.link == state.link:
                self._open(state, event.protocol, now, out)
        elif type(event) is Pong:
            if isinstance(state, Online) and event.link == state.link and state.heartbeat is not None:
                state.heartbeat.activity(now)
                self._measure(state.heartbeat, event.id, now)
        elif type(event) is Pinged:
            if isinstance(state, Online) and event.link == state.link and state.heartbeat is not None:
                state.heartbeat.activity(now)
        elif type(event) is Connect:
            self._connect(now, out)
        elif type(event) is Disconnect:
            self._disconnect(event.drain, now, out)
        elif type(event) is Typing:
            if isinstance(state, Online) and (frame := self._wire.typing(self._config)) is not None:
                out.append(frame_effect(state.link, frame))
        elif type(event) is Answered:
            pass  # A WebSocket makes no requests.
        else:
            assert_never(event)
        deadline = self._state.deadline
        self.deadline = min(deadline, self._ledger.deadline) if self._ledger.can_expire else deadline
        return out

    # Connecting and disconnecting

    def _connect(self, now: float, out: list[Effect]) -> None:
        state = self._state
        if isinstance(state, Online):
            state.drain_until = inf
            self._flush(state.link, out)
        elif isinstance(state, Idle):
            self._retry_state.start(out)
            self._dial(now, out)

    def _dial(self, now: float, out: list[Effect], failure: Failure | None = None) -> None:
        link = self._links.next()
        config, cursor = self._ledger.resume_from(self._config, None, out)
        self._wire = self._wire.for_connection()
        opening = self._wire.opening(config, cursor)
        self._state = Connecting(link, now + self._config.connect_timeout, opening)
        out.append(
            OpenWebSocket(
                link,
                opening.query,
                failure,
                path=opening.path,
                headers=opening.headers,
                protocols=opening.protocols,
            )
        )

    def _open(self, state: Connecting, protocol: str, now: float, out: list[Effect]) -> None:
        link, opening = state.link, state.opening
        if opening.protocols and protocol not in opening.protocols:
            reason = f"the server doesn't speak {' or '.join(opening.protocols)}"
            out.append(Close(link, 1002, reason))
            self._fail(Failure("protocol", reason=reason), now, out)
            return
        frames = [frame_effect(link, frame) for frame in opening.frames]
        if self._dialect.greets:
            self._state = Greeting(link, state.deadline)
            out += frames
            return
        self._enter(link, now, out)
        out += frames
        self._flush(link, out)

    def _enter(self, link: int, now: float, out: list[Effect]) -> Online:
        """Become connected."""
        self._state = state = Online(link, now, self._heartbeat(now))
        self._retry_state.connected(out)
        return state

    def _heartbeat(self, now: float) -> Heartbeat | Silence | None:
        """Return the heartbeat of a connection that opens now."""
        settings, mode = self._config.heartbeat, self._heartbeat_mode
        if not settings.enabled or mode == "none":
            return None
        return Silence(settings, now) if mode == "server" else self._make_heartbeat(settings, now)

    def _disconnect(self, drain: bool, now: float, out: list[Effect]) -> None:
        state = self._state
        if isinstance(state, Idle):
            return
        if drain and isinstance(state, Online) and self.unsettled and self._config.drain_timeout > 0:
            state.drain_until = min(state.drain_until, now + self._config.drain_timeout)
            return
        if isinstance(state, Connecting):
            out.append(Close(state.link, 1006, "abandoned"))
        self._leave(out)

    def _leave(self, out: list[Effect]) -> None:
        """Become idle, as the application asked; unsettled messages stay in the outbox."""
        state = self._state
        if isinstance(state, Open):
            if (frame := self._wire.last_frame()) is not None:
                out.append(frame_effect(state.link, frame))
            out.append(Close(state.link, 1000))
        self._ledger.lose_connection()
        self._state = IDLE
        self._retry_state.disconnected(out)

    def _fail(self, failure: Failure, now: float, out: list[Effect]) -> None:
        """Handle the loss of the link, or the failure to open it."""
        state = self._state
        self._state = IDLE
        self._ledger.lose_connection()
        hint = ""
        if isinstance(state, Online):
            if state.drain_until < inf:
                self._retry_state.disconnected(out, str(failure), failure.code)
                return
            if now - state.opened_at >= self._config.reconnect.stable_after:
                self._retry_state.reset()
            beat = state.heartbeat
            hint = state.other_protocol or self._retry_state.record_lifetime(failure, now - state.opened_at)
            if beat is not None and beat.open and self._heartbeat_mode == "json":
                hint += heartbeat_refused(failure)
        elif isinstance(state, Greeting):
            hint = state.other_protocol
        else:
            assert isinstance(state, Connecting)  # No other state has a link to lose.
            hint = no_websocket(failure, self._config, state.opening.path)
        then = self._retry_state.fail(failure, now, out, hint, check_address=True)
        if then.what == "renew":
            self._dial(now, out, failure)
        elif then.what == "retry":
            self._state = Waiting(then.at)

    # Time

    def _tick(self, woke: bool, now: float, out: list[Effect]) -> None:
        self._ledger.expire(now, out)
        state = self._state
        if isinstance(state, Online):
            if now >= state.drain_until or (state.drain_until < inf and not self.unsettled):
                self._leave(out)
            elif state.heartbeat is not None:
                if woke:
                    state.heartbeat.beat_now(now)
                self._beat(state, state.heartbeat, now, out)
        elif now >= state.deadline:
            if isinstance(state, Waiting):
                self._retry_state.retry(out)
                self._dial(now, out)
            else:
                out.append(Close(state.link, 1006, "connect timeout"))
                timeout = self._config.connect_timeout
                if isinstance(state, Greeting):
                    failure = state.came.missing(timeout)
                else:
                    failure = Failure("timeout", reason=f"no connection within {timeout:g} s")
                self._fail(failure, now, out)

    def _beat(self, state: Online, heartbeat: Heartbeat | Silence, now: float, out: list[Effect]) -> None:
        due = heartbeat.tick(now)
        if isinstance(due, int):
            out.append(self._ping(due))
        elif due is not None:
            out.append(Close(state.link, 4000, due))
            self._fail(Failure("close", 4000, due), now, out)

    def _measure(self, heartbeat: Heartbeat | Silence, ping: int, now: float) -> None:
        rtt = heartbeat.pong(ping, now)
        if rtt is not None:
            self.rtt = rtt

    # Messages

    def _flush(self, link: int, out: list[Effect]) -> None:
        while (message := self._ledger.take()) is not None:
            try:
                frame = self._wire.encode(self._config, message)
            except BaseException as error:
                raise self._ledger.unencodable(message, out) from error
            out.append(frame_effect(link, frame))
            out.append(Settle(message.client_id, _SENT))

    def _receive(self, state: Greeting | Online, frame: str | bytes, now: float, out: list[Effect]) -> None:
        if state.heartbeat is not None:
            state.heartbeat.activity(now)
        elif isinstance(state, Greeting):
            state.came.note(frame)
        for item in self._wire.decode(frame):
            if isinstance(item, ChatMessage):  # Tested first, as it is the most frequent.
                self._ledger.read(item, out)
            elif isinstance(item, ServerPong):
                if state.heartbeat is not None and item.id is not UNSET:
                    self._measure(state.heartbeat, item.id, now)
            elif isinstance(item, ServerPing):
                if now - state.answered_at >= PONG_GAP:
                    state.answered_at = now
                    out.append(
                        frame_effect(state.link, self._wire.pong(None if item.id is UNSET else item.id))
                    )
            elif isinstance(item, Reply):
                out.append(frame_effect(state.link, item.frame))
            elif isinstance(item, Welcome):
                if isinstance(state, Greeting):
                    state = self._enter(state.link, now, out)
                if isinstance(state.heartbeat, Silence):
                    state.heartbeat.agree(item.heartbeat_interval, item.heartbeat_timeout, now)
                self._ledger.read(item, out)
            elif isinstance(item, Refused):
                out.append(Close(state.link, 1000))
                self._fail(refusal(item), now, out)
                return
            elif isinstance(item, Nack) and self._is_temporary(item):
                # To keep the order, all unsettled messages are sent again on a new link, after the backoff.
                out.append(Close(state.link, 1000, "the server can't take a message at present"))
                self._fail(Failure("http", item.status, item.reason), now, out)
                return
            else:
                if type(item) is Unreadable and (hint := other_protocol(frame, self._config)):
                    state.other_protocol = hint
                    item = Unreadable(item.reason + hint, item.excerpt, item.id)
                self._ledger.read(item, out)
        if isinstance(state, Greeting):
            return
        self._flush(state.link, out)
        if state.drain_until < inf and not self.unsettled:
            self._leave(out)

    def _is_temporary(self, nack: Nack) -> bool:
        """Return whether the server may accept the message later."""
        failure = Failure("http", nack.status)
        return self._ledger.is_sent(nack.client_id) and judge(failure, self._config.failures) == "retry"
