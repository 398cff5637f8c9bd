"""The model with both short cuts."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from sys import maxsize
from typing import cast

from chatlab.settings import AnyConfig, WebSocketConfig
from chatlab.sim.as_written.settings import AsWritten
from chatlab.sim.calendar import Calendar
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.driver import Driver
from chatlab.sim.fast.barriers import Barriers
from chatlab.sim.fast.heartbeats.account import AnyAccount
from chatlab.sim.fast.heartbeats.client_pings import HeartbeatAccount
from chatlab.sim.fast.heartbeats.driver import ForwardingDriver, HeartbeatFactory
from chatlab.sim.fast.heartbeats.link import ForwardingLink
from chatlab.sim.fast.heartbeats.server_pings import KeepaliveAccount
from chatlab.sim.fast.sampling import SampledPath, SampledPaths, SeekableStream, SeekableStreams
from chatlab.sim.fast.silent.client import SilentClient
from chatlab.sim.fast.silent.context import Context
from chatlab.sim.fast.silent.pool import Pool, can_be_silent
from chatlab.sim.fast.silent.server import PoolServer
from chatlab.sim.fast.ties import may_tie
from chatlab.sim.faults import FaultStep, RollingRestart, Suspended, Throttled
from chatlab.sim.garbage import rare_garbage
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.model import Model, Part, config_of, personal
from chatlab.sim.people import arrival_times
from chatlab.transports.backoff import Uniform
from chatlab.transports.machine import Machine
from chatlab.transports.websocket import WebSocketMachine


class FastPart(Part):
    """A part whose clients share an `account` of pending heartbeats, and the `context` of silent clients;
    None: they have none."""

    paths: SampledPaths
    account: AnyAccount | None = None
    context: Context | None = None


class PlainDriver(Driver):
    """A driver without short cuts, among others that have them: packets to or from it may be lost."""

    __slots__ = ()

    def wake(self) -> None:
        """Do nothing: all heartbeats take place."""

    def pending_bytes(self) -> tuple[int, int]:
        """Return 0: all bytes were counted."""
        return 0, 0


class FastModel(Model):
    """A `Model` with silent clients, and with heartbeats that may be pending."""

    _streams: SeekableStreams
    server: PoolServer

    # The parts

    def _make_streams(self, seed: int) -> SeekableStreams:
        return SeekableStreams(seed)

    def _make_parts(self, config: AnyConfig | AsWritten, network: NetworkConfig) -> list[Part]:
        self._barriers = Barriers(self.environment, self._wake)
        self._pool = Pool(self.server, self._barriers)
        self._plain = False
        self.server.order.on = self._can_watch(config, network)
        parts = super()._make_parts(config, network)
        if self._loses_order(parts):
            self._plain = True
            parts = super()._make_parts(config, network)
        return parts

    def _can_watch(self, config: AnyConfig | AsWritten, network: NetworkConfig) -> bool:
        """Return whether the order of packets at the same instant counts, and such packets are unlikely.

        The order of drains is that of accepted connections.
        """
        pairs = [(config, network)]
        for group in self._people.groups:
            own = config if group.transport is None else config_of(group.transport)
            pairs.append((own, group.network or network))
        drains = any(isinstance(fault, RollingRestart) for fault in self._faults)
        server = self.server.config
        counts = server.nodes > 1 or server.accept_rate is not None or drains
        links = all(isinstance(config, WebSocketConfig) for config, _ in pairs)
        return counts and links and not any(may_tie(*pair, together=self._together) for pair in pairs)

    def _loses_order(self, parts: Sequence[Part]) -> bool:
        """Return whether clients with short cuts may enter the accept queue, or come to the balancer, in
        another order that changes a figure."""
        together, server = self._together, self.server.config
        if server.nodes > 1:
            return any(may_tie(part.config, part.network_config, together=together) for part in parts)
        if not self._people.groups or server.accept_rate is None:
            return False
        tied = [part for part in parts if may_tie(part.config, part.network_config, together=together)]
        own = any(may_tie(part.config, part.network_config, together=False) for part in tied)
        return own or any(not isinstance(part, FastPart) or part.context is None for part in tied)

    @property
    def _together(self) -> bool:
        """Whether many people may connect at the same instant: all arrive then, or their timers fire then."""
        timers = any(isinstance(fault, Suspended | Throttled) for fault in self._faults)
        return timers or (not self._people.arrive_over and self._people.start == "arriving")

    def _orders_syns(self, config: WebSocketConfig, network: NetworkConfig) -> bool:
        """Return whether SYNs may arrive at the same instant, and their order, which short cuts change,
        decides who is ignored, or answered with 503; and nobody watches it."""
        server = self.server.config
        bounded = server.accept_rate is not None and server.overflow != "refuse" and not self.server.order.on
        return bounded and may_tie(config, network, together=self._together, later=True)

    def _make_part(
        self, config: AnyConfig | AsWritten, network_config: NetworkConfig, *, lossy: bool
    ) -> Part:
        if lossy or self._plain or self._dialect.greets:  # The short cuts know of no loss and no greeting.
            return super()._make_part(config, network_config, lossy=lossy)
        part = FastPart(config, network_config, lossy=lossy)
        part.paths = SampledPaths(network_config, self._streams)
        part.network = self._make_network(part, ForwardingLink)
        if isinstance(config, WebSocketConfig):
            part.account = self._make_account(config, network_config)
        if isinstance(config, WebSocketConfig) and part.account is not None:
            limited = min(part.network.largest) < maxsize
            able = can_be_silent(self._people, network_config, self.server.config, self._faults)
            if able and not limited:
                part.context = self._make_context(part, config, part.account)
        return part

    def _make_account(self, config: WebSocketConfig, network: NetworkConfig) -> AnyAccount | None:
        """Return the account of pending heartbeats; None: none are pending.

        Both sides send pings, or may do so; or what happens at one instant might change its order, and that
        matters, or might.
        """
        if self._orders_syns(config, network):
            return None
        if not config.heartbeat.by_server:
            if self.server.config.pings is not None:
                return None
            return HeartbeatAccount(self.server, config, self._dialect, self._barriers)
        tied = not self.server.order.on and may_tie(config, network, together=self._together, later=True)
        if config.heartbeat.mode == "both" or tied:
            return None
        return KeepaliveAccount(self.server, config, self._barriers)

    def _make_context(self, part: FastPart, config: WebSocketConfig, account: AnyAccount) -> Context:
        parts = part.network, self.server, part.paths, self._streams, self._recorder, account, self._barriers
        return Context(self._make_driver, config, self._dialect, *parts, self._names, self._rooms, self._pool)

    def _make_server(self, config: ServerConfig) -> PoolServer:
        return PoolServer(self.environment, config, self._streams)

    def _add_people(self) -> None:
        self._scripted = set(self._people.scripted)
        super()._add_people()

    def _make_person(self, person: int) -> ForwardingDriver | PlainDriver | SilentClient:
        part = self._part(person)
        if not isinstance(part, FastPart):
            return self._drive(PlainDriver, person)
        if part.context is None or person < self._sample or self._names[person] in self._scripted:
            return self._make_driver(person)
        return self._pool.add(person, part.context)

    def _make_driver(
        self, person: int, path: SampledPath | None = None, jitter: SeekableStream | None = None
    ) -> ForwardingDriver:
        part = self._part(person)
        assert isinstance(part, FastPart)

        def make_machine(heartbeat: HeartbeatFactory) -> Machine:
            config = part.config
            if not isinstance(config, WebSocketConfig):
                return self._make_machine(person)
            own = personal(config, self._room(person), self._names[person])
            uniform: Uniform = jitter or self._streams.uniform(person, "backoff")
            return WebSocketMachine(own, self._dialect, uniform, heartbeat=heartbeat)

        return ForwardingDriver(
            person,
            self._names[person],
            make_machine,
            part.network,
            path or part.paths.make(person),
            self._recorder,
            self._steps_of(person),
            self._make_session,
            part.account,
        )

    def _fault_calendar(self) -> Calendar:
        return self._barriers

    def _schedule_people(self) -> None:
        super()._schedule_people()
        self._pool.bring(arrival_times(self._people, self._streams))

    # A run

    @property
    def _fast(self) -> list[ForwardingDriver | PlainDriver | SilentClient]:
        return cast("list[ForwardingDriver | PlainDriver | SilentClient]", self.everybody)

    @rare_garbage()
    def run(self, duration: float) -> None:
        self._barriers.set_end(self._end_of(duration))
        self._pool.begin()
        try:
            super().run(duration)
        finally:
            self._barriers.set_end(-inf)
        pending = [person.pending_bytes() for person in self._fast]
        self._count_bytes()
        self.bytes_up += sum(up for up, _ in pending)
        self.bytes_down += sum(down for _, down in pending)

    def close(self) -> None:
        self._pool.close()
        del self._barriers, self._pool  # They refer to the model.
        self._parts.clear()
        super().close()

    def _wake(self, step: object) -> None:
        """Account for pending heartbeats of everybody whom a step concerns: the beginning of the run
        concerns all, a fault those whom it hits.

        Those whom the server loses by it account for theirs as they are lost.
        """
        concerned = self._fast
        if isinstance(step, FaultStep) and not step.fault.spreads:
            concerned = cast("list[ForwardingDriver | PlainDriver | SilentClient]", step.context.hit)
        for person in concerned:
            person.wake()
