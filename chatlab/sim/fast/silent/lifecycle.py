"""The lifecycle of a silent client, until it is promoted.

    away     ──▶ trying     the person arrives
    trying   ──▶ online     accepted, and nothing interferes until the link is open
             ──▶ waiting    refused, or `stopped`, or `given up`, as the failure tables say
    online   ──▶ losing     reset, or closed by the server: the client doesn't know yet
    losing   ──▶ waiting    or `stopped`, or `given up`
    waiting  ──▶ trying     after the backoff delay; at once, ahead of the clock, if nothing interferes
    any      ──▶ promoted   see the package

An attempt is one queue entry, the arrival of its SYN. The rest is computed in one step, if no fault and no
end of the run come before it is over. At a node that may ignore packets it has more entries: `handshake.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Literal, TypeAlias

from msgspec import Struct

from chatlab.messages import ConnectionStatus
from chatlab.sim.environment import LONG_AGO
from chatlab.sim.fast.heartbeats.account import Beats
from chatlab.sim.fast.heartbeats.driver import ForwardingDriver
from chatlab.sim.fast.sampling import UNUSED, SampledPath
from chatlab.sim.fast.silent.context import Context
from chatlab.sim.link import Link
from chatlab.sim.node import Node
from chatlab.sim.sizes import frame_size
from chatlab.transports.backoff import Backoff
from chatlab.transports.failures import LOST, REFUSED
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


class Loss(Struct, frozen=True, gc=False):
    """The end of a link that the client learns at `at`. A reset reaches the server at `gone_at`."""

    at: float
    failure: Failure
    gone_at: float = LONG_AGO


class Lifecycle(ABC):
    """A silent client's phase, and the state for it.

    `_at` is when the attempt began, when the link opened, or when the next attempt begins; it may be in the
    future. `_node` is that of the latest attempt. `_served` is True while the server has the link, `_used_at`
    when its last byte came through, and `_look_at` up to when its heartbeats are certain to be answered in
    time. `_backoff` is None until the first failure; then `_jitter` is its random stream, and `_failure` the
    latest failure, learned at `_failed_at`. `_loss` is set while losing. `_sampled` is the path; while the
    client is connected only its `_snapshot` is stored. `_driver` is set once the client is promoted.
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
        "_loss",
        "_node",
        "_phase",
        "_sampled",
        "_served",
        "_snapshot",
        "_used_at",
        "number",
        "person",
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
        self._sampled = context.paths.common
        self._snapshot = UNUSED
        self._phase: Phase = "away"
        self._cursor: str | None = context.config.after
        self._backoff: Backoff | None = None
        self._heartbeat: Beats | None = None
        self._loss: Loss | None = None
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

    @property
    def promoted(self) -> ForwardingDriver:
        """The person's driver; if there is none, promote the client."""
        return self._driver or self._promote()

    @abstractmethod
    def _promote(self) -> ForwardingDriver:
        """Replace the client by a driver."""

    # The path is large, so usually only a snapshot is stored

    @property
    def _path(self) -> SampledPath:
        return self._sampled or self._take_path()

    def _take_path(self) -> SampledPath:
        path = self._sampled = self._context.paths.make(self.person, self._snapshot)
        return path

    def _store_path(self) -> None:
        path, paths = self._sampled, self._context.paths
        if path is not None and paths.common is None:
            self._sampled, self._snapshot = None, paths.snapshot(path)

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
        context, path = self._context, self._sampled or self._take_path()
        comes_at = at + path.connect.draw()
        if comes_at >= safe_until or comes_at >= at + context.connect_timeout:
            path.connect.skip(-1)
            return False
        self._phase, self._at = "trying", at
        context.recorder.changed(self.person, status, at)
        context.recorder.attempted(self.person, at)
        context.environment.call_at(comes_at, Lifecycle._syn_arrives, self)
        return True

    def _syn_arrives(self) -> None:
        """Handle the arrival of the SYN. In phase `trying` only an arrival promotes."""
        context, path = self._context, self._sampled or self._take_path()
        now, until = context.environment.now, self._until
        node = self._node = context.server.choose(self.person)
        if node is not None and node.drops:
            self._shake_hands(1)
            return
        accepted_at = None if node is None else node.enter()
        if node is None or accepted_at is None:
            if node is not None and node.answers_overflow:
                self._leave_syn(1)
                return
            refused_at = now + path.connect.draw()
            if refused_at < until:
                if node is not None:
                    node.refused += 1
                self._fail(REFUSED, refused_at, context.barriers.safe_until)
            else:
                path.connect.skip(-1)
                self._leave_to_link(None)
            return
        speaks_at = now + path.connect.draw()
        if context.network.tls:
            speaks_at = max(speaks_at + path.connect.draw(), accepted_at) + path.connect.draw()
        asked_at = speaks_at + path.up.draw()
        if asked_at < accepted_at:
            asked_at = accepted_at
        open_at = asked_at + path.down.draw()
        if open_at < until and open_at < asked_at + context.opens_within:
            context.server.admit_silent(self, node)
            self._count_request(speaks_at)
            self._open(asked_at, open_at)
        else:
            path.connect.skip(-3 if context.network.tls else -1)
            path.up.skip(-1)
            path.down.skip(-1)
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
        self._path.connect.skip(-1)
        (link,) = self.promoted.links
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
        self._store_path()

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
        path = self._sampled or self._take_path()
        self._at = retry_at = at + self._backoff.next()
        comes_at = retry_at + path.connect.draw()
        if comes_at < safe_until and comes_at < retry_at + context.connect_timeout:
            self._phase = "trying"
            context.recorder.changed(self.person, RECONNECTING, at)
            context.recorder.changed(self.person, RECONNECTING, retry_at)
            context.recorder.attempted(self.person, retry_at)
            context.environment.call_at(comes_at, Lifecycle._syn_arrives, self)
        else:
            self._phase = "waiting"
            path.connect.skip(-1)
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
        beats = context.account.certain(self._path)
        self._look_at = context.account.due_again_at(heartbeat, beats) if beats else at
        context.environment.call_at(self._look_at, Lifecycle._look, self)

    def _look(self) -> None:
        """Check whether further heartbeats are certain to be answered in time."""
        now = self._context.environment.now
        if self._phase != "online" or self._look_at != now or self._driver is not None:
            return
        if self._catch_up() and self._context.account.certain(self._path):
            self._leave_pending(now)
            self._store_path()
        else:
            self._promote()

    def _catch_up(self) -> bool:
        """Account for all heartbeats before now. If one is under way, do nothing and return False."""
        context, heartbeat = self._context, self._heartbeat
        now = context.environment.now
        beats = 0 if heartbeat is None else heartbeat.pending(now)
        if heartbeat is None or not beats:
            return True
        path = self._path
        if not context.account.answered(heartbeat, path, beats, now):
            return False
        up, down = context.account.sizes(heartbeat, beats)
        context.network.bytes_up += up
        context.network.bytes_down += down
        self._used_at = context.account.skip(heartbeat, path, beats)
        return True

    # Losing

    def server_close(self, code: int | None, reason: str) -> None:
        """Close the link at the server, with a close frame or without."""
        served, self._served = self._served, False
        if not served or self._driver is not None:
            return
        now, path, loss = self._context.environment.now, self._path, self._loss
        if loss is not None:  # It was reset, and the server may not know it yet.
            if code is not None and now < loss.gone_at:
                self._send_close(reason)
        elif code is None:
            self._lose(Loss(now + path.down.repeat(), LOST), Link.abort)
        else:
            failure = Failure("close", code, reason)
            server_close = partial(Link.server_close, code=code, reason=reason)
            if self._lose(Loss(now + path.down.peek(0), failure), server_close):
                self._send_close(reason)

    def _send_close(self, reason: str) -> None:
        """Send a close frame from the server."""
        self._path.down.draw()
        self._context.network.bytes_down += frame_size("xx" + reason, masked=False)

    def reset(self) -> None:
        """Reset the link as a middlebox does."""
        if self._phase == "online":
            now, path = self._context.environment.now, self._path
            loss = Loss(now + path.down.repeat(), LOST, now + path.up.repeat())
            if self._lose(loss, Link.reset):
                self._context.environment.call_at(
                    loss.gone_at, Lifecycle._leave, (self, self.node, self.number)
                )

    @staticmethod
    def _leave(leaving: tuple[Lifecycle, Node, int]) -> None:
        """Leave the server, which a reset has reached."""
        client, node, number = leaving
        client._context.server.forget(client, node, number)

    def _lose(self, loss: Loss, end: Callable[[Link], None]) -> bool:
        """Schedule the end of the link. If a heartbeat comes before, promote, `end` it, return False."""
        beats, account = self._heartbeat, self._context.account
        if beats is not None and account.comes_before(beats, loss.at, loss.gone_at):
            (link,) = self.promoted.links
            end(link)
            return False
        self._phase, self._loss = "losing", loss
        self._context.lose(self, loss.at)
        return True

    def be_lost(self) -> None:
        """Handle the end of the link."""
        context, loss, safe_until = self._context, self._loss, self._context.barriers.next
        if loss is None or self._driver is not None:
            return
        if self._served:
            # The server may send something before it learns of the reset.
            if loss.gone_at >= safe_until or (self.node.draining and loss.gone_at > context.environment.now):
                self._promote()
                return
            self._served = False
        failure = loss.failure
        if failure is not LOST:  # A close frame is echoed.
            context.network.bytes_up += frame_size("xx" + failure.reason, masked=True)
            self._path.up.draw()
        if self._backoff is not None and loss.at - self._at >= context.config.reconnect.stable_after:
            self._backoff.reset()
        self._heartbeat = self._loss = None
        self._fail(failure, loss.at, safe_until)
