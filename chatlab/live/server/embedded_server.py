"""The embedded server: chat rooms on a loopback port, for a notebook, a test or the command line."""

from __future__ import annotations

import asyncio
import atexit
import secrets
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from functools import partial
from ipaddress import ip_address
from os import PathLike
from types import TracebackType
from typing import NamedTuple, Self

from chatlab.errors import SettingsError
from chatlab.hub import HubConfig, SharedLog
from chatlab.live.background_loop import background_thread
from chatlab.live.listening import stop_listening
from chatlab.live.loggers import get_logger
from chatlab.live.server.access import KEYWORDS, Access
from chatlab.live.server.connections import Connections, Limits
from chatlab.live.server.guard import Guard, Wrapper
from chatlab.live.server.history import open_history
from chatlab.live.server.http_service import Service
from chatlab.live.server.hub_driver import HubDriver
from chatlab.live.server.listener import listen
from chatlab.live.server.node_driver import NodeDriver
from chatlab.live.server.node_store import check_node_name
from chatlab.live.server.store import Store

logger = get_logger(__name__)


def utc_now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def random_epoch() -> str:
    """Return a random name for a new epoch."""
    return secrets.token_hex(4)


class _Runtime(NamedTuple):
    """The objects that exist between a server's start and its stop."""

    loop: asyncio.AbstractEventLoop
    listener: asyncio.Server
    connections: Connections
    driver: HubDriver
    store: Store | SharedLog | None
    exchange: asyncio.Task[None] | None
    guard: Guard


