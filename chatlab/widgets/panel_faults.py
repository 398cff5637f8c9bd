"""The faults of a panel: its fault proxies, and the controls that inject faults into them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from chatlab.errors import SettingsError
from chatlab.experiment.fault_proxy import OUTAGES, FaultProxy
from chatlab.experiment.injected_fault import InjectedFault
from chatlab.live.background_loop import background_thread
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.messages import ConnectionStatus
from chatlab.settings import AnyConfig, FallbackConfig, TransportConfig
from chatlab.sim.faults import Fault, ServerDown
from chatlab.sim.faults.phrases import UNTIL_ENDED, kind_name, phrase_of, read_faults
from chatlab.widgets.credentials import Origin, origin_of
from chatlab.widgets.fault_controls import FaultControls

PATIENCE = 2.0
"""Seconds to wait for the connection through a new proxy before a fault is injected."""
NO_TLS = "faults need a proxy in the connection, which TLS prevents; use a ws:// or http:// URL"


class PanelFaults:
    """Fault proxies of a panel: one to its embedded `server`, and one to any other server.

    The latter is made at the first fault; `reconnect` then connects through it. `settings` returns those of
    the present or next connection, and `status` that of the connection. `mark` is called with a text when a
    fault begins or ends, and `server_changed` when the embedded server has stopped or started: on the
    background thread.
    """

    def __init__(
        self,
        server: EmbeddedServer | None,
        *,
        seed: int,
        settings: Callable[[], AnyConfig],
        status: Callable[[], ConnectionStatus],
        reconnect: Callable[[], object],
        mark: Callable[[str], object],
        server_changed: Callable[[], object],
        reporting: Callable[[str], AbstractContextManager[object]],
    ) -> None:
        self.server = server
        self.home: FaultProxy | None = None
        self.away: FaultProxy | None = None
        self._away_origin: Origin | None = None
        self._seed = seed
        self._settings = settings
        self._status = status
        self._reconnect = reconnect
        self._mark = mark
        self._server_changed = server_changed
        self._reporting = reporting
        self._settling: set[asyncio.Task[None]] = set()
        if server is not None:
            server.start_in_background()
            self.home = FaultProxy(server, seed=seed, on_change=self._changed)
            background_thread().call(self.home.accept)
        self.controls = FaultControls(self.play, self.end, own_server=server is not None, reporting=reporting)

    # Proxies

    def through(self, config: AnyConfig) -> AnyConfig:
        """Return the settings for a connection through the proxy to its server, if there is one."""
        if isinstance(config, FallbackConfig):
            return config.replace(transports=tuple(map(self._rebased, config.transports)))
        return self._rebased(config)

    def _rebased(self, config: TransportConfig) -> TransportConfig:
        proxy = self._leading_to(origin_of(config.url))
        return config if proxy is None else config.replace(url=proxy.rebase(config.url))

    def _leading_to(self, origin: Origin) -> FaultProxy | None:
        if self.server is not None and origin == origin_of(self.server.url):
            return self.home
        return self.away if origin == self._away_origin else None

    def proxy_of(self, config: AnyConfig) -> FaultProxy | None:
        """Return the proxy that a connection with these settings leads through."""
        url = (config.first if isinstance(config, FallbackConfig) else config).url
        origin = origin_of(url)
        for proxy in (self.home, self.away):
            if proxy is not None and origin == (False, proxy.host, proxy.port):
                return proxy
        return self._leading_to(origin)

    def _proxy(self) -> FaultProxy:
        """Return the proxy of the present or next connection, and make it if there is none."""
        config = self._settings()
        proxy = self.proxy_of(config)
        if proxy is not None:
            return proxy
        url = (config.first if isinstance(config, FallbackConfig) else config).url
        if (origin := origin_of(url))[0]:
            raise SettingsError(NO_TLS)
        proxy = FaultProxy(str.__str__(url), seed=self._seed, on_change=self._changed)
        background_thread().call(proxy.accept)
        old, self.away, self._away_origin = self.away, proxy, origin
        self._reconnect()
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self._status() is not ConnectionStatus.CONNECTED:
            time.sleep(0.02)
        if old is not None:
            background_thread().call(old.close)
        return proxy

    # Faults

    def play(self, faults: str | Sequence[Fault]) -> None:
        """Inject faults, each `at` seconds from now. Errors: `SettingsError`; then none is injected."""
        script = read_faults(faults) if isinstance(faults, str) else faults
        proxy = self._proxy()
        background_thread().call(_play, proxy, script)

    def end(self) -> None:
        """End all faults, and cancel those to come."""
        for proxy in (self.home, self.away):
            if proxy is not None:
                background_thread().call(_end, proxy)

    @property
    def server_is_down(self) -> bool:
        """Whether the embedded server is stopped, or a fault stops it again and again."""
        assert self.server is not None
        under_way = [] if self.home is None else self.home.under_way
        return not self.server.running or any(isinstance(one.fault, OUTAGES) for one in under_way)

    def stop_server(self) -> None:
        """Stop the embedded server until it is started."""
        assert self.home is not None
        background_thread().call(_play, self.home, [ServerDown(at=0.0, duration=UNTIL_ENDED)])

    def start_server(self) -> None:
        """Start the embedded server again."""
        assert self.home is not None
        background_thread().call(self.home.start_server)

    def _changed(self, injected: InjectedFault) -> None:
        if injected.under_way:
            self._mark(phrase_of(injected.fault))
        elif injected.has_begun and injected.lasted:
            self._mark(f"{kind_name(type(injected.fault))} is over")
        self.show()
        if self.home is not None and isinstance(injected.fault, OUTAGES):
            task = asyncio.get_running_loop().create_task(self._settle(self.home))
            self._settling.add(task)
            task.add_done_callback(self._settling.discard)

    async def _settle(self, proxy: FaultProxy) -> None:
        """Wait until the server has stopped or started, and tell so."""
        with self._reporting("The server could not be started or stopped"):
            await proxy.settle()
        self._server_changed()

    def show(self) -> None:
        """Show which faults are under way."""
        proxies = [proxy for proxy in (self.home, self.away) if proxy is not None]
        texts = [phrase_of(one.fault) for proxy in proxies for one in proxy.under_way]
        left = any(one.ended_at is None for proxy in proxies for one in proxy.faults)
        words = f"Under way: {'; '.join(texts)}." if texts else "No fault is under way."
        self.controls.show(words, any_left=left)

    def close(self) -> None:
        """End all faults, and close the proxies."""
        for proxy in (self.home, self.away):
            if proxy is not None:
                background_thread().call(proxy.close)


async def _play(proxy: FaultProxy, faults: Sequence[Fault]) -> None:
    proxy.play(faults)
    await proxy.settle()


async def _end(proxy: FaultProxy) -> None:
    proxy.end_faults()
    await proxy.settle()
