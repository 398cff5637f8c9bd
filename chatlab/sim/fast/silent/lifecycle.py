"""The lifecycle of a silent client, until it is promoted.

    away     ──▶ trying     the person arrives
    trying   ──▶ online     accepted, and nothing interferes until the link is open
             ──▶ waiting    refused, or `stopped`, or `given up`, as the failure tables say
    online   ──▶ losing     reset, or closed by the server: the client doesn't know yet (`losing.py`)
    losing   ──▶ waiting    or `stopped`, or `given up`
    waiting  ──▶ trying     after the backoff delay; at once, ahead of the clock, if nothing interferes
    any      ──▶ promoted   see the package

An attempt is one queue entry, the arrival of its SYN. The rest is computed in one step, if no fault and no
end of the run come before it is over. At a node that may ignore packets it has more entries: `handshake.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import inf
from typing import Literal, TypeAlias

from chatlab.messages import ConnectionStatus
from chatlab.sim.fast.heartbeats.account import Beats
from chatlab.sim.fast.heartbeats.driver import ForwardingDriver
from chatlab.sim.fast.silent.context import Context
from chatlab.sim.fast.silent.promote import PromotedLink
from chatlab.sim.node import Node
from chatlab.transports.backoff import Backoff
from chatlab.transports.failures import REFUSED
from chatlab.transports.machine import Failure

Phase: TypeAlias = Literal["away", "trying", "online", "losing", "waiting", "stopped", "given up"]

# Bound once, as access to an enum's attribute is slow.
CONNECTING, CONNECTED = ConnectionStatus.CONNECTING, ConnectionStatus.CONNECTED
RECONNECTING = ConnectionStatus.RECONNECTING
STATUSES: dict[Phase, ConnectionStatus] = {
    "away": ConnectionStatus.DISCONNECTED,
    "trying": RECONNECTING,  # or connecting, before the first failure
    "online": CONNECTED,
    "losing": CONNECTED,
    "waiting": RECONNECTING,
    "stopped": ConnectionStatus.DISCONNECTED,
    "given up": ConnectionStatus.ERROR,
}


class Lifecycle(ABC):
    """A silent client's phase, and the state for it.

    `_at` is when the attempt began, when the link opened, or when the next attempt begins; it may be in the
    future. `_node` is that of the latest attempt. `_served` is True while the server has the link, `_used_at`
    when its last byte came through, and `_look_at` up to when its heartbeats are certain to be answered in
    time. `_backoff` is None until the first failure; then `_jitter` is its random stream, and `_failure` the
    latest failure, learned at `_failed_at`. `up`, `down` and `_opening` are the
    latencies of its path. `_driver` is set once the client is promoted.
    """

    __slots__ = (
        "_at",
        "_backoff",
        "_context",
        "_cursor",
        "_driver",
        "_failed_at",
        "_failure",
        "_heartbeat",
        "_jitter",
        "_look_at",
        "_node",
        "_opening",
        "_phase",
        "_served",
        "_used_at",
        "down",
        "number",
        "person",
        "up",
    )
    accepted = True  # An attempt is over before the next fault.
    number: int
    _at: float
    _look_at: float
    _node: Node | None
    _used_at: float

    def __init__(self, person: int, context: Context) -> None:
        self.person = person
        self._served = False
        self._context = context
        self.up, self.down, self._opening = context.paths.delays(person)
        self._phase: Phase = "away"
        self._cursor: str | None = context.config.after
        self._backoff: Backoff | None = None
        self._heartbeat: Beats | None = None
        self._driver: ForwardingDriver | None = None

    @property
    def node(self) -> Node:
        """The node that its link leads to."""
        assert self._node is not None
        return self._node

    @abstractmethod
    def wake(self) -> None:
        """Account for pending heartbeats before a fault."""

    @abstractmethod
    def wake_to_leave(self) -> None:
        """Account for pending heartbeats before the server ends the link."""

    @abstractmethod
    def server_close(self, code: int | None, reason: str) -> None:
        """Close the link at the server, with a close frame or without."""

    @property
    def promoted(self) -> ForwardingDriver:
        """The person's driver; if there is none, promote the client."""
        return self._driver or self._promote()

    @abstractmethod
    def _promote(self) -> ForwardingDriver:
        """Replace the client by a driver."""

    @property
    def _promoted_link(self) -> PromotedLink:
        (link,) = self.promoted.links
        assert isinstance(link, PromotedLink)
        return link

    # Trying

    def arrive(self, at: float, safe_until: float) -> None:
        """Ask to be connected at `at`."""
        environment = self._context.environment
        if at <= environment.now:
            self._connect()
        elif not self._send_syn(at, CONNECTING, safe_until):
            environment.call_at(at, Lifecycle._connect, self)

    def _connect(self) -> None:
        """Ask to be connected."""
        context = self._context
        if self._driver is not None or not self._send_syn(
            context.environment.now, CONNECTING, context.barriers.next
        ):
            self.promoted.connect()

    def _send_syn(self, at: float, status: ConnectionStatus, safe_until: float) -> bool:
        """Begin an attempt at `at`. If a fault, the end of the run or the time-out may come before its SYN
        has arrived, do nothing and return False."""
        context = self._context
        comes_at = at + self._opening.draw()
        if comes_at >= safe_until or comes_at >= at + context.connect_timeout:
            self._opening.skip(-1)
            return False
        self._phase, self._at = "trying", at
        context.recorder.changed(self.person, status, at)
        context.recorder.attempted(self.person, at)
        context.environment.call_at(comes_at, Lifecycle._syn_arrives, self)
        return True

    def _syn_arrives(self) -> None:
        """Handle the arrival of the SYN. In phase `trying` only an arrival promotes."""
        context, opening = self._context, self._opening
        node = self._node = context.server.choose(self.person)
        if node is not None and node.drops:
            self._shake_hands(1)
            return
        now, until = context.environment.now, self._until
        accepted_at = None if node is None else node.enter()
        if node is None or accepted_at is None:
            if node is not None and node.answers_overflow:
                self._leave_syn(1)
                return
            refused_at = now + opening.draw()
            if refused_at < until:
                if node is not None:
                    node.refused += 1
                self._fail(REFUSED, refused_at, context.barriers.safe_until)
            else:
                opening.skip(-1)
                self._leave_to_link(None)
            return
        speaks_at = now + opening.draw()
        if context.network.tls:
            speaks_at = max(speaks_at + opening.draw(), accepted_at) + opening.draw()
        asked_at = speaks_at + self.up.draw()
        if asked_at < accepted_at:
            asked_at = accepted_at
        open_at = asked_at + self.down.draw()
        if open_at < until and open_at < asked_at + context.opens_within:
            context.server.admit_silent(self, node)
            self._count_request(speaks_at)
            self._open(asked_at, open_at)
        else:
            opening.skip(-3 if context.network.tls else -1)
            self.up.skip(-1)
            self.down.skip(-1)
            self._leave_to_link(accepted_at)

    @property
    def _until(self) -> float:
        """Time before which an attempt must be over: its time-out, or the next barrier.

        It is valid once the arrival of the SYN was scheduled, which comes before both.
        """
        times_out_at, safe_until = self._at + self._context.connect_timeout, self._context.barriers.safe_until
        return min(times_out_at, safe_until)

    @abstractmethod
    def _shake_hands(self, tries: int) -> None:
        """Handle the arrival of the SYN, sent for the `tries`th time, at a node that may ignore it."""

    @abstractmethod
    def _leave_syn(self, tries: int) -> None:
        """Promote, and leave the rest of the attempt to a link, from the arrival of its SYN on."""

    def _leave_to_link(self, accepted_at: float | None) -> None:
        """Promote, and leave the rest of the attempt to a link."""
        self._opening.skip(-1)
        link = self._promoted_link
        if accepted_at is not None:
            self._context.server.admit(link)
        link.answer_syn(accepted_at)

    def _count_request(self, at: float) -> None:
        """Count the upgrade request, which is sent at `at`."""
        context = self._context
        if int(at) == int(context.environment.now):
            context.network.requests += 1
        else:  # Requests are counted for each second.
            context.environment.call_at(at, context.count_request)

    def _open(self, asked_at: float, open_at: float) -> None:
        """Count as connected from `open_at` on; the server reads the upgrade request at `asked_at`."""
        context = self._context
        network = context.network
        asked, answered, cursor, gap = context.greeting(self._cursor)
        network.bytes_up += asked + context.name_sizes[self.person]
        network.bytes_down += answered
        if gap:
            context.recorder.resynced()
        context.recorder.changed(self.person, CONNECTED, open_at)
        self._phase, self._at, self._used_at = "online", open_at, open_at
        self._cursor = cursor
        self._served = True
        if context.beats:
            self._heartbeat = context.account.begin(asked_at, open_at)
            self._leave_pending(open_at)

    # Failing

    def _fail(self, failure: Failure, at: float, safe_until: float) -> None:
        """Handle a failure that the client learns at `at`, and schedule the next attempt."""
        context = self._context
        if self._backoff is None:
            self._jitter = context.streams.uniform(self.person, "backoff")
            self._backoff = Backoff(context.config.reconnect, self._jitter.draw)
        self._failure, self._failed_at = failure, at
        verdict = context.verdict_if_refused if failure is REFUSED else context.judge(failure)
        if verdict != "retry" or self._backoff.exhausted:
            self._phase = "stopped" if verdict == "stop" else "given up"
            context.recorder.changed(self.person, STATUSES[self._phase], at)
            return
        self._at = retry_at = at + self._backoff.next()
        comes_at = retry_at + self._opening.draw()
        if comes_at < safe_until and comes_at < retry_at + context.connect_timeout:
            self._phase = "trying"
            context.recorder.changed(self.person, RECONNECTING, at)
            context.recorder.changed(self.person, RECONNECTING, retry_at)
            context.recorder.attempted(self.person, retry_at)
            context.environment.call_at(comes_at, Lifecycle._syn_arrives, self)
        else:
            self._phase = "waiting"
            self._opening.skip(-1)
            context.recorder.changed(self.person, RECONNECTING, at)
            context.environment.call_at(retry_at, Lifecycle._retry, self)

    def _retry(self) -> None:
        """Begin the attempt that is due now."""
        if self._driver is None and not self._send_syn(self._at, RECONNECTING, self._context.barriers.next):
            self._promote()

    # Online

    def _leave_pending(self, at: float) -> None:
        """Leave heartbeats pending from `at` on, as long as they are certain to be answered in time."""
        context, heartbeat = self._context, self._heartbeat
        assert heartbeat is not None
        beats = context.account.certain(self)
        self._look_at = context.account.due_again_at(heartbeat, beats) if beats else at
        self.await_look()

    def await_look(self) -> None:
        """Schedule the next check of the heartbeats, if it comes within the run."""
        context = self._context
        if self._look_at < context.barriers.end:
            context.environment.call_at(self._look_at, Lifecycle._look, self)

    @property
    def looks_at(self) -> float:
        """Time of the next check of the heartbeats; inf: none will come."""
        awaits = self._phase == "online" and self._driver is None and self._heartbeat is not None
        return self._look_at if awaits else inf

    def _look(self) -> None:
        """Check whether further heartbeats are certain to be answered in time."""
        now = self._context.environment.now
        if self._phase != "online" or self._look_at != now or self._driver is not None:
            return
        if self._catch_up() and self._context.account.certain(self):
            self._leave_pending(now)
        else:
            self._promote()

    def _catch_up(self) -> bool:
        """Account for all heartbeats before now. If one is under way, do nothing and return False."""
        context, heartbeat = self._context, self._heartbeat
        now = context.environment.now
        beats = 0 if heartbeat is None else heartbeat.pending(now)
        if heartbeat is None or not beats:
            return True
        if not context.account.answered(heartbeat, self, beats, now):
            return False
        up, down = context.account.sizes(heartbeat, beats)
        context.network.bytes_up += up
        context.network.bytes_down += down
        self._used_at = context.account.skip(heartbeat, self, beats)
        return True
