"""An embedded server that people reach through fault proxies, each with faults of their own."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary

from chatlab.experiment.worlds.embedded_control import EmbeddedServerControl
from chatlab.experiment.worlds.fault_middleware import FaultMiddleware
from chatlab.experiment.worlds.proxied_line import LinesToServer
from chatlab.experiment.worlds.scheduler import LoopScheduler
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.random_streams import RandomStreams
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.fault_context import FaultTarget
from chatlab.sim.needs import Needs

_SERVERS: WeakValueDictionary[int, OwnServer] = WeakValueDictionary()
"""The servers in use, by the identity of the `EmbeddedServer`."""


class OwnServer:
    """An embedded server with its control. All fault proxies to the same server share it.

    It applies faults to the server's requests while it has people.
    """

    def __init__(self, server: EmbeddedServer, seed: int) -> None:
        self.server = server
        self.lines = LinesToServer()
        self.people: list[FaultTarget] = []
        streams, scheduler = RandomStreams(seed), LoopScheduler(asyncio.get_running_loop())
        self._middleware = FaultMiddleware(
            ServerConfig(), self.lines.path_of, streams.uniform(0, "service"), Needs((), streams, scheduler)
        )
        self.control = EmbeddedServerControl(server, self._middleware, self.lines, scheduler, self.people)

    def add(self, person: FaultTarget) -> None:
        """Add a person."""
        if not self.people:
            self.server.wrap(add=self._middleware.wrap)
        self.people.append(person)

    def remove(self, person: FaultTarget) -> None:
        """Remove a person."""
        self.people.remove(person)
        if not self.people:
            self.server.wrap(remove=self._middleware.wrap)


def own_server(server: EmbeddedServer, seed: int) -> OwnServer:
    """Return the `OwnServer` of an embedded server that runs on this loop."""
    own = _SERVERS.get(id(server))
    if own is None:
        own = _SERVERS[id(server)] = OwnServer(server, seed)
    return own
