"""The parts that all extras of a run share, and figures that are computed once for all."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from itertools import cycle
from operator import add
from typing import NamedTuple, Protocol

from chatlab.dialects.base import Welcome
from chatlab.dialects.chatlab import encode_frame
from chatlab.luck import Luck
from chatlab.sim.barriers import Barriers
from chatlab.sim.driver import Driver
from chatlab.sim.network import Network
from chatlab.sim.path import Path, Paths
from chatlab.sim.recorder import Recorder
from chatlab.sim.rest import Rest
from chatlab.sim.server import Server
from chatlab.sim.sizes import UPGRADED_SIZE, frame_size, query_size, upgrade_size
from chatlab.transports.crowd import CrowdWebSocketMachine
from chatlab.transports.failures import REFUSED


class Loser(Protocol):
    """Somebody who has lost a link and is about to hear of it."""

    def be_lost(self) -> None:
        """Learn that the link has ended."""


class Greeting(NamedTuple):
    """How somebody is let in: the bytes of request and answer without the names, the cursor from then on, and
    whether messages may be missing."""

    asked: int
    answered: int
    cursor: str
    gap: bool


class Stage:
    """The parts that all extras of a run share.

    `make` makes a person real, with a path if there is one already; `anybody` is a machine as all have it,
    which is asked what all would say. `beats`: open links have heartbeats.
    """

    def __init__(
        self,
        make: Callable[[int, Path | None], Driver],
        network: Network,
        server: Server,
        paths: Paths,
        luck: Luck,
        recorder: Recorder,
        rest: Rest,
        names: Sequence[str],
        rooms: Sequence[str],
        barriers: Barriers,
    ) -> None:
        self.barriers = barriers
        anybody = make(0, None).machine
        assert isinstance(anybody, CrowdWebSocketMachine)
        self.anybody = anybody
        self.config = anybody.config
        self.connect_timeout = anybody.config.connect_timeout
        self.verdict_if_refused = anybody.judge(REFUSED)
        self.beats = anybody.beats
        self.make = make
        self.network = network
        self.environment = network.environment
        self.server = server
        self.paths = paths
        self.luck = luck
        self.recorder = recorder
        self.rest = rest
        self.names = names
        self.name_sizes = array("H", map(add, map(len, names), cycle(map(len, rooms))))
        self._rooms = rooms
        self._losing: dict[float, list[Loser]] = {}
        self._greetings: dict[tuple[str, str | None], Greeting] = {}

    def room(self, person: int) -> str:
        """Return the name of a person's room."""
        return self._rooms[person % len(self._rooms)]

    def greeting(self, cursor: str | None) -> Greeting:
        """Return how somebody with that cursor is let in."""
        hub = self.server.hub
        greeting = self._greetings.get((hub.epoch, cursor))
        if greeting is None:
            query = self.anybody.query(cursor) | {"room": "", "sender": ""}
            asked = upgrade_size(self.config.protocols) + query_size(query)
            replay = hub.read("", cursor, self.config.history)  # Nobody has said anything in any room.
            frame = encode_frame(Welcome(cursor=replay.start, resync=replay.gap))
            answered = UPGRADED_SIZE + frame_size(frame, masked=False)
            greeting = Greeting(asked, answered, replay.start, replay.gap)
            self._greetings[hub.epoch, cursor] = greeting
        return greeting

    def count_request(self) -> None:
        """Count a request that is made now."""
        self.network.requests += 1

    def lose(self, loser: Loser, at: float) -> None:
        """Tell somebody at that time that the link has ended; all who lose at once are told together."""
        losing = self._losing.get(at)
        if losing is None:
            losing = self._losing[at] = []
            self.environment.call_at(at, self._tell, at)
        losing.append(loser)

    def _tell(self, at: float) -> None:
        for loser in self._losing.pop(at):
            loser.be_lost()
