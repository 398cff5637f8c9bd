"""A driver that leaves heartbeats pending as long as they change nothing."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TypeAlias

from chatlab.settings import HeartbeatConfig
from chatlab.sim.driver import Driver
from chatlab.sim.environment import LONG_AGO
from chatlab.sim.fast.heartbeats.account import AnyAccount, Beats
from chatlab.sim.fast.heartbeats.heartbeat import SkippableHeartbeat
from chatlab.sim.fast.heartbeats.link import ForwardingLink
from chatlab.sim.fast.sampling import SampledPath
from chatlab.sim.http_session import Session
from chatlab.sim.link import Link
from chatlab.sim.network import Network
from chatlab.sim.recorder import Recorder
from chatlab.trace import Step
from chatlab.transports.heartbeat import Heartbeat
from chatlab.transports.machine import Answered, Close, Closed, Event, Machine
from chatlab.transports.websocket import WebSocketMachine

HeartbeatFactory: TypeAlias = Callable[[HeartbeatConfig, float], Heartbeat]


class ForwardingDriver(Driver):
    """A driver whose heartbeats may be `pending`. `make_machine` gets its factory of heartbeats.

    Without an `account`, or if steps are recorded, every heartbeat takes place.
    """

    __slots__ = ("_account", "_beats", "_gone_at", "heartbeat", "pending")
    path: SampledPath

    def __init__(
        self,
        person: int,
        name: str,
        make_machine: Callable[[HeartbeatFactory], Machine],
        network: Network,
        path: SampledPath,
        recorder: Recorder,
        steps: list[Step] | None,
        make_session: Callable[[Driver], Session],
        account: AnyAccount | None,
    ) -> None:
        self._account = account if steps is None else None
        self._gone_at = LONG_AGO  # Until then a former link's packets may be answered, and draw latencies.
        self.heartbeat: SkippableHeartbeat | None = None
        self.pending = False
        self._beats: Beats | None = None  # Those that are pending.
        machine = make_machine(self._make_heartbeat)
        super().__init__(person, name, machine, network, path, recorder, steps, make_session)

    def _make_heartbeat(self, config: HeartbeatConfig, now: float) -> Heartbeat:
        self.heartbeat = heartbeat = SkippableHeartbeat(config, now)
        return heartbeat

    # Other events

    def submit(self, text: str) -> None:
        if self.pending:
            self.wake()
        super().submit(text)

    def handle(self, event: Event) -> None:
        if self.pending:
            self.wake()
        super().handle(event)

    def lose(self, event: Closed | Answered) -> None:
        if self.pending:
            self.wake()
        for link in self.links:
            if link.link == event.link:
                self._note_end(link)
        super().lose(event)

    def _close_link(self, closing: tuple[Link, Close]) -> None:
        super()._close_link(closing)
        self._note_end(closing[0])

    def _note_end(self, link: Link) -> None:
        assert isinstance(link, ForwardingLink)
        self._gone_at = max(self._gone_at, link.gone_at)

    def wake(self) -> None:
        """Account for pending heartbeats, and simulate the next ones, before another event."""
        if self.pending:
            self._settle()
            self._rearm()

    def _rearm(self) -> None:
        if self._machine.deadline < self._armed_at:
            self._arm(self._machine.deadline)

    def resume(self) -> None:
        """Continue with a machine and links whose past was replayed; heartbeats before now are pending."""
        self._beats = self._find_beats()
        if self._beats is not None:
            self._settle()
        self._rearm()

    def close(self) -> None:
        super().close()
        del self._machine  # It refers to the driver, for its heartbeats.

    def pending_bytes(self) -> tuple[int, int]:
        """Return the bytes each way of pending heartbeats.

        If the last one is under way, the driver settles them first, and returns 0.
        """
        if self.pending:
            assert self._account is not None
            sizes = self._account.pending_bytes(self._beats, self.path, self._environment.now)
            if sizes is not None:
                return sizes
            self.wake()
        return 0, 0

    # Time

    def _fire(self, generation: int) -> None:
        if generation == self._generation:
            if self.pending:
                self._settle()
            if self._machine.deadline > self._environment.now and self._leave_pending():
                return
        super()._fire(generation)

    def _leave_pending(self) -> bool:
        """Leave the next heartbeats pending if they will change nothing; return whether they are pending."""
        beats = self._find_beats()
        delayed = self._timers is not None and self._timers.delayed
        if self._account is None or beats is None or delayed or self._environment.now < self._gone_at:
            return False
        link, account = self._link_alone, self._account
        if not link.undisturbed or not account.allows(link, beats.deadline):
            return False
        certain = account.certain(self.path)
        if not certain:
            return False
        self._beats, self.pending, self._armed_at = beats, True, inf
        account.leave(link)
        until = account.due_again_at(beats, certain)
        if until < inf:
            self._arm(until)
        return True

    def _find_beats(self) -> Beats | None:
        """Return the heartbeats of the only link, if they are all that the machine waits for, and no ping is
        unanswered."""
        machine = self._machine
        if self._account is None or len(self.links) != 1 or not isinstance(machine, WebSocketMachine):
            return None
        if machine.state != "online" or machine.unsettled:
            return None
        return self._account.find(self.heartbeat, self._link_alone)

    @property
    def _link_alone(self) -> ForwardingLink:
        (link,) = self.links
        assert isinstance(link, ForwardingLink)
        return link

    def _settle(self) -> None:
        """Account for all pending heartbeats."""
        self.pending = False
        assert self._account is not None
        self._account.settle(self._machine, self._beats, self._link_alone, self.path, self._environment.now)
        self._beats = None
