"""The parts that all silent clients of a run share, and figures that are computed once for all."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import cycle
from math import inf
from operator import add
from typing import NamedTuple, Protocol

from chatlab.dialects.base import Dialect, Welcome
from chatlab.dialects.chatlab import encode_frame
from chatlab.settings import Verdict, WebSocketConfig
from chatlab.sim.fast.barriers import Barriers
from chatlab.sim.fast.heartbeats.account import AnyAccount
from chatlab.sim.fast.heartbeats.driver import ForwardingDriver
from chatlab.sim.fast.sampling import SampledPath, SampledPaths, SeekableStream, SeekableStreams
from chatlab.sim.fast.silent.server import PoolServer
from chatlab.sim.network import Network
from chatlab.sim.recorder import Recorder
from chatlab.sim.sizes import UPGRADED_SIZE, frame_size, query_size, upgrade_size
from chatlab.transports.failures import REFUSED, judge
from chatlab.transports.machine import Failure


class Loser(Protocol):
    """A client whose link has ended, which it will learn later."""

    def be_lost(self) -> None:
        """Handle the end of the link."""


class Losses(Protocol):
    """The ends of links that clients will learn."""

    def lose(self, loser: Loser, at: float) -> None:
        """Call a client's `be_lost` at `at`."""


class Greeting(NamedTuple):
    """A server's greeting: the sizes of request and answer without the names, the new cursor, and whether
    messages may be missing."""

    asked: int
    answered: int
    cursor: str
    gap: bool


class Closing(NamedTuple):
    """A close frame of the server: the failure that it is to a client, its bytes, and those of the answer."""

    failure: Failure
    sent: int
    echoed: int


class Maker(Protocol):
    """Makes a person's driver, with an existing path and stream of jitter if given."""

    def __call__(
        self, person: int, path: SampledPath | None, jitter: SeekableStream | None
    ) -> ForwardingDriver: ...


class Context:
    """The parts that all silent clients share who have one transport and one network.

    `config` is the same for all, except room and sender. `beats`: open links have heartbeats.
    An answer that takes `opens_within` seconds may meet the server's first ping.
    """

    def __init__(
        self,
        make: Maker,
        config: WebSocketConfig,
        dialect: Dialect,
        network: Network,
        server: PoolServer,
        paths: SampledPaths,
        streams: SeekableStreams,
        recorder: Recorder,
        account: AnyAccount,
        barriers: Barriers,
        names: Sequence[str],
        rooms: Sequence[str],
        losses: Losses,
    ) -> None:
        self.make = make
        self.config = config
        self.connect_timeout = config.connect_timeout
        self.beats = config.heartbeat.enabled and (config.heartbeat.mode or dialect.heartbeat) != "none"
        self.opens_within = config.heartbeat.interval if config.heartbeat.by_server else inf
        self._dialect = dialect
        self._failures = {**dialect.failures, **config.failures} if dialect.failures else config.failures
        self.verdict_if_refused = self.judge(REFUSED)
        self.network = network
        self.environment = network.environment
        self.server = server
        self.paths = paths
        self.streams = streams
        self.recorder = recorder
        self.account = account
        self.barriers = barriers
        self.names = names
        self.name_sizes = array("H", map(add, map(len, names), cycle(map(len, rooms))))
        self.lose = losses.lose
        self._rooms = rooms
        self._closings: dict[tuple[int, str], Closing] = {}
        self._greetings: dict[tuple[str, str | None], Greeting] = {}

    def judge(self, failure: Failure) -> Verdict:
        """Return the verdict of the failure tables."""
        return judge(failure, self._failures)

    def room(self, person: int) -> str:
        """Return the name of a person's room."""
        return self._rooms[person % len(self._rooms)]

    def greeting(self, cursor: str | None) -> Greeting:
        """Return the server's greeting for a client with `cursor`."""
        hub = self.server.hub
        greeting = self._greetings.get((hub.epoch, cursor))
        if greeting is None:
            query = self._dialect.opening(self.config, cursor).query | {"room": "", "sender": ""}
            asked = upgrade_size(self.config.protocols) + query_size(query)
            replay = hub.read("", cursor, self.config.history)  # No room has a message.
            frame = encode_frame(Welcome(cursor=replay.start, resync=replay.gap))
            answered = UPGRADED_SIZE + frame_size(frame, masked=False)
            greeting = Greeting(asked, answered, replay.start, replay.gap)
            self._greetings[hub.epoch, cursor] = greeting
        return greeting

    def closing(self, code: int, reason: str) -> Closing:
        """Return what a close frame of the server means, and takes."""
        closing = self._closings.get((code, reason))
        if closing is None:
            sizes = (frame_size("xx" + reason, masked=masked) for masked in (False, True))
            closing = self._closings[code, reason] = Closing(Failure("close", code, reason), *sizes)
        return closing

    def count_request(self) -> None:
        """Count a request in the current second."""
        self.network.requests += 1
