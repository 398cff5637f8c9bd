"""The account of pending heartbeats.

Most events of a run without faults are pings and pongs that change nothing. They needn't be simulated one by
one: a client with no other timer leaves them *pending*, and accounts for them at its next other event.

    pending     from a timer that fires with nothing to do: no fault, no packet under way, no unsettled
                message, and the next round trips are certain to be shorter than the heartbeat's timeout
    until       the last certain round trip; an action of the client; anything that reaches it or its link; a
                fault
    settled     all beats before now but the last are only counted: pings, bytes, random draws; the last takes
                place, at its own time, and so does the one before it if it may be under way
    at the end  of the run the bytes of pending beats are added up; a client whose last beat is under way
                settles them first

All figures are the same as without, to the last bit. The heartbeats of a recorded person always take place.

`HeartbeatAccount` is that of the client's pings, `KeepaliveAccount` that of the server's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from chatlab.settings import WebSocketConfig
from chatlab.sim.fast.barriers import Barriers
from chatlab.sim.fast.heartbeats.link import ForwardingLink
from chatlab.sim.fast.sampling import Directions
from chatlab.sim.server import Server
from chatlab.transports.heartbeat import Heartbeat
from chatlab.transports.machine import Machine


class Beats(Protocol):
    """The heartbeats of one link. The next ping is due at `deadline`."""

    deadline: float

    def pending(self, now: float) -> int:
        """Return the number of beats due before `now`."""


B = TypeVar("B", bound=Beats)


class Account(ABC, Generic[B]):
    """The account that all clients of one server share. `config` is the same for all of them."""

    __slots__ = ("_barriers", "_config", "_possible", "_server")

    def __init__(self, server: Server, config: WebSocketConfig, barriers: Barriers) -> None:
        self._server = server
        self._config = config.heartbeat
        self._barriers = barriers
        # Each pong comes before the next ping, and each beat but the first finds the token bucket full.
        spacing = self._config.interval - self._config.timeout
        self._possible = spacing >= 0 and spacing * server.config.rate >= server.config.burst

    def allows(self, link: ForwardingLink, beat_at: float) -> bool:
        """Return whether the next beat finds the token bucket full: messages may have emptied it."""
        return self._server.hub.may_burst(link.number, beat_at)

    def certain(self, path: Directions) -> float:
        """Return how many of the next round trips are certain to be shorter than the time-out; inf: all."""
        if not self._possible or self._server.loaded:
            return 0
        barriers, half = self._barriers, self._config.timeout / 2
        wanted = max(0.0, barriers.look() - barriers.now) / self._config.interval + 1
        return min(path.up.certain(half, wanted), path.down.certain(half, wanted))

    def due_again_at(self, beats: Beats, count: float) -> float:
        """Return a time between the last of the next `count` beats and the one after it."""
        return beats.deadline + (count - 0.5) * self._config.interval

    def pending_bytes(self, beats: B, path: Directions, now: float) -> tuple[int, int] | None:
        """Return the bytes each way of all beats before `now`; None: one is under way."""
        pending = beats.pending(now)
        if pending and not self.answered(beats, path, pending, now):
            return None
        return self.sizes(beats, pending)

    def _beat_at(self, beats: B, beat: int) -> float:
        """Return the time of the next beat (1), or of the one after it (2) …"""
        return beats.deadline + (beat - 1) * self._config.interval

    @abstractmethod
    def begin(self, served_at: float, open_at: float) -> B:
        """Return the beats of a link that the server accepts at `served_at`, and that is open at the client
        at `open_at`."""

    @abstractmethod
    def find(self, heartbeat: Heartbeat | None, link: ForwardingLink) -> B | None:
        """Return the beats of a link whose machine has `heartbeat`; None: there are none, or a ping is
        unanswered."""

    @abstractmethod
    def leave(self, link: ForwardingLink) -> None:
        """Leave the beats of a link pending from now on."""

    @abstractmethod
    def answered(self, beats: B, path: Directions, beat: int, now: float) -> bool:
        """Return whether the next beat (1), or the one after it (2) …, is certain to have been answered
        before `now`."""

    @abstractmethod
    def sizes(self, beats: B, count: int) -> tuple[int, int]:
        """Return the bytes each way of the next `count` beats."""

    @abstractmethod
    def skip(self, beats: B, path: Directions, count: int) -> float:
        """Advance by `count` beats, at least one, without pings; return when the last one is answered."""

    @abstractmethod
    def settle(self, machine: Machine, beats: B, link: ForwardingLink, path: Directions, now: float) -> None:
        """Account for all beats before `now`."""

    @abstractmethod
    def comes_before(self, beats: B, lost_at: float, gone_at: float) -> bool:
        """Return whether a beat or its time-out comes before the end of a link, which the client learns at
        `lost_at`, and the server at `gone_at`, if it doesn't know it yet."""

    @abstractmethod
    def resume(
        self, beats: B, at: float, machine: Machine, heartbeat: Heartbeat | None, link: ForwardingLink
    ) -> None:
        """Bring a machine with `heartbeat`, and its link that opened `at` a time, into the state of `beats`;
        those before now aren't settled yet."""


AnyAccount: TypeAlias = Account[Any]
