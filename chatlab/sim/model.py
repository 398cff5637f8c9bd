"""The model world put together: people's machines, a modelled network, a server around the real hub, faults."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import msgspec

from chatlab.dialects import find_dialect
from chatlab.dialects.base import Dialect, Incoming
from chatlab.luck import Luck
from chatlab.messages import OutgoingMessage
from chatlab.settings import HeartbeatMode, TransportConfig, WebSocketConfig
from chatlab.sim.driver import Driver, Recorder
from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.faults import Fault, schedule
from chatlab.sim.latency import NetworkConfig, Paths
from chatlab.sim.network import Network
from chatlab.sim.people import PeopleConfig, bring
from chatlab.sim.server import Server, ServerConfig
from chatlab.trace import Step
from chatlab.transports.machine import Machine
from chatlab.transports.backoff import Uniform
from chatlab.transports.websocket import WebSocketMachine

REMEMBERED_FRAMES = 4096


class Model:
    """All simulated parts of one run. `config` is everybody's but for room and sender; `steps` are those of the
    first `sample` people; the `recorder` hears of everybody.
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
        dialect = SharedDecoding(find_dialect(config.dialect))
        for person, name in enumerate(people.names):
            machine = make_machine(
                personal(config, f"room-{people.room(person) + 1}", name), dialect, luck.uniform(person, "backoff")
            )
            steps = self.steps if person < sample else None
            self.drivers.append(
                Driver(person, name, machine, self.network, paths.make(person), recorder, steps)
            )
        schedule(faults, self.drivers, self.server, self.environment, luck)
        bring(people, self.drivers, self.environment, luck)

    def run(self, duration: float) -> None:
        """Let so many seconds pass."""
        self.environment.run(until=self.environment.now + duration)


def make_machine(config: TransportConfig, dialect: Dialect, uniform: Uniform) -> Machine:
    """Return a new machine for a transport's config."""
    match config:
        case WebSocketConfig():
            return WebSocketMachine(config, dialect, uniform)
        case _:
            raise NotImplementedError(f"no machine for {type(config).__name__}")


def personal(config: WebSocketConfig, room: str, sender: str) -> WebSocketConfig:
    """Return a copy of the config for one person; it isn't checked again, which would take longer than all the rest."""
    own = copy.copy(config)
    msgspec.structs.force_setattr(own, "room", room)
    msgspec.structs.force_setattr(own, "sender", sender)
    return own


class SharedDecoding:
    """A dialect that reads a frame once for all its receivers, who then share the message in memory too."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._decoded: dict[str | bytes, Sequence[Incoming]] = {}
        self.name = dialect.name
        self.acks = dialect.acks
        self.heartbeat: HeartbeatMode = dialect.heartbeat
        self.query = dialect.query
        self.encode = dialect.encode
        self.ping = dialect.ping
        self.pong = dialect.pong
        self.typing = dialect.typing

    def decode(self, frame: str | bytes) -> Sequence[Incoming]:
        """Return what a frame says."""
        decoded = self._decoded.get(frame)
        if decoded is None:
            decoded = self._decoded[frame] = self._dialect.decode(frame)
            if len(self._decoded) > REMEMBERED_FRAMES:
                del self._decoded[next(iter(self._decoded))]
        return decoded
