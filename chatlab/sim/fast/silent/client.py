"""A silent client: its promotion, its interface for faults, and its figures at the end of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf

from chatlab.sim.environment import LONG_AGO
from chatlab.sim.fast.heartbeats.driver import ForwardingDriver
from chatlab.sim.fast.sampling import Delays
from chatlab.sim.fast.silent.handshake import Handshaking
from chatlab.sim.fast.silent.promote import (
    PromotedLink,
    replay_attempt,
    replay_failure,
    replay_opening,
)
from chatlab.sim.fault_context import Breakable
from chatlab.sim.path import Direction, Impairment, Path
from chatlab.sim.timers import Timers


class SilentClient(Handshaking):
    """One silent client, or one that was promoted."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """The person's name."""
        return self._context.names[self.person]

    # Promotion

    def _promote(self) -> ForwardingDriver:
        context, phase = self._context, self._phase
        failed = self._backoff is not None
        # A client that has ended for good by its failure table made no further attempt.
        ended = phase in ("stopped", "given up")
        retries = 0 if self._backoff is None else self._backoff.attempts
        if ended and context.judge(self._failure) != "retry":
            retries = 0
        if failed:
            self._jitter.skip(-retries)  # The replay draws them again.
        path = context.paths.make(self.person, Delays(self.up, self.down, self._opening))
        driver = self._driver = context.make(self.person, path, self._jitter if failed else None)
        machine, failure = driver.machine, self._failure if failed else None
        cursor = self._cursor if self._cursor != context.config.after else None
        if phase == "trying":
            request = replay_attempt(machine, self._at, retries, failure, cursor)
            link = self._link(driver, request.link, request.query)
            link.send_syn(self._at)
        elif phase == "online" or phase == "losing":
            number = replay_attempt(machine, self._at, retries, failure, None).link
            replay_opening(machine, number, self._at, cursor)
            link = self._link(driver, number, {})
            link.set_open(self._used_at)
            self._hand_over(link)
            if self._heartbeat is not None:
                context.account.resume(self._heartbeat, self._at, machine, driver.heartbeat, link)
        elif failure is not None:
            replay_failure(machine, self._failed_at, retries if ended else retries - 1, failure, cursor)
        driver.resume()
        return driver

    def _link(self, driver: ForwardingDriver, number: int, query: dict[str, str]) -> PromotedLink:
        network = self._context.network
        largest, upgrade_size = network.largest[0], network.upgrades[0]
        link = PromotedLink(network, driver.path, driver, number, query, largest, upgrade_size)
        link.node = self._node
        driver.links = (link,)
        return link

    def _hand_over(self, link: PromotedLink) -> None:
        """Add an open link to the server, and schedule an end that is under way."""
        context, loss, now = self._context, self._loss, self._context.environment.now
        link.server_open = self._served and (loss is None or now < loss.gone_at)
        if link.server_open:
            context.server.hand_over(self, link)
            context.server.hub.join(link.number, context.room(self.person), self.name, after=self._cursor)
        if loss is not None:
            link.end(loss.at, loss.failure)
            if link.server_open:
                link.end_at_server(loss.gone_at)

    # The target of faults

    @property
    def path(self) -> Path:
        """The path. The client is promoted first, as a fault is about to change the path."""
        return self.promoted.path

    @property
    def timers(self) -> Timers:
        """The timers. The client is promoted first, as a fault is about to delay them."""
        return self.promoted.timers

    @property
    def connections(self) -> Iterator[Breakable]:
        """The link, if it is open and no end of it is under way."""
        if self._driver is not None:
            return self._driver.connections
        there: tuple[Breakable, ...] = (self,) if self._phase == "online" else ()
        return iter(there)

    def silence(self, at: float, directions: Sequence[Direction]) -> None:
        """From `at` on drop all packets in these directions, unreported."""
        for connection in self.promoted.connections:
            connection.silence(at, directions)

    def adapt(self) -> None:
        """Apply the changes of the path."""
        self.promoted.adapt()

    def add_impairment(self, impairment: Impairment) -> None:
        """Add an impairment to the path."""
        self.promoted.add_impairment(impairment)

    def remove_impairment(self, impairment: Impairment) -> None:
        """Remove an impairment from the path."""
        self.promoted.remove_impairment(impairment)

    def wake(self) -> None:
        if self._driver is not None:
            self._driver.wake()
        elif self._phase == "online":
            self.wake_to_leave()

    def wake_to_leave(self) -> None:
        if self._phase == "online" and self._driver is None and not self._catch_up():
            self._promote()

    # The end of a run

    def pending_bytes(self) -> tuple[int, int]:
        """Return the bytes each way of pending heartbeats.

        If the last one is under way, the client is promoted first.
        """
        if self._driver is not None:
            return self._driver.pending_bytes()
        context, heartbeat = self._context, self._heartbeat
        if heartbeat is None or self._phase != "online":
            return 0, 0
        pending = context.account.pending_bytes(heartbeat, self, context.environment.now)
        if pending is None:
            return self._promote().pending_bytes()
        return pending

    @property
    def complete_until(self) -> float:
        """Time up to which each message at the server must have been delivered; inf: no limit."""
        if self._driver is not None:
            return self._driver.complete_until
        return inf if self._phase == "online" else LONG_AGO

    def close(self) -> None:
        """Close all connections at the end of the run."""
        if self._driver is not None:
            self._driver.close()