class EmbeddedServer:
    """A chat server in this process, with its history in the file `db`, or in memory until it stops.

    With a `node`, a name, the server is one of several nodes that share the file `db`: processes of one
    machine, or objects of one process. They have the same order of messages, ids, CSRF tokens and people.
    With a URL such as "postgresql://chat@db.example/chat" as `db`, nodes may be on several machines; without
    a name, that server's is "main".

    `port` 0 takes a free port at the first start, and keeps it when the server is stopped and started again.
    It listens on loopback unless `host` says otherwise, and answers to loopback names, to `host` and to
    `allowed_hosts`. Pages of other origins are refused, except those of `allowed_origins`, such as
    "https://chat.example". A proxy's `X-Forwarded-For`, `-Proto` and `-Host` count if its address is one of
    `trusted_proxies` (addresses or networks). `around` may wrap the ASGI application, behind its guard, in
    another.

    Errors: `SettingsError` for an invalid host, origin or address; `OSError` from `start` when the port is in
    use, or `host` isn't this machine's; `StoreError` when the history can't be opened.
    """

    _spelling = KEYWORDS

    def __init__(
        self,
        db: str | PathLike[str] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        config: HubConfig | None = None,
        *,
        node: str | None = None,
        limits: Limits | None = None,
        allowed_hosts: Collection[str] = (),
        allowed_origins: Collection[str] = (),
        trusted_proxies: Collection[str] = (),
        utc: Callable[[], datetime] = utc_now,
        new_epoch: Callable[[], str] = random_epoch,
        around: Wrapper | None = None,
    ) -> None:
        if node is not None and db is None:
            raise SettingsError("node: nodes share one history; give its file or URL, too, as db")
        self.db = db
        self.node = None if node is None else check_node_name(node)
        self.host = host.removeprefix("[").removesuffix("]")  # IPv6 may be written as in a URL.
        self.port = port
        self.config = config or HubConfig()
        self.limits = limits or Limits()
        self.allowed_hosts = allowed_hosts
        self.allowed_origins = allowed_origins
        self.trusted_proxies = trusted_proxies
        self._access = Access(
            _bracketed(self.host), allowed_hosts, allowed_origins, trusted_proxies, self._spelling
        )
        self._utc = utc
        self._new_epoch = new_epoch
        self._wrappers = [around] if around else []
        self._runtime: _Runtime | None = None
        self._ending: _Runtime | None = None
        self._changing = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<EmbeddedServer {self.url}, {'running' if self.running else 'stopped'}>"

    @property
    def running(self) -> bool:
        """Whether the server listens."""
        return self._runtime is not None

    @property
    def url(self) -> str:
        """The server's address for HTTP. The port is 0 until it is known."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://{_bracketed(host)}:{self.port}"

    @property
    def ws_url(self) -> str:
        """The server's address for WebSockets."""
        return f"ws{self.url.removeprefix('http')}/ws"

    @property
    def epoch(self) -> str:
        """The epoch of the log, which is part of message ids; empty while the server is stopped."""
        return self._runtime.driver.hub.epoch if self._runtime else ""

    async def start(self) -> None:
        """Listen. A second call does nothing.

        Errors: `OSError` when the port is in use, or `host` isn't this machine's; `StoreError` when the
        history can't be opened; `SettingsError` for an invalid URL of a database, and if psycopg is missing;
        `RuntimeError` when it already runs on another loop.
        """
        async with self._changing:
            if self._runtime is None:
                self._runtime = await self._begin()
            else:
                self._check_loop(self._runtime)

    async def stop(self, *, abrupt: bool = False, drain: float = 0.0) -> None:
        """Free the port, and close all connections with 1012, within a second. A second call does nothing,
        except that it ends a drain.

        With `drain` they are closed evenly over that many seconds: of N connections, in order of acceptance,
        the i-th (from 0) after i/N of them. Until its turn a connection is served, but new WebSockets and
        streams on it are refused with 503 and `Retry-After`.

        With `abrupt` the connections break without a close frame, as in a crash, even those that an earlier
        `stop` still waits for.

        Errors: `RuntimeError` when it runs on another loop.
        """
        if self._ending is not None:
            self._check_loop(self._ending)
            self._ending.connections.end_drain()
            if abrupt:
                self._ending.connections.hurry()
        async with self._changing:
            runtime = self._runtime
            if runtime is None:
                return
            self._check_loop(runtime)
            self._runtime, self._ending = None, runtime
            await stop_listening(runtime.listener)
            try:
                if drain and not abrupt:
                    await runtime.connections.drain(drain)
                await runtime.connections.close(abrupt=abrupt)
                await runtime.listener.wait_closed()
            finally:
                self._ending = None
                if runtime.exchange:
                    runtime.exchange.cancel()
                if runtime.store:
                    runtime.store.close()

    def end(self, client: tuple[str, int], *, abrupt: bool = False) -> None:
        """End the connection that comes from this address, if there is one, as `stop` ends all."""
        if self._runtime is not None:
            self._runtime.connections.end(client, abrupt=abrupt)

    def wrap(self, *, add: Wrapper | None = None, remove: Wrapper | None = None) -> None:
        """Wrap the ASGI application, behind its guard, in one more application, or in one less.

        New requests and connections pass through it, also if the server is running.
        """
        self._wrappers = [one for one in (*self._wrappers, add) if one and one != remove]
        if self._runtime is not None:
            self._runtime.guard.wrap(self._wrappers)

    def start_in_background(self) -> None:
        """Start it on the background thread, from any other thread; it stops when the interpreter exits, if
        not before."""
        background_thread().call(self.start)
        atexit.unregister(self.stop_in_background)
        atexit.register(self.stop_in_background)

    def stop_in_background(self, *, abrupt: bool = False) -> None:
        """Stop a server that was started on the background thread."""
        atexit.unregister(self.stop_in_background)
        background_thread().call(partial(self.stop, abrupt=abrupt))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _begin(self) -> _Runtime:
        loop = asyncio.get_running_loop()
        epoch = self._new_epoch()
        store = open_history(self.db, self.node, epoch, self.config)
        try:
            driver: HubDriver
            secret = None
            if isinstance(store, SharedLog):
                driver = NodeDriver(self.config, store, clock=loop.time, utc=self._utc, soon=loop.call_soon)
                secret = store.csrf_secret
            else:
                driver = HubDriver(
                    self.config, store, epoch=epoch, clock=loop.time, utc=self._utc, soon=loop.call_soon
                )
            connections = Connections(self.limits)
            guard = Guard(Service(driver, self.limits, secret).app(), connections, self._access)
            guard.wrap(self._wrappers)
            listener = await listen(self.host, self.port, guard, connections, self.limits)
        except BaseException:
            if store:
                store.close()
            raise
        self.port = listener.sockets[0].getsockname()[1]
        if not _is_loopback(self.host):
            logger.warning("listening on %s: everyone who can reach this machine can join", self.host)
        exchange = loop.create_task(driver.exchange()) if isinstance(driver, NodeDriver) else None
        return _Runtime(loop, listener, connections, driver, store, exchange, guard)

    def _check_loop(self, runtime: _Runtime) -> None:
        if runtime.loop is not asyncio.get_running_loop():
            raise RuntimeError("the server runs on another event loop; start and stop it on the same one")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
