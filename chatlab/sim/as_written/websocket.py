"""The original document's WebSocket: `getReconnectDelay`, `startHeartbeat` and `MessageQueue`.

- `let heartbeatTimer` and `let pongReceived = true` are shared by all connections, and no code calls
  `clearInterval`, so each connection's interval outlives it. One missed pong leaves `pongReceived` false. The
  next connection is then closed at its first tick ("Heartbeat timeout"), before it has sent a ping, and so is
  each one after it. The pings of old intervals go to closed sockets and get no answer, which closes a healthy
  connection, too.
- `if (this.queue.length >= this.maxSize) this.queue.shift()`: the oldest message is dropped without a report.
- `const msg = this.queue.shift()!; ws.send(…)`: a sent message is forgotten, whether it arrives or not. There
  are no acks, and no message is sent again.
- `Math.min(delay + jitter, config.maxDelay)`: once the cap is reached, all clients wait equally long.
- There is no cursor: a reader never sees the messages posted while it is away.

Our reading of what the document leaves out: a message goes to the socket if that is open, else to the queue.
`onopen` starts the heartbeat, flushes the queue, and resets the count of attempts. `onclose` waits for
`getReconnectDelay`, whatever the reason. A closed socket counts as closed at once, which is in its favour: a
browser waits for the closing handshake, on a dead path for long. Pings have the number 0, as the server
requires a number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from heapq import heappop, heappush
from math import inf

from chatlab.dialects.base import Dialect, ServerPong
from chatlab.dialects.chatlab import encode_frame
from chatlab.messages import (
    ChatEvent,
    ChatMessage,
    ConnectionStatus,
    DeliveryState,
    OutgoingMessage,
    StatusChange,
)
from chatlab.settings import ReconnectConfig
from chatlab.sim.as_written.settings import SeedWebSocket
from chatlab.transports.backoff import Uniform, next_delay
from chatlab.transports.machine import (
    Close,
    Closed,
    Connect,
    Deliver,
    Disconnect,
    Effect,
    Event,
    Failure,
    Links,
    Notify,
    Opened,
    OpenWebSocket,
    Received,
    ReceivedBytes,
    Send,
    Settle,
    Submit,
    Tick,
    frame_effect,
)

INTERVAL, TIMEOUT = "interval", "timeout"


class SeedWebSocketMachine:
    """One person's chat through this WebSocket. `intervals` counts the timers that never end."""

    __slots__ = (
        "_attempt",
        "_backoff",
        "_dialect",
        "_link",
        "_links",
        "_open",
        "_pong_received",
        "_query",
        "_queue",
        "_retry_at",
        "_settings",
        "_timers",
        "_timers_set",
        "_uniform",
        "intervals",
        "rtt",
        "status",
    )

    def __init__(
        self, settings: SeedWebSocket, dialect: Dialect, uniform: Uniform, room: str, sender: str
    ) -> None:
        reconnect = settings.reconnect
        self._settings = settings
        self._backoff = ReconnectConfig(
            base_delay=reconnect.base_delay,
            max_delay=reconnect.max_delay,
            backoff_multiplier=reconnect.backoff_multiplier,
            jitter="seed",
        )
        self._dialect = dialect
        self._uniform = uniform
        self._query = {"room": room, "sender": sender, "history": "0"}
        self._links = Links()
        self._link = 0
        self._open = False
        self._attempt = 0
        self._retry_at = inf
        self._queue: deque[OutgoingMessage] = deque()
        self._pong_received = True
        self._timers: list[tuple[float, int, str, int]] = []  # time, order, kind, link
        self._timers_set = 0
        self.intervals = 0
        self.rtt: float | None = None
        self.status = ConnectionStatus.DISCONNECTED

    @property
    def deadline(self) -> float:
        """Time of the next `Tick`, in seconds; inf: none."""
        return min(self._retry_at, self._timers[0][0]) if self._timers else self._retry_at

    def handle(self, event: Event, now: float) -> Sequence[Effect]:
        """Handle an event at `now`; return the effects in order."""
        out: list[Effect] = []
        match event:
            case Connect() if not self._link and self._retry_at == inf:
                self._attempt = 0
                self._dial(ConnectionStatus.CONNECTING, out)
            case Disconnect():
                self._leave(out)
            case Submit(message):
                self._submit(message, out)
            case Opened(link) if link == self._link:
                self._opened(now, out)
            case Received(link, data) | ReceivedBytes(link, data) if link == self._link:
                self._receive(data, out)
            case Closed(link, failure) if link == self._link:
                self._closed(failure, now, out)
            case Tick():
                self._tick(now, out)
            case _:
                pass  # Events of a closed socket, and those that the document doesn't handle.
        return out

    # The connection

    def _dial(self, status: ConnectionStatus, out: list[Effect]) -> None:
        self._link = self._links.next()
        self._notify(out, status, attempt=self._attempt)
        out.append(OpenWebSocket(self._link, self._query))

    def _opened(self, now: float, out: list[Effect]) -> None:
        self._open = True
        self._attempt = 0
        self._notify(out, ConnectionStatus.CONNECTED)
        if self._settings.heartbeat.enabled:
            self.intervals += 1
            self._set_timer(now + self._settings.heartbeat.interval, INTERVAL, self._link)
        while self._queue:
            self._send(self._queue.popleft(), out)

    def _close(self, link: int, reason: str, now: float, out: list[Effect]) -> None:
        """Call `ws.close(4000, reason)`, which does nothing on a closed socket."""
        if link == self._link:
            out.append(Close(link, 4000, reason))
            self._closed(Failure("close", 4000, reason), now, out)

    def _closed(self, failure: Failure, now: float, out: list[Effect]) -> None:
        self._link, self._open = 0, False
        reconnect = self._settings.reconnect
        if not reconnect.enabled or self._attempt >= reconnect.max_attempts:
            self._notify(out, ConnectionStatus.ERROR, str(failure), self._attempt)
            return
        delay = next_delay(self._backoff, self._attempt, 0.0, self._uniform())
        self._attempt += 1
        self._retry_at = now + delay
        self._notify(out, ConnectionStatus.RECONNECTING, str(failure), self._attempt, self._retry_at)

    def _leave(self, out: list[Effect]) -> None:
        if self._link:
            out.append(Close(self._link, 1000))
        if self.status is not ConnectionStatus.DISCONNECTED:
            self._notify(out, ConnectionStatus.DISCONNECTED)
        self._link, self._open, self._retry_at = 0, False, inf

    def _notify(
        self,
        out: list[Effect],
        status: ConnectionStatus,
        reason: str = "",
        attempt: int = 0,
        retry_at: float | None = None,
    ) -> None:
        self.status = status
        out.append(Notify(StatusChange(status, reason, attempt, retry_at)))

    # Timers

    def _set_timer(self, at: float, which: str, link: int) -> None:
        self._timers_set += 1
        heappush(self._timers, (at, self._timers_set, which, link))

    def _tick(self, now: float, out: list[Effect]) -> None:
        if now >= self._retry_at:
            self._retry_at = inf
            self._dial(ConnectionStatus.RECONNECTING, out)
        while self._timers and self._timers[0][0] <= now:
            at, _, which, link = heappop(self._timers)
            if which == INTERVAL:
                self._set_timer(at + self._settings.heartbeat.interval, INTERVAL, link)
                self._beat(link, now, out)
            elif not self._pong_received:
                self._close(link, "Pong timeout", now, out)

    def _beat(self, link: int, now: float, out: list[Effect]) -> None:
        """Run the function that the document passes to `setInterval`."""
        if not self._pong_received:
            self._close(link, "Heartbeat timeout", now, out)
            return
        self._pong_received = False
        if link == self._link:
            out.append(frame_effect(link, self._dialect.ping(0)))
        self._set_timer(now + self._settings.heartbeat.timeout, TIMEOUT, link)

    # Messages

    def _submit(self, message: OutgoingMessage, out: list[Effect]) -> None:
        if self._open:
            self._send(message, out)
            return
        if len(self._queue) >= self._settings.queue_size:
            self._queue.popleft()
        self._queue.append(message)

    def _send(self, message: OutgoingMessage, out: list[Effect]) -> None:
        out.append(Send(self._link, encode_frame(message)))
        out.append(Settle(message.client_id, DeliveryState.SENT))

    def _receive(self, frame: str | bytes, out: list[Effect]) -> None:
        for item in self._dialect.decode(frame):
            match item:
                case ServerPong():
                    self._pong_received = True
                case ChatMessage():
                    out.append(Deliver(ChatEvent("message", message=item, sender=item.sender)))
                case ChatEvent():
                    out.append(Deliver(item))
                case _:
                    pass
