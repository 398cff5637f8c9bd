"""An extra among the others: as somebody whom faults hit, who is looked at, and who may become real."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf

from chatlab.sim.driver import Driver
from chatlab.sim.environment import LONG_AGO
from chatlab.sim.extras.life import CONNECTING, STATUSES, Life
from chatlab.sim.network import Link
from chatlab.sim.path import Direction, Path, Trouble
from chatlab.sim.scene import Breakable
from chatlab.transports.crowd import CrowdWebSocketMachine


class Extra(Life):
    """One extra, or who was one. The server, which numbers links from 1, has no `number` for its link."""

    __slots__ = ()
    number = 0

    @property
    def name(self) -> str:
        """The person's name."""
        return self._stage.names[self.person]

    # Becoming real

    def _become_real(self) -> Driver:
        stage, phase = self._stage, self._phase
        driver = self._driver = stage.make(self.person, None if stage.paths.common else self._path)
        machine = driver.machine
        assert isinstance(machine, CrowdWebSocketMachine)
        first = phase == "trying" and self._backoff is None
        machine.restore(CONNECTING if first else STATUSES[phase], self._backoff, self._cursor)
        if phase == "waiting":
            machine.restore_waiting(self._at)
        elif phase == "trying":
            number, query = machine.restore_connecting(self._at)
            link = Link(stage.network, driver.path, driver, number, query)
            link.knocked(self._at)
            driver.links = (link,)
        elif phase == "online" or phase == "losing":
            number = machine.restore_open(self._at, self._heartbeat)
            link = Link(stage.network, driver.path, driver, number, {})
            link.be_open(self._used_at)
            driver.links = (link,)
            self._hand_over(link)
        driver.resume()
        return driver

    def _hand_over(self, link: Link) -> None:
        """Give an open link the place at the server, and the news that are under way."""
        stage, loss, now = self._stage, self._loss, self._stage.environment.now
        link.served = self._served and (loss is None or now < loss.gone_at)
        if link.served:
            stage.server.admit(link)
            stage.server.hub.join(link.number, stage.room(self.person), self.name, after=self._cursor)
        if loss is not None:
            link.be_ending(loss.at, loss.failure)
            if link.served:
                link.be_reset(loss.gone_at)

    # As a victim of faults

    @property
    def path(self) -> Path:
        """The person's path, to which something is to happen."""
        return self.real.path

    @property
    def connections(self) -> Iterator[Breakable]:
        """The link, if there is one that isn't on its way to the end."""
        if self._driver is not None:
            return self._driver.connections
        there: tuple[Breakable, ...] = (self,) if self._phase == "online" else ()
        return iter(there)

    def silence(self, at: float, directions: Sequence[Direction]) -> None:
        """From `at` on let everything that goes in these directions vanish, and tell neither side."""
        for connection in self.real.connections:
            connection.silence(at, directions)

    def adapt(self) -> None:
        """Take note that the path has changed."""
        self.real.adapt()

    def suffer(self, trouble: Trouble) -> None:
        """Add a trouble to the path."""
        self.real.suffer(trouble)

    def recover(self, trouble: Trouble) -> None:
        """Remove a trouble from the path."""
        self.real.recover(trouble)

    def wake(self) -> None:
        """Prepare for something that may happen now."""
        if self._driver is not None:
            self._driver.wake()
        elif self._phase == "online":
            if self._catch_up():
                self._put_path_away()
            else:
                self._become_real()

    # As somebody who is looked at

    def reckon(self) -> tuple[int, int]:
        """Return the bytes each way of the heartbeats that are owed.

        Who has one under way is woken, and owes none.
        """
        if self._driver is not None:
            return self._driver.reckon()
        stage, heartbeat = self._stage, self._heartbeat
        if heartbeat is None or self._phase != "online":
            return 0, 0
        owed = stage.rest.owed(stage.anybody, heartbeat, self._path, stage.environment.now)
        return owed or self._become_real().reckon()

    @property
    def heard_until(self) -> float:
        """Time before which all that the server had must have been shown to the person; inf: all."""
        if self._driver is not None:
            return self._driver.heard_until
        return inf if self._phase == "online" else LONG_AGO

    def close(self) -> None:
        """Close all connections at the end of the run."""
        if self._driver is not None:
            self._driver.close()
