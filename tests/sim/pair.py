"""A person, a server and a link between them; both ends note when what reaches them."""

from __future__ import annotations

from typing import Any

from chatlab.random_streams import RandomStreams
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.connection import Connection
from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.link import Link
from chatlab.sim.network import Network
from chatlab.sim.path import Path, Paths
from chatlab.sim.server import Server
from chatlab.transports.machine import Answered, Closed, Event, Opened

D = 0.25  # one-way latency; a power of two, so that sums of it are exact
QUERY = {"room": "lobby", "sender": "ada"}


class Watched(Server):
    """A server that notes when what reaches it."""

    def __init__(self, environment: LadderEnvironment, config: ServerConfig) -> None:
        super().__init__(environment, config)
        self.clock = environment
        self.seen: list[tuple[float, Any]] = []

    def accept(self, connection: Connection) -> float | None:
        self.seen.append((self.clock.now, "SYN"))
        return super().accept(connection)

    def upgrade(self, link: Link) -> None:
        self.seen.append((self.clock.now, "upgrade"))
        super().upgrade(link)

    def receive(self, link: Link, frame: str | bytes) -> None:
        self.seen.append((self.clock.now, frame))
        super().receive(link, frame)

    def on_peer_closed(self, connection: Connection) -> None:
        self.seen.append((self.clock.now, "leave"))
        super().on_peer_closed(connection)


class Person:
    """A person's end that notes when what reaches it."""

    def __init__(self, environment: LadderEnvironment) -> None:
        self.clock = environment
        self.seen: list[tuple[float, Event]] = []

    def handle(self, event: Event) -> None:
        self.seen.append((self.clock.now, event))

    def lose(self, event: Closed | Answered) -> None:
        self.handle(event)


class Pair:
    """One person, one server, one link."""

    def __init__(self, path: Path | None = None, **server: Any) -> None:
        self.environment = LadderEnvironment()
        self.server = Watched(self.environment, ServerConfig(**server))
        self.network = Network(self.environment, self.server)
        self.path = path or Paths(NetworkConfig(latency=D), RandomStreams(0)).make(0)
        self.person = Person(self.environment)

    def open(self) -> Link:
        return self.network.open(self.path, self.person, 1, QUERY)

    def opened(self, until: float = 4.0) -> Link:
        """Open a link, wait, and forget what came meanwhile."""
        link = self.open()
        self.run(until)
        assert (4 * D, Opened(1)) in self.person.seen
        self.person.seen.clear()
        self.server.seen.clear()
        return link

    def run(self, until: float) -> None:
        self.environment.run(until=until)


def text(number: int, sender: str = "ada") -> str:
    return f'{{"type":"message","client_id":"{sender}-{number}","text":"{number}"}}'
