"""The life of an extra, as long as nothing out of the ordinary happens.

    away     ──▶ trying     the person arrives
    trying   ──▶ online     accepted, and nothing comes between until the link is open
             ──▶ waiting    refused, or `stopped`, or `given up`, as the tables say
    online   ──▶ losing     reset, or dismissed by the server: the news is under way
    losing   ──▶ waiting    or `stopped`, or `given up`
    waiting  ──▶ trying     when the backoff says so, ahead of the clock where nothing comes between
    any      ──▶ real       see the package

What is done ahead of the clock is done in one go: an attempt is one entry in the queue, its SYN.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Literal, TypeAlias

from msgspec import Struct

from chatlab.messages import ConnectionStatus
from chatlab.sim.driver import Driver
from chatlab.sim.environment import LONG_AGO
from chatlab.sim.extras.stage import Stage
from chatlab.sim.network import Link
from chatlab.sim.path import NOTHING_KEPT, Way
from chatlab.sim.sizes import frame_size
from chatlab.transports.backoff import Backoff
from chatlab.transports.failures import LOST, REFUSED
from chatlab.transports.heartbeat import Heartbeat
from chatlab.transports.machine import Failure

Phase: TypeAlias = Literal["away", "trying", "online", "losing", "waiting", "stopped", "given up"]

# An enum's attribute takes longer than what is done with it.
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
    """News under way: at `at` the person is told of the failure. A reset reaches the server at `gone_at`."""

    at: float
    failure: Failure
    gone_at: float = LONG_AGO


class Life(ABC):
    """An extra's phase, and what belongs to it.

    `_at` is when the attempt began, when the link opened, or when the next attempt begins, ahead of the clock
    or not. `_served` is True while the server has the link, `_used_at` when something last came through it,
    and `_look_at` up to when its heartbeats are sure to be answered in time. `_backoff` is None until the
    first failure, and `_loss` but while losing. `_way` is the path, of which `_kept` is what is left while
    it is put away, and `_driver` the person once they are real.
    """

    __slots__ = (
        "_at",
        "_backoff",
        "_cursor",
        "_driver",
        "_heartbeat",
        "_kept",
        "_look_at",
        "_loss",
        "_phase",
        "_served",
        "_stage",
        "_used_at",
        "_way",
        "person",
    )
    _at: float
    _look_at: float
    _used_at: float

    def __init__(self, person: int, stage: Stage) -> None:
        self.person = person
        self._served = False
        self._stage = stage
        self._way = stage.paths.common
        self._kept = NOTHING_KEPT
        self._phase: Phase = "away"
        self._cursor: str | None = stage.config.after
        self._backoff: Backoff | None = None
        self._heartbeat: Heartbeat | None = None
        self._loss: Loss | None = None
        self._driver: Driver | None = None

    @property
    def real(self) -> Driver:
        """The person as a driver, from now on."""
        return self._driver or self._become_real()

    @abstractmethod
    def _become_real(self) -> Driver:
        """Leave the rest of the person's life to a driver."""

    # The path, of which most of the time an extra keeps only how far its luck is drawn: it is large

    @property
    def _path(self) -> Way:
        return self._way or self._take_path()

    def _take_path(self) -> Way:
        path = self._way = self._stage.paths.make(self.person, self._kept)
        return path

    def _put_path_away(self) -> None:
        path, paths = self._way, self._stage.paths
        if path is not None and paths.common is None:
            self._way, self._kept = None, paths.put_away(path)

    # Trying

    def arrive(self, at: float, safe_until: float) -> None:
        """Ask to be connected at that time."""
        environment = self._stage.environment
        if at <= environment.now:
            self._connect()
        elif not self._knock(at, CONNECTING, safe_until):
            environment.call_at(at, Life._connect, self)

    def _connect(self) -> None:
        """Ask to be connected."""
        stage = self._stage
        if self._driver is not None or not self._knock(
            stage.environment.now, CONNECTING, stage.barriers.next
        ):
            self.real.connect()

    def _knock(self, at: float, status: ConnectionStatus, safe_until: float) -> bool:
        """Begin an attempt at that time; False, and nothing is done, if something may happen before its SYN
        has arrived."""
        stage, path = self._stage, self._way or self._take_path()
        comes_at = at + path.connect.draw()
        if comes_at >= safe_until or comes_at >= at + stage.connect_timeout:
            path.connect.skip(-1)
            return False
        self._phase, self._at = "trying", at
        stage.recorder.changed(self.person, status, at)
        stage.recorder.attempted(at)
        stage.environment.call_at(comes_at, Life._come, self)
        return True

    def _come(self) -> None:
        """The SYN arrives. Only what comes of it can make real who tries, as nothing may happen before."""
        stage, path = self._stage, self._way or self._take_path()
        now, safe_until = stage.environment.now, stage.barriers.safe_until  # right since the SYN was sent
        until = self._at + stage.connect_timeout
        if until > safe_until:
            until = safe_until
        accepted_at = stage.server.turn()
        if accepted_at is None:
            told_at = now + path.connect.draw()
            if told_at < until:
                self._fail(REFUSED, told_at, safe_until)
            else:
                path.connect.skip(-1)
                self._take_turn(None)
            return
        speaks_at = now + path.connect.draw()
        if stage.network.tls:
            speaks_at = max(speaks_at + path.connect.draw(), accepted_at) + path.connect.draw()
        asked_at = speaks_at + path.up.draw()
        if asked_at < accepted_at:
            asked_at = accepted_at
        open_at = asked_at + path.down.draw()
        if open_at < until:
            self._open(speaks_at, open_at)
        else:
            path.connect.skip(-3 if stage.network.tls else -1)
            path.up.skip(-1)
            path.down.skip(-1)
            self._take_turn(accepted_at)

    def _take_turn(self, accepted_at: float | None) -> None:
        """Leave it to a link what comes of the SYN."""
        self._path.connect.skip(-1)
        (link,) = self.real.links
        if accepted_at is not None:
            self._stage.server.admit(link)
        link.take_turn(accepted_at)

    def _open(self, speaks_at: float, open_at: float) -> None:
        """Count as connected from that time, after the upgrade request."""
        stage = self._stage
        environment, network = stage.environment, stage.network
        if int(speaks_at) == int(environment.now):
            network.requests += 1
        else:  # They are counted second by second.
            environment.call_at(speaks_at, stage.count_request)
        asked, answered, cursor, gap = stage.greeting(self._cursor)
        network.bytes_up += asked + stage.name_sizes[self.person]
        network.bytes_down += answered
        if gap:
            stage.recorder.resynced()
        stage.recorder.changed(self.person, CONNECTED, open_at)
        self._phase, self._at, self._used_at = "online", open_at, open_at
        self._cursor = cursor
        self._served = True
        if stage.beats:
            self._heartbeat = Heartbeat(stage.config.heartbeat, open_at)
            self._lie_down(open_at)
        self._put_path_away()

    # Failing

    def _fail(self, failure: Failure, at: float, safe_until: float) -> None:
        """Learn of a failure at that time, and schedule the next attempt."""
        stage = self._stage
        if self._backoff is None:
            self._backoff = Backoff(stage.config.reconnect, stage.luck.uniform(self.person, "backoff").draw)
        verdict = stage.verdict_if_refused if failure is REFUSED else stage.anybody.judge(failure)
        if verdict != "retry" or self._backoff.exhausted:
            self._phase = "stopped" if verdict == "stop" else "given up"
            stage.recorder.changed(self.person, STATUSES[self._phase], at)
            return
        path = self._way or self._take_path()
        self._at = retry_at = at + self._backoff.next()
        comes_at = retry_at + path.connect.draw()
        if comes_at < safe_until and comes_at < retry_at + stage.connect_timeout:  # As `_knock`, but quicker.
            self._phase = "trying"
            stage.recorder.tries_again(self.person, at, retry_at)
            stage.environment.call_at(comes_at, Life._come, self)
        else:
            self._phase = "waiting"
            path.connect.skip(-1)
            stage.recorder.changed(self.person, RECONNECTING, at)
            stage.environment.call_at(retry_at, Life._retry, self)

    def _retry(self) -> None:
        """The time for the next attempt has come."""
        if self._driver is None and not self._knock(self._at, RECONNECTING, self._stage.barriers.next):
            self._become_real()

    # Online

    def _lie_down(self, at: float) -> None:
        """Owe heartbeats from then on, for as long as they are sure to be answered in time."""
        stage, heartbeat = self._stage, self._heartbeat
        assert heartbeat is not None
        beats = stage.rest.sure(self._path)
        self._look_at = stage.rest.wake_at(heartbeat.deadline, beats) if beats else at
        stage.environment.call_at(self._look_at, Life._look, self)

    def _look(self) -> None:
        """See whether further heartbeats are sure to be answered in time."""
        now = self._stage.environment.now
        if self._phase != "online" or self._look_at != now or self._driver is not None:
            return
        if self._catch_up() and self._stage.rest.sure(self._path):
            self._lie_down(now)
            self._put_path_away()
        else:
            self._become_real()

    def _catch_up(self) -> bool:
        """Make good for all heartbeats before now; False, and nothing is done, if one is under way."""
        stage, heartbeat = self._stage, self._heartbeat
        now = stage.environment.now
        beats = 0 if heartbeat is None else heartbeat.due(now)
        if heartbeat is None or not beats:
            return True
        path = self._path
        if not stage.rest.over(heartbeat, path, beats, now):
            return False
        up, down = stage.rest.sizes(stage.anybody, heartbeat.latest, beats)
        stage.network.bytes_up += up
        stage.network.bytes_down += down
        for delay in path.up, path.down:
            delay.skip(beats - 1)
        heartbeat.skip(beats - 1)
        self._used_at = heartbeat.deadline + path.up.draw() + path.down.draw()
        heartbeat.skip(1)
        return True

    # Losing

    def dismiss(self, code: int | None, reason: str) -> None:
        """End the link from the server's side: by a close frame, or without a word."""
        served, self._served = self._served, False
        if not served or self._driver is not None:
            return
        now, path, loss = self._stage.environment.now, self._path, self._loss
        if loss is not None:  # The news that it was reset is under way; the server may not have heard of it.
            if code is not None and now < loss.gone_at:
                self._take_leave(reason)
        elif code is None:
            self._lose(Loss(now + path.down.again(), LOST), Link.abort)
        else:
            failure = Failure("close", code, reason)
            dismiss = partial(Link.dismiss, code=code, reason=reason)
            if self._lose(Loss(now + path.down.ahead(0), failure), dismiss):
                self._take_leave(reason)

    def _take_leave(self, reason: str) -> None:
        """Send a close frame from the server."""
        self._path.down.draw()
        self._stage.network.bytes_down += frame_size("xx" + reason, masked=False)

    def reset(self) -> None:
        """End the link from the middle."""
        if self._phase == "online":
            now, path = self._stage.environment.now, self._path
            self._lose(Loss(now + path.down.again(), LOST, now + path.up.again()), Link.reset)

    def _lose(self, loss: Loss, end: Callable[[Link], None]) -> bool:
        """Schedule the news of the end; False: a heartbeat comes before, so a link has to `end`."""
        if self._heartbeat is not None and self._heartbeat.deadline <= loss.at:
            (link,) = self.real.links
            end(link)
            return False
        self._phase, self._loss = "losing", loss
        self._stage.lose(self, loss.at)
        return True

    def be_lost(self) -> None:
        """Learn that the link has ended."""
        stage, loss, safe_until = self._stage, self._loss, self._stage.barriers.next
        if loss is None or self._driver is not None:
            return
        if self._served:
            if loss.gone_at >= safe_until:  # The server may say something before it hears that it was reset.
                self._become_real()
                return
            self._served = False
        failure = loss.failure
        if failure is not LOST:  # A close frame is echoed.
            stage.network.bytes_up += frame_size("xx" + failure.reason, masked=True)
            self._path.up.draw()
        if self._backoff is not None and loss.at - self._at >= stage.config.reconnect.stable_after:
            self._backoff.reset()
        self._heartbeat = self._loss = None
        self._fail(failure, loss.at, safe_until)
