"""A watch for packets that reach the server at the same instant, if their order may change a figure.

A client with short cuts schedules its packets at other times than a driver does. So those that arrive at the
same instant may come in another order. With random latencies that doesn't happen. With a constant one it does
if people lose their connections at one instant and wait equally long; then the run has to be repeated without
short cuts.
"""

from __future__ import annotations

from math import nan
from typing import Protocol, cast

from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.link import Link
from chatlab.sim.model import OrderLost


class OrderWatch:
    """The latest packet that came to the balancer or an accept queue. It is `on` or does nothing."""

    __slots__ = ("_at", "_environment", "_person", "on")

    def __init__(self, environment: LadderEnvironment) -> None:
        self.on = False
        self._environment = environment
        self._at = nan
        self._person = -1

    def note(self, person: int) -> None:
        """Note a packet of that person.

        Errors: `OrderLost` if another person's came at the same instant.
        """
        if self.on:
            now = self._environment.now
            if now == self._at and person != self._person:
                raise OrderLost
            self._at, self._person = now, person


class Watching(Protocol):
    """A server that watches the order of packets."""

    order: OrderWatch


class WatchedLink(Link):
    """A link whose SYNs and final ACKs are noted by its host's `order`."""

    __slots__ = ()

    def _take_syn(self) -> None:
        self._order.note(self.path.person)
        super()._take_syn()

    def _complete_handshake(self) -> bool:
        self._order.note(self.path.person)
        return super()._complete_handshake()

    @property
    def _order(self) -> OrderWatch:
        return cast("Watching", self._host).order
