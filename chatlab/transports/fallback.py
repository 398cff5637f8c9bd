"""The fallback machine: the best transport of an ordered list that works; better ones are probed beside it.

    trying 1 ──too many failures, or gave up──▶ trying 2 ──…──▶ trying n ──▶ waiting, then trying 1 again
       │ something received
       ▼
    working ──every `upgrade_after`, unless it is the first──▶ a probe of a better one beside it
       ▲                                                         │ something received: it takes over
       └─────────────────────────────────────────────────────────┘ a failure: the next better one is probed

State diagram, made by exploring the machine with a WebSocket, SSE and one try per transport:

<diagram>
idle --Connect--> trying 1: Notify(connecting), OpenWebSocket
trying 1 --Disconnect--> idle: Close(1006), Notify(disconnected)
trying 1 --Tick--> trying 2: Close(1006), Notify(reconnecting), Fetch(stream)
trying 1 --opened--> trying 1: Notify(connected)
trying 1 --Closed(retry) | Closed(give up)--> trying 2: Notify(reconnecting), Fetch(stream)
trying 1 --Disconnect--> idle: Close(1000), Notify(disconnected)
trying 1 --Tick--> trying 1: Send
trying 1 --received--> working 1
working 1 --Disconnect--> idle: Close(1000), Notify(disconnected)
working 1 --Tick--> working 1: Send
working 1 --Closed(retry) | Closed(give up)--> trying 2: Notify(reconnecting), Fetch(stream)
trying 2 --Disconnect--> idle: Close(1000), Notify(disconnected)
trying 2 --Tick--> waiting: Close(1006), Notify(reconnecting)
trying 2 --opened--> trying 2: Notify(connected)
trying 2 --Closed(retry) | Closed(give up)--> waiting: Notify(reconnecting)
trying 2 --received--> working 2
trying 2 --Tick--> idle: Close(1006), Notify(error)
trying 2 --Closed(retry) | Closed(give up)--> idle: Notify(error)
working 2 --Disconnect--> idle: Close(1000), Notify(disconnected)
working 2 --Tick--> working 2 + probe: OpenWebSocket
working 2 --Closed(retry) | Closed(give up)--> waiting: Notify(reconnecting)
working 2 + probe --Disconnect--> idle: Close(1006), Close(1000), Notify(disconnected)
working 2 + probe --Tick--> working 2: Close(1006)
working 2 + probe --Closed(retry) | Closed(give up)--> waiting: Close(1006), Notify(reconnecting)
working 2 + probe --probe Closed(retry) | probe Closed(give up)--> working 2
working 2 + probe --Disconnect--> idle: Close(1000), Close(1000), Notify(disconnected)
working 2 + probe --Tick--> working 2 + probe: Send
working 2 + probe --Closed(retry) | Closed(give up)--> waiting: Close(1000), Notify(reconnecting)
working 2 + probe --probe received--> working 1: Close(1000), Notify(connected)
waiting --Disconnect--> idle: Notify(disconnected)
waiting --Tick--> trying 1: Notify(reconnecting), OpenWebSocket
</diagram>

All transports share one outbox and one cursor, so no message is lost or shown twice. A probe reads with the
shared cursor, but sends no message until it takes over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import assert_never

from msgspec.structs import replace

from chatlab.dialects.base import Dialect
from chatlab.messages import ConnectionStatus, StatusChange
from chatlab.settings import FallbackConfig, TransportConfig
from chatlab.transports.backoff import Backoff, Uniform
from chatlab.transports.cursor import Cursor
from chatlab.transports.ledger import Ledger
from chatlab.transports.machine import (
    Answered,
    Close,
    Closed,
    Connect,
    Disconnect,
    Effect,
    Event,
    Fetch,
    Links,
    Machine,
    Notify,
    Opened,
    OpenWebSocket,
    Pinged,
    Pong,
    Received,
    ReceivedBytes,
    Submit,
    Tick,
    Typing,
    Unencodable,
)
from chatlab.transports.retry_state import REQUESTED

MakeMachine = Callable[[TransportConfig, Ledger, Links], Machine]
"""A factory of the machine of one transport, on a shared ledger."""

_FIRST_ERROR_STATUS = 400


class FallbackMachine:
    """One person's chat over the best transport that works, without sockets or clock."""

    __slots__ = (
        "_attempts",
        "_backoff",
        "_config",
        "_current",
        "_index",
        "_ledger",
        "_links",
        "_make",
        "_owners",
        "_probe",
        "_probe_index",
        "_probe_ledger",
        "_tries",
        "_upgrade_at",
        "_wait_until",
        "_worked",
        "status",
    )

    def __init__(self, config: FallbackConfig, make: MakeMachine, uniform: Uniform, dialect: Dialect) -> None:
        self._config = config
        self._make = make
        self._links = Links()
        self._ledger = Ledger(config.first, dialect, acks=dialect.acks)
        self._backoff = Backoff(config.reconnect, uniform)
        self._current: Machine | None = None
        self._probe: Machine | None = None
        self._probe_ledger = self._ledger
        self._probe_index = 0
        self._owners: dict[int, tuple[Machine, bool]] = {}  # by link; True: the link receives messages
        self._index = 0
        self._tries = 0  # failures of the transport in use since it last received data
        self._attempts = 0  # attempts of the transports that were abandoned since then
        self._worked = False
        self._upgrade_at = inf
        self._wait_until = inf
        self.status = ConnectionStatus.DISCONNECTED

    @property
    def state(self) -> str:
        """The name of the state: idle, waiting, trying n or working n, with `+ probe` while there is one."""
        if self._wait_until < inf:
            return "waiting"
        if self._current is None:
            return "idle"
        name = f"{'working' if self._worked else 'trying'} {self._index + 1}"
        return name if self._probe is None else f"{name} + probe"

    @property
    def kind(self) -> str:
        """The name of the settings of the transport in use, such as `WebSocketConfig`."""
        return type(self._config.transports[self._index]).__name__

    @property
    def cursor(self) -> Cursor:
        """The reader's position in the room."""
        return self._ledger.cursor

    @property
    def unsettled(self) -> int:
        """Number of accepted messages that aren't in a final state."""
        return self._ledger.unsettled

    @property
    def rtt(self) -> float | None:
        """Round-trip time in seconds of the transport in use."""
        return None if self._current is None else self._current.rtt

    @property
    def deadline(self) -> float:
        """Time of the next `Tick`, in seconds on the clock of `now`; inf: none."""
        current = self._ledger.deadline if self._current is None else self._current.deadline
        probe = inf if self._probe is None else self._probe.deadline
        return min(current, probe, self._upgrade_at, self._wait_until)

    def handle(self, event: Event, now: float) -> Sequence[Effect]:
        """Handle an event at `now` (seconds on any monotonic clock); return the effects in order.

        Errors: `Unencodable` if the dialect raises for a message.
        """
        out: list[Effect] = []
        match event:
            case Received() | ReceivedBytes() | Answered() | Opened() | Pong() | Pinged() | Closed():
                self._take(event, now, out)
            case Tick():
                self._tick(event, now, out)
            case Submit():
                if self._current is None:
                    self._ledger.submit(event.message, now, out, again=event.again)
                else:
                    self._dispatch(self._current, event, now, out)
            case Connect():
                self._connect(now, out)
            case Disconnect():
                self._disconnect(event, now, out)
            case Typing():
                if self._current is not None:
                    self._dispatch(self._current, event, now, out)
            case unknown:
                assert_never(unknown)
        return out

    # Trying one after the other

    def _connect(self, now: float, out: list[Effect]) -> None:
        if self._current is not None:
            if self._worked and self._index and self._probe is None:
                self._upgrade_at = min(self._upgrade_at, now + self._config.upgrade_after)
            self._dispatch(self._current, Connect(), now, out)
        elif self._wait_until == inf:
            self._index = self._attempts = 0
            self._backoff.reset()
            self._enter(now, out)

    def _enter(self, now: float, out: list[Effect]) -> None:
        """Start the transport at `_index`."""
        self._wait_until = inf
        self._tries = 0
        self._worked = False
        self._current = self._make(self._config.transports[self._index], self._ledger, self._links)
        self._dispatch(self._current, Connect(), now, out)

    def _disconnect(self, event: Disconnect, now: float, out: list[Effect]) -> None:
        self._drop_probe(now, out)
        self._upgrade_at = inf
        if self._current is not None:
            self._dispatch(self._current, event, now, out)
        elif self._wait_until < inf:
            self._wait_until = inf
            self._notify(StatusChange(ConnectionStatus.DISCONNECTED, REQUESTED), out)

    def _take(
        self,
        event: Received | ReceivedBytes | Answered | Opened | Pong | Pinged | Closed,
        now: float,
        out: list[Effect],
    ) -> None:
        machine, receives = self._owners.get(event.link, (None, False))
        if machine is None:
            return
        if isinstance(event, Answered | Closed):
            del self._owners[event.link]
        self._dispatch(machine, event, now, out)
        received = isinstance(event, Received | ReceivedBytes | Pong | Pinged) or (
            isinstance(event, Answered) and event.answer.status < _FIRST_ERROR_STATUS
        )
        if receives and received and machine.status is ConnectionStatus.CONNECTED:
            if machine is self._current:
                self._mark_working(now)
            else:
                self._take_over(machine, now, out)

    def _mark_working(self, now: float) -> None:
        """Record that the transport in use has received data."""
        if not self._worked:
            self._worked = True
            self._upgrade_at = now + self._config.upgrade_after if self._index else inf
            self._backoff.reset()
        self._tries = self._attempts = 0

    def _dispatch(self, machine: Machine, event: Event, now: float, out: list[Effect]) -> None:
        """Pass an event to a transport, forward its effects, and leave it if it has failed."""
        failed: StatusChange | None = None
        raised: Unencodable | None = None
        effects: Sequence[Effect]
        try:
            effects = machine.handle(event, now)
        except Unencodable as error:
            effects, raised = error.effects, error
        for effect in effects:
            match effect:
                case Notify(change):
                    if self._is_usable(machine, change):
                        if machine is self._current:
                            self._forward_status(change, now, out)
                    else:
                        failed = change
                    continue
                case OpenWebSocket():
                    self._owners[effect.link] = machine, True
                    effect = replace(effect, transport=self._index_of(machine))
                case Fetch():
                    self._owners[effect.link] = machine, effect.purpose in ("stream", "poll")
                    effect = replace(effect, transport=self._index_of(machine))
                case Close():
                    self._owners.pop(effect.link, None)
                case _:
                    pass
            out.append(effect)
        if raised is not None:
            raise Unencodable(raised.client_id, out) from raised.__cause__
        if failed is None:
            return
        if machine is self._current:
            self._next_transport(failed, now, out)
        else:
            self._probe_failed(now, out)

    def _index_of(self, machine: Machine) -> int:
        """Return the index of a machine's transport."""
        return self._index if machine is self._current else self._probe_index

    def _is_usable(self, machine: Machine, change: StatusChange) -> bool:
        """Count a failure; return whether the transport may stay in use, or the probe may go on."""
        failure = change.status is ConnectionStatus.RECONNECTING and change.retry_at is not None
        if machine is not self._current:
            ended = change.status in (ConnectionStatus.ERROR, ConnectionStatus.DISCONNECTED)
            return not (failure or ended)
        self._tries += failure
        enough = self._tries >= self._config.attempts_per_transport and len(self._config.transports) > 1
        return not (enough or change.status is ConnectionStatus.ERROR)

    def _forward_status(self, change: StatusChange, now: float, out: list[Effect]) -> None:
        """Notify the status of the transport in use as that of the fallback."""
        if change.status is ConnectionStatus.CONNECTING and self.status is ConnectionStatus.RECONNECTING:
            return
        if change.status is ConnectionStatus.DISCONNECTED:
            self._drop_probe(now, out)
            self._current, self._upgrade_at = None, inf
        elif self._attempts:
            change = replace(change, attempt=self._attempts + change.attempt)
        self._notify(change, out)

    def _next_transport(self, change: StatusChange, now: float, out: list[Effect]) -> None:
        """Leave a transport that doesn't work for the next one; after the last one, wait and start again."""
        self._drop_probe(now, out)
        self._upgrade_at = inf
        failed, self._current = self._current, None
        self._abandon(failed, now, out)
        self._attempts += max(1, change.attempt)
        reason = f"{_name(self._config.transports[self._index])} doesn't work ({change.reason})"
        self._index += 1
        if self._index < len(self._config.transports):
            reason += f"; trying {_name(self._config.transports[self._index])}"
            self._notify(
                StatusChange(ConnectionStatus.RECONNECTING, reason, self._attempts, code=change.code), out
            )
            self._enter(now, out)
            return
        self._index = 0
        if self._backoff.exhausted or len(self._config.transports) == 1:
            self._notify(StatusChange(ConnectionStatus.ERROR, reason, self._attempts, code=change.code), out)
            return
        self._wait_until = now + self._backoff.next()
        self._notify(
            StatusChange(
                ConnectionStatus.RECONNECTING, reason, self._attempts, self._wait_until, change.code
            ),
            out,
        )

    def _abandon(self, machine: Machine | None, now: float, out: list[Effect]) -> None:
        """Disconnect a transport at once; forward only its `Close` effects."""
        if machine is None:
            return
        for effect in machine.handle(Disconnect(drain=False), now):
            if isinstance(effect, Close):
                self._owners.pop(effect.link, None)
                out.append(effect)

    def _notify(self, change: StatusChange, out: list[Effect]) -> None:
        self.status = change.status
        out.append(Notify(change))

    # Probing a better one

    def _tick(self, tick: Tick, now: float, out: list[Effect]) -> None:
        if self._current is None:
            self._ledger.expire(now, out)
        elif tick.woke or now >= self._current.deadline:
            self._dispatch(self._current, tick, now, out)
        if now >= self._wait_until:
            self._notify(StatusChange(ConnectionStatus.RECONNECTING, "trying again", self._attempts), out)
            self._enter(now, out)
        if self._probe is not None and now >= self._probe.deadline:
            self._dispatch(self._probe, Tick(), now, out)
        if now >= self._upgrade_at:
            self._start_probe(0, now, out)

    def _start_probe(self, index: int, now: float, out: list[Effect]) -> None:
        self._upgrade_at = inf
        self._probe_index = index
        self._probe_ledger = self._ledger.without_outbox()
        self._probe = self._make(self._config.transports[index], self._probe_ledger, self._links)
        self._dispatch(self._probe, Connect(), now, out)

    def _probe_failed(self, now: float, out: list[Effect]) -> None:
        self._drop_probe(now, out)
        if self._probe_index + 1 < self._index:
            self._start_probe(self._probe_index + 1, now, out)
        else:
            self._upgrade_at = now + self._config.upgrade_after

    def _drop_probe(self, now: float, out: list[Effect]) -> None:
        probe, self._probe = self._probe, None
        self._abandon(probe, now, out)

    def _take_over(self, probe: Machine, now: float, out: list[Effect]) -> None:
        """Replace the transport in use by the probe, which also gets its unsettled messages."""
        old, self._current, self._probe = self._current, probe, None
        self._abandon(old, now, out)
        self._probe_ledger.outbox = self._ledger.outbox
        self._index, self._worked = self._probe_index, False
        self._mark_working(now)
        name = _name(self._config.transports[self._index])
        self._notify(StatusChange(ConnectionStatus.CONNECTED, f"back to {name}"), out)
        self._dispatch(probe, Connect(), now, out)


def _name(config: TransportConfig) -> str:
    return type(config).__name__.removesuffix("Config")
