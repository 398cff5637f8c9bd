"""The model world put together: people's machines, a modelled network and server, the real hub, faults."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import lru_cache

import msgspec

from chatlab.dialects import find_dialect
from chatlab.dialects.base import Dialect
from chatlab.luck import Luck
from chatlab.settings import WebSocketConfig
from chatlab.sim.driver import Driver, Recorder
from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.faults import Fault, schedule
from chatlab.sim.latency import NetworkConfig, Paths
from chatlab.sim.network import Network
from chatlab.sim.people import PeopleConfig, bring
from chatlab.sim.server import Server, ServerConfig
from chatlab.trace import Step
from chatlab.transports.websocket import WebSocketMachine

REMEMBERED_FRAMES = 4096


class Model:
    """All simulated parts of one run.

    `config` is everybody's, but for room and sender. `steps` are those of the first `sample` people; the
    `recorder` hears of everybody.
    """

    def __init__(
        self,
        seed: int,
        config: WebSocketConfig,
        people: PeopleConfig,
        network: NetworkConfig,
        server: ServerConfig,
        faults: Sequence[Fault],
        recorder: Recorder,
        sample: int,
    ) -> None:
        luck = Luck(seed)
        self.environment = LadderEnvironment()
        self.server = Server(self.environment, server)
        self.network = Network(self.environment, self.server)
        self.steps: list[Step] = []
        self.drivers: list[Driver] = []
        paths = Paths(network, luck)
        dialect = share_decoding(find_dialect(config.dialect))
        for person, name in enumerate(people.names):
            own = personal(config, f"room-{people.room(person) + 1}", name)
            machine = WebSocketMachine(own, dialect, luck.uniform(person, "backoff"))
            steps = self.steps if person < sample else None
            self.drivers.append(
                Driver(person, name, machine, self.network, paths.make(person), recorder, steps)
            )
        schedule(faults, self.drivers, self.server, self.environment, luck)
        bring(people, self.drivers, self.environment, luck)

    def run(self, duration: float) -> None:
        """Let so many seconds pass."""
        self.environment.run(until=self.environment.now + duration)


def personal(config: WebSocketConfig, room: str, sender: str) -> WebSocketConfig:
    """Return a copy of the config for one person. It isn't checked again, which takes long."""
    own = copy.copy(config)
    msgspec.structs.force_setattr(own, "room", room)
    msgspec.structs.force_setattr(own, "sender", sender)
    return own


def share_decoding(dialect: Dialect) -> Dialect:
    """Return a dialect that reads a frame once for all its receivers, who so share the message in memory
    too."""
    shared = copy.copy(dialect)
    vars(shared)["decode"] = lru_cache(REMEMBERED_FRAMES)(dialect.decode)
    return shared
