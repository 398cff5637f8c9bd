"""The model with both short cuts."""

from __future__ import annotations

from math import inf
from sys import maxsize
from typing import cast

from chatlab.settings import WebSocketConfig
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.fast.barriers import Barriers
from chatlab.sim.fast.heartbeats.account import HeartbeatAccount
from chatlab.sim.fast.heartbeats.driver import ForwardingDriver, HeartbeatFactory
from chatlab.sim.fast.heartbeats.link import ForwardingLink
from chatlab.sim.fast.sampling import SampledPath, SampledPaths, SeekableStream, SeekableStreams
from chatlab.sim.fast.silent.client import SilentClient
from chatlab.sim.fast.silent.context import Context
from chatlab.sim.fast.silent.pool import Pool, can_be_silent
from chatlab.sim.fast.silent.server import PoolServer
from chatlab.sim.faults import Calendar
from chatlab.sim.garbage import rare_garbage
from chatlab.sim.model import Model, personal
from chatlab.sim.people import arrival_times
from chatlab.transports.backoff import Uniform
from chatlab.transports.machine import Machine
from chatlab.transports.websocket import WebSocketMachine


class FastModel(Model):
    """A `Model` with silent clients, and with heartbeats that may be pending."""

    _link = ForwardingLink
    _streams: SeekableStreams
    _paths: SampledPaths
    server: PoolServer

    # The parts

    def _make_streams(self, seed: int) -> SeekableStreams:
        return SeekableStreams(seed)

    def _make_paths(self) -> SampledPaths:
        return SampledPaths(self._network_config, self._streams)

    def _make_server(self, config: ServerConfig) -> PoolServer:
        return PoolServer(self.environment, config, self._streams)

    def _add_people(self) -> None:
        config = self._config
        self._barriers = barriers = Barriers(self.environment, self._wake_everybody)
        self._account: HeartbeatAccount | None = None
        self._pool: Pool | None = None
        if isinstance(config, WebSocketConfig) and not config.heartbeat.by_server:
            self._account = HeartbeatAccount(self.server, config, self._dialect, barriers)
            self._pool = self._make_pool(config, self._account)
        self._scripted = set(self._people.scripted)
        super()._add_people()

    def _make_pool(self, config: WebSocketConfig, account: HeartbeatAccount) -> Pool | None:
        limited = min(self.network.largest) < maxsize
        network, server = self._network_config, self.server.config
        if limited or not can_be_silent(self._people, network, server, self._faults):
            return None
        parts = self.network, self.server, self._paths, self._streams, self._recorder, account, self._barriers
        return Pool(Context(self._make_driver, config, self._dialect, *parts, self._names, self._rooms))

    def _make_person(self, person: int) -> ForwardingDriver | SilentClient:
        if self._pool is None or person < self._sample or self._names[person] in self._scripted:
            return self._make_driver(person)
        return self._pool.add(person)

    def _make_driver(
        self, person: int, path: SampledPath | None = None, jitter: SeekableStream | None = None
    ) -> ForwardingDriver:
        def make_machine(heartbeat: HeartbeatFactory) -> Machine:
            config = self._config
            if not isinstance(config, WebSocketConfig):
                return self._make_machine(person)
            own = personal(config, self._room(person), self._names[person])
            uniform: Uniform = jitter or self._streams.uniform(person, "backoff")
            return WebSocketMachine(own, self._dialect, uniform, heartbeat=heartbeat)

        return ForwardingDriver(
            person,
            self._names[person],
            make_machine,
            self.network,
            path or self._paths.make(person),
            self._recorder,
            self._steps_of(person),
            self._make_session,
            self._account,
        )

    def _fault_calendar(self) -> Calendar:
        return self._barriers

    def _bring_people(self) -> None:
        super()._bring_people()
        if self._pool is not None:
            self._pool.bring(arrival_times(self._people, self._streams))

    # A run

    @property
    def _fast(self) -> list[ForwardingDriver | SilentClient]:
        return cast("list[ForwardingDriver | SilentClient]", self.everybody)

    @rare_garbage()
    def run(self, duration: float) -> None:
        self._barriers.set_end(self.environment.now + duration)
        try:
            super().run(duration)
        finally:
            self._barriers.set_end(-inf)
        pending = [person.pending_bytes() for person in self._fast]
        self.bytes_up = self.network.bytes_up + sum(up for up, _ in pending)
        self.bytes_down = self.network.bytes_down + sum(down for _, down in pending)

    def close(self) -> None:
        del self._barriers, self._pool, self._account  # They refer to the model.
        super().close()

    def _wake_everybody(self) -> None:
        for person in self._fast:
            person.wake()
