"""The driver of one machine in the simulator: it gives it events, and carries out its effects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf
from types import MappingProxyType
from typing import assert_never

from chatlab.messages import ConnectionStatus, OutgoingMessage
from chatlab.sim.connection import Connection
from chatlab.sim.environment import LONG_AGO
from chatlab.sim.http_connection import Exchange
from chatlab.sim.http_session import Session
from chatlab.sim.link import Link
from chatlab.sim.network import Network
from chatlab.sim.path import Impairment, Path
from chatlab.sim.recorder import Recorder, is_whole
from chatlab.sim.timed_machine import TimedMachine
from chatlab.trace import Step, is_attempt
from chatlab.transports.machine import (
    Answered,
    Close,
    Closed,
    Connect,
    Deliver,
    Disconnect,
    Effect,
    Event,
    Fetch,
    Machine,
    Notify,
    OpenWebSocket,
    Ping,
    Refuse,
    Send,
    SendBytes,
    Settle,
    Submit,
)

CONNECT, DISCONNECT = Connect(), Disconnect()
_ENDED = (ConnectionStatus.DISCONNECTED, ConnectionStatus.ERROR)
_NO_SESSIONS: Mapping[int, Session] = MappingProxyType({})


class Driver(TimedMachine):
    """The driver of one person's machine, with path and links. The machine's steps are recorded in `steps`.

    `links` are its WebSockets, usually one. Each HTTP transport has a session. `read_at` is the time at which
    the server read the log for the last poll with a complete answer.
    """

    __slots__ = (
        "_closing",
        "_make_session",
        "_messages",
        "_network",
        "_recorder",
        "_sessions",
        "_steps",
        "links",
        "name",
        "path",
        "person",
        "read_at",
    )

    def __init__(
        self,
        person: int,
        name: str,
        machine: Machine,
        network: Network,
        path: Path,
        recorder: Recorder,
        steps: list[Step] | None = None,
        make_session: Callable[[Driver], Session] | None = None,
    ) -> None:
        super().__init__(machine, network.environment)
        self.person = person
        self.name = name
        self.path = path
        self.links: tuple[Link, ...] = ()
        self._closing: tuple[Link, ...] = ()
        self.read_at = LONG_AGO
        self._network = network
        self._recorder = recorder
        self._steps = steps
        self._make_session = make_session
        self._sessions = _NO_SESSIONS
        self._messages = 0

    @property
    def complete_until(self) -> float:
        """Time up to which deliveries are complete: each message that the server had before it must have been
        delivered. inf: the whole run."""
        for link in self.links:
            if link.up_to_date:
                return inf
        for session in self._sessions.values():
            if any(exchange.up_to_date for exchange in session.exchanges.values()):
                return inf
        return self.read_at

    @property
    def connections(self) -> Iterator[Connection]:
        """All connections: in use, idle, or closing."""
        pooled = [connection for session in self._sessions.values() for connection in session.connections]
        closing = [link for link in self._closing if link.closing]
        return iter([*self.links, *closing, *pooled])

    def adapt(self) -> None:
        """Apply the changes of the path."""
        for connection in self.connections:
            connection.adapt()

    def add_impairment(self, impairment: Impairment) -> None:
        """Add an impairment to the path."""
        self.path.add_impairment(impairment)
        self.adapt()

    def remove_impairment(self, impairment: Impairment) -> None:
        """Remove an impairment from the path."""
        self.path.remove_impairment(impairment)
        self.adapt()

    # Actions of the person

    def connect(self) -> None:
        """Ask to be connected."""
        if not self._postponed(self.connect):
            self.handle(CONNECT)

    def disconnect(self) -> None:
        """Ask to be disconnected."""
        if not self._postponed(self.disconnect):
            self.handle(DISCONNECT)

    def submit(self, text: str) -> None:
        """Send a message."""
        if self._postponed(self.submit, text):
            return
        self._messages += 1
        message = OutgoingMessage(text, client_id=f"{self.name}-{self._messages}")
        event = Submit(message)
        now = self._environment.now
        effects = self._machine.handle(event, now)
        if self._steps is not None:
            self._steps.append(Step(now, self.name, event, tuple(effects)))
        if any(type(effect) is Refuse for effect in effects):
            self._recorder.refused()
        else:
            self._recorder.accepted(self.person, message.client_id, now)
        self._carry_out(effects, now)
        if self._machine.deadline < self._armed_at:
            self._arm(self._machine.deadline)

    def close(self) -> None:
        """Close all connections at the end of the run."""
        for link in self.links:
            link.forget()
        for session in self._sessions.values():
            session.close()
        self.links, self._closing, self._sessions = (), (), _NO_SESSIONS

    # Events from the network

    def handle(self, event: Event) -> None:
        """Pass an event to the machine, and carry out its effects."""
        now = self._environment.now
        machine = self._machine
        effects = machine.handle(event, now)
        if self._steps is not None:
            self._steps.append(Step(now, self.name, event, tuple(effects)))
        if effects:
            self._carry_out(effects, now)
        if machine.deadline < self._armed_at:
            self._arm(machine.deadline)

    def lose(self, event: Closed | Answered) -> None:
        """Handle the end of a link, a failure to open one, or the answer to a request."""
        if self._forget_link(event.link) is None:
            exchange = self._forget_exchange(event.link)
            assert exchange is not None
            if exchange.purpose == "poll" and isinstance(event, Answered) and is_whole(event.answer):
                self.read_at = exchange.read_at
        self.handle(event)

    # The machine

    def _carry_out(self, effects: Sequence[Effect], now: float) -> None:
        recorder = self._recorder
        for effect in effects:  # The most frequent come first.
            if type(effect) is Deliver:
                event = effect.event
                if event.message is not None:
                    recorder.delivered(self.person, event.message, now)
                elif event.type == "resync":
                    recorder.resynced()
            elif type(effect) is Send or type(effect) is SendBytes:
                self._link(effect.link).send(effect.data)
            elif type(effect) is Notify:
                status = effect.change.status
                recorder.changed(self.person, status, now)
                if self._sessions and status in _ENDED:
                    for session in self._sessions.values():
                        session.close_idle()
            elif type(effect) is OpenWebSocket:
                recorder.attempted(self.person, now)
                link = self._network.open(self.path, self, effect.link, effect.query, effect.transport)
                self.links = (*self.links, link)
            elif type(effect) is Settle:
                recorder.settled(effect.client_id, effect.state, now)
            elif type(effect) is Fetch:
                self._fetch(effect, now)
            elif type(effect) is Close:
                self._close(effect)
            elif type(effect) is Ping:
                self._link(effect.link).ping(effect.id)
            elif type(effect) is Refuse:
                pass  # `submit` has recorded it.
            else:
                assert_never(effect)

    def _close(self, effect: Close) -> None:
        link = self._forget_link(effect.link)
        if link is None:
            exchange = self._forget_exchange(effect.link)
            if exchange is not None:
                exchange.close(effect.code, effect.reason)
        elif self.links and effect.code != 1006:  # Live transports send on other links before they close one.
            link.client_open = False
            self._environment.call_later(0, self._close_link, (link, effect))
        else:
            self._close_link((link, effect))

    def _close_link(self, closing: tuple[Link, Close]) -> None:
        link, effect = closing
        link.close(effect.code, effect.reason)
        self._closing = tuple(link for link in (*self._closing, link) if link.closing)

    def _link(self, number: int) -> Link:
        for link in self.links:
            if link.link == number:
                return link
        raise KeyError(number)

    def _forget_link(self, number: int) -> Link | None:
        for link in self.links:
            if link.link == number:
                self.links = tuple(other for other in self.links if other is not link)
                return link
        return None

    def _forget_exchange(self, number: int) -> Exchange | None:
        for session in self._sessions.values():
            if number in session.exchanges:
                return session.exchanges.pop(number)
        return None

    def _fetch(self, effect: Fetch, now: float) -> None:
        session = self._sessions.get(effect.transport)
        if session is None:
            assert self._make_session is not None
            session = self._make_session(self)
            self._sessions = {**self._sessions, effect.transport: session}
        if is_attempt(effect, self._machine.status):
            self._recorder.attempted(self.person, now)
        session.fetch(effect.link, effect.purpose, effect.request)
