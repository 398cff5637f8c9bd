"""All WebSockets between clients and one server."""

from __future__ import annotations

from collections.abc import Sequence
from sys import maxsize

from chatlab.settings import HeartbeatConfig
from chatlab.sim.connection import Client
from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.link import Link, LinkTraffic, WebSocketHost
from chatlab.sim.path import Path
from chatlab.sim.sizes import UPGRADE_SIZE


class Network(LinkTraffic):
    """All links to one server.

    `largest` and `upgrades` have an entry for each of a client's transports: the size of the largest frame
    that it accepts, and the size of its upgrade request without the query. `link` is the class of the links.
    """

    __slots__ = ("_link", "largest", "upgrades")

    def __init__(
        self,
        environment: LadderEnvironment,
        host: WebSocketHost,
        *,
        tls: bool = False,
        largest: Sequence[int] = (maxsize,),
        upgrades: Sequence[int] = (UPGRADE_SIZE,),
        link: type[Link] | None = None,
        heartbeat: HeartbeatConfig | None = None,
    ) -> None:
        super().__init__(environment, host, tls=tls, heartbeat=heartbeat)
        self._link = link or Link
        self.largest = largest
        self.upgrades = upgrades

    def open(
        self, path: Path, client: Client, number: int, query: dict[str, str], transport: int = 0
    ) -> Link:
        """Begin to open a WebSocket; `number` is the client's number for it."""
        largest, upgrade_size = self.largest[transport], self.upgrades[transport]
        link = self._link(self, path, client, number, query, largest, upgrade_size)
        link.connect()
        return link
