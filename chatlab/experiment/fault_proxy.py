"""A proxy on loopback between one person and a server, into which the faults of scenarios are injected.

    async with FaultProxy(server) as proxy:        # an `EmbeddedServer`, or the URL of any server
        transport = WebSocketTransport(WebSocketConfig(url=proxy.rebase(server.ws_url)))
        proxy.inject(HighLatency(at=0.0, duration=10.0, latency=0.3))
        proxy.play([ServerDown(at=10.0, duration=5.0), HalfOpen(at=30.0)])
        proxy.end_faults()

Its line is shaped as those of the live world (`chatlab.experiment.worlds.shaped_connection`), so a fault does
the same as in a scenario.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from chatlab.errors import SettingsError
from chatlab.experiment.foreign_server import ForeignServer
from chatlab.experiment.injected_fault import InjectedFault
from chatlab.experiment.worlds.own_server import OwnServer, own_server
from chatlab.experiment.worlds.proxied_line import LinesToServer, ProxiedLine
from chatlab.experiment.worlds.scheduler import LoopScheduler
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.random_streams import RandomStreams
from chatlab.settings.urls import through_proxy
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.fault_context import Breakable, FaultContext, ServerControl
from chatlab.sim.faults import (
    Blocked,
    ConnectionReset,
    Fault,
    HttpError,
    Loss,
    NodeFault,
    NoPong,
    Outage,
    ServerRestart,
    SlowServer,
)
from chatlab.sim.faults.phrases import UNTIL_ENDED, kind_name
from chatlab.sim.path import Impairment, Path
from chatlab.sim.timers import Timers

OWN_SERVER_FAULTS: tuple[type[Fault], ...] = (
    ServerRestart,
    NodeFault,
    HttpError,
    NoPong,
    SlowServer,
    Blocked,
)
"""Faults in which the server takes part, so that they need an embedded server."""
RESETTING = 1.0
"""Maximum seconds to wait for resets."""
OUTAGES: tuple[type[Fault], ...] = (Outage, NodeFault)
"""Faults that stop the server."""


class FaultProxy:
    """A proxy between one person and a server, an `EmbeddedServer` or any server's URL.

    It listens on loopback, on a free `port` by default. `person` is the name that a fault's `people` may
    have. `seed` is that of random delays. `on_change` is called when a fault begins, and when it ends.
    Everything but the constructor must be called on the loop on which it `accept`s; an embedded server must
    run there, too. Faults that delay timers need a transport with `fires_at=proxy.timers.fires_at`.
    """

    person = 0

    def __init__(
        self,
        target: EmbeddedServer | str,
        *,
        port: int = 0,
        seed: int = 0,
        person: str = "you",
        on_change: Callable[[InjectedFault], object] = lambda injected: None,
    ) -> None:
        self.name = person
        self.path = Path(float, float, float)
        self.path.lossy = True  # A partition may come.
        self.timers = Timers()
        self.host = "127.0.0.1"
        self.port = port
        self.faults: list[InjectedFault] = []
        self._target = target
        self._on_change = on_change
        self._streams = RandomStreams(seed)
        self._seed = seed
        self._own: OwnServer | None = None
        self._lines: LinesToServer
        self._server: ServerControl
        self._line: ProxiedLine | None = None

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def accept(self) -> None:
        """Listen. A second call does nothing. Errors: `OSError` when the port is in use."""
        if self._line is not None:
            return
        if isinstance(self._target, EmbeddedServer):
            self._own = own_server(self._target, self._seed)
            self._lines, self._server, url = self._own.lines, self._own.control, self._target.url
        else:
            clock = LoopScheduler(asyncio.get_running_loop())
            self._lines, self._server, url = LinesToServer(), ForeignServer(self, clock), self._target
        self._line = await self._lines.open_line(url, self.path, self.port)
        self.host, self.port = self._line.proxy.host, self._line.proxy.port
        if self._own is not None:
            self._own.add(self)

    async def close(self) -> None:
        """End all faults and connections, and stop listening."""
        if self._line is None:
            return
        line, self._line = self._line, None
        try:
            self.end_faults()
        finally:
            if self._own is not None:
                self._own.remove(self)
                await self._own.control.settle()
            await self._lines.close_line(line)

    def rebase(self, url: str) -> str:
        """Return the URL with the proxy's host and port; a user and password stay."""
        return through_proxy(url, self.host, self.port)

    # Faults

    def check(self, fault: Fault) -> None:
        """Check that a fault can be injected.

        Errors: `SettingsError` if it needs an embedded server, and there is none; and for a `Loss`.
        """
        name = kind_name(type(fault))
        if isinstance(fault, Loss):
            raise SettingsError(f"{name}: real sockets lose no single packets; take a partition")
        if isinstance(fault, OWN_SERVER_FAULTS) and not isinstance(self._target, EmbeddedServer):
            raise SettingsError(f"{name}: only an embedded server can be made to do that; this one is not")

    def inject(self, fault: Fault) -> InjectedFault:
        """Inject a fault `fault.at` seconds from now.

        Errors: `SettingsError` as for `check`.
        """
        self.check(fault)
        if getattr(fault, "duration", 0.0) is None:  # The rest of the run.
            fault = fault.replace(duration=UNTIL_ENDED)
        loop = asyncio.get_running_loop()
        injected = InjectedFault(fault.replace(at=loop.time() + fault.at), self._begin, self._changed, loop)
        self.faults.append(injected)
        injected.schedule()
        return injected

    def play(self, faults: Iterable[Fault]) -> list[InjectedFault]:
        """Inject several faults, each `fault.at` seconds from now.

        Errors: `SettingsError` as for `check`; then none is injected.
        """
        script = list(faults)
        for fault in script:
            self.check(fault)
        return [self.inject(fault) for fault in script]

    def reset(self) -> None:
        """Reset every connection on both sides (TCP RST).

        Errors: `SettingsError` as for `check`.
        """
        self.inject(ConnectionReset(at=0.0))

    def end_faults(self, *kinds: type[Fault]) -> None:
        """End all faults under way, and cancel those to come, or only those of some kinds.

        Errors: `RuntimeError` if one doesn't end, after the others have.
        """
        with ExitStack() as ends:
            for injected in reversed(self.faults):
                if isinstance(injected.fault, kinds or Fault):
                    ends.callback(injected.end)

    @property
    def to_embedded_server(self) -> bool:
        """Whether the server is an embedded one, in this process."""
        return isinstance(self._target, EmbeddedServer)

    @property
    def under_way(self) -> list[InjectedFault]:
        """The faults that have begun, and aren't over."""
        return [injected for injected in self.faults if injected.under_way]

    def outages_by_others(self) -> list[InjectedFault]:
        """The outages of an embedded server that other proxies have caused."""
        people = [] if self._own is None else self._own.people
        others = [one for one in people if isinstance(one, FaultProxy) and one is not self]
        return [one for proxy in others for one in proxy.faults if isinstance(one.fault, OUTAGES)]

    def faults_since(self, origin: float) -> list[Fault]:
        """Return its past and future faults, and outages that other proxies have caused.

        Their durations are the true ones, and times are relative to `origin`, on the monotonic clock. They
        hit everybody.
        """
        own = sorted(self.faults, key=lambda injected: injected.fault.at)
        hitting = [one for one in own if not one.fault.people or self.name in one.fault.people]
        every = [one.since(origin) for one in (*hitting, *self.outages_by_others())]
        return [fault.replace(people=(), groups=()) for fault in every if fault is not None]

    @property
    def server_config(self) -> ServerConfig | None:
        """The model's settings for the server; None: it isn't an embedded one."""
        if not isinstance(self._target, EmbeddedServer):
            return None
        config, limits = self._target.config, self._target.limits
        return ServerConfig(
            rate=config.rate,
            burst=config.burst,
            max_hold=limits.max_hold,
            keep_alive=limits.keep_alive,
            reconnection_time=limits.reconnection_time,
            ping_interval=limits.ping_interval,
            ping_timeout=limits.ping_timeout,
        )

    async def start_server(self) -> None:
        """End all outages of an embedded server, also those by other proxies, and wait until it runs.

        Errors: as for `EmbeddedServer.start`.
        """
        assert self._own is not None
        for person in list(self._own.people):
            if isinstance(person, FaultProxy):
                person.end_faults(*OUTAGES)
        await self._own.control.settle()
        await self._own.server.start()

    async def settle(self) -> None:
        """Wait until an embedded server has stopped or started as its faults say, and connections are reset.

        Errors: those of starting the server.
        """
        if self._own is not None:
            await self._own.control.settle()
        if self._line is not None and self.path.refusing:
            await self._line.proxy.ended(RESETTING)

    def _begin(self, injected: InjectedFault) -> FaultContext:
        """Return the context of a fault that begins. Its number is its place among those that have begun."""
        number = sum(one.has_begun for one in self.faults)
        hit = injected.fault.hits([self], self._streams, number)
        context = FaultContext(self._server, hit, self._streams, number)
        injected.fault.prepare(context)
        return context

    def _changed(self, injected: InjectedFault) -> None:
        if injected.cancelled:
            self.faults.remove(injected)
        self._on_change(injected)

    # The `FaultTarget` interface

    @property
    def connections(self) -> Sequence[Breakable]:
        """All connections that the person has not closed."""
        return () if self._line is None else tuple(self._line.connections)

    def adapt(self) -> None:
        """Apply the changes of the path."""
        if self._line is not None:
            self._line.adapt()

    def add_impairment(self, impairment: Impairment) -> None:
        """Add an impairment to the path."""
        self.path.add_impairment(impairment)
        self.adapt()

    def remove_impairment(self, impairment: Impairment) -> None:
        """Remove an impairment from the path."""
        self.path.remove_impairment(impairment)
        self.adapt()
