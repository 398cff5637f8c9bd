"""An asyncio event loop whose clock is a SimPy environment: real asyncio code on simulated time.

When nothing is ready, asyncio asks a selector to wait for sockets. This one doesn't wait: it steps the
simulation until something is ready. The loop's timers are entries of the simulation, too. So thirty
seconds pass as fast as the simulation runs, and processes of SimPy and tasks of asyncio share one clock.

    run what is ready ─▶ selector.select() ─▶ environment.step(), until a step makes something ready ─┐
            ▲─────────────────────────────────────────────────────────────────────────────────────────┘

At equal times the order is that in which things were scheduled (asyncio's own timers don't promise that), so
a run gives the same trace each time.

It uses public interfaces only: a `selectors.BaseSelector` given to `SelectorEventLoop`, whose methods
`time`, `call_soon`, `call_soon_threadsafe`, `call_at`, `run_in_executor`, `getaddrinfo`, `create_connection`
and `create_server` are overridden, and a subclass of `TimerHandle`. Connections are made by an `Internet`.
"""

from __future__ import annotations

import asyncio
import selectors
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context, copy_context
from functools import partial
from math import inf
from typing import Any, Protocol, TypeVar, TypeVarTuple, Unpack

from simpy.core import EmptySchedule

from chatlab.sim.alarm import Alarm
from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.simulated_socket import Address

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
ProtocolFactory = Callable[[], asyncio.BaseProtocol]


class Deadlock(RuntimeError):
    """Every task waits, and nothing is scheduled."""


class Internet(Protocol):
    """The network that a loop's connections use."""

    async def connect(
        self, loop: asyncio.AbstractEventLoop, factory: ProtocolFactory, address: Address
    ) -> asyncio.Transport:
        """Connect to an address; return the transport once its protocol is attached.

        Errors: OSError.
        """

    def listen(
        self, loop: asyncio.AbstractEventLoop, factory: ProtocolFactory, address: Address
    ) -> asyncio.AbstractServer:
        """Accept connections at an address; port 0: any that is free.

        Errors: OSError.
        """


class VirtualSelector(selectors.BaseSelector):
    """A selector that lets simulated time pass instead of waiting. No file is ever ready."""

    def __init__(self, environment: LadderEnvironment) -> None:
        self._environment = environment
        self._alarm = Alarm(environment, self.wake)
        self._woken = False
        self._keys: dict[int, selectors.SelectorKey] = {}

    def wake(self) -> None:
        """End `select` after the present step, or at once the next time."""
        self._woken = True

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Advance the time until woken, or by `timeout` seconds (None: without end).

        Errors: `Deadlock`.
        """
        if timeout is None or timeout > 0:
            self._alarm.set(inf if timeout is None else self._environment.now + timeout)
            step = self._environment.step
            try:
                while not self._woken:
                    step()
            except EmptySchedule:
                raise Deadlock(
                    f"at {self._environment.now:g} s every task waits, and nothing is scheduled"
                ) from None
        # Only now: each wake until here, maybe from another thread, has added a callback to the loop.
        self._woken = False
        return []

    # A loop registers the pipe by which signals and threads wake it from real waiting.

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Store a file's key; the file will never be ready."""
        number = _number(fileobj)
        if number in self._keys:
            raise KeyError(f"{fileobj!r} is already registered")
        key = self._keys[number] = selectors.SelectorKey(fileobj, number, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Remove a file. Errors: KeyError."""
        return self._keys.pop(_number(fileobj))

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """Return the keys by their files' numbers."""
        return self._keys

    def close(self) -> None:
        """Remove all files."""
        self._keys.clear()
        self._alarm.set(inf)


class VirtualTimer(asyncio.TimerHandle):
    """A callback that the environment fires at `when()`."""

    __slots__ = ("_call",)

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: Sequence[Any],
        loop: asyncio.AbstractEventLoop,
        context: Context | None,
    ) -> None:
        super().__init__(when, callback, args, loop, context)
        self._call = partial(
            loop.call_soon, callback, *args, context=copy_context() if context is None else context
        )

    def fire(self) -> None:
        """Call back in the loop's next round, at the same time."""
        if not self.cancelled():
            self._call()


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on the environment's time, whose connections are those of an `internet`.

    It has no threads: an executor's work is done at once, in no simulated time. A call from another thread is
    done at the current simulated time. `run_until_complete` raises `Deadlock` if it would wait for ever.
    """

    def __init__(self, environment: LadderEnvironment, internet: Internet | None = None) -> None:
        self.environment = environment
        self._internet = internet
        self._virtual_selector = VirtualSelector(environment)
        self._thread = threading.get_ident()
        super().__init__(self._virtual_selector)

    def time(self) -> float:
        """Return simulated seconds."""
        return self.environment.now

    # Each call that adds a callback wakes the selector.

    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Call back in the loop's next round, at the same time."""
        self._virtual_selector.wake()
        return super().call_soon(callback, *args, context=context)

    def call_soon_threadsafe(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Call back in the loop's next round; from any thread."""
        if threading.get_ident() == self._thread:
            return self.call_soon(callback, *args, context=context)
        handle = super().call_soon_threadsafe(callback, *args, context=context)
        self._virtual_selector.wake()
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call back at `when`, or now if it has passed; `inf`: never."""
        timer = VirtualTimer(when, callback, args, self, context)
        self.environment.call_at(max(when, self.environment.now), timer.fire)
        return timer

    def run_forever(self) -> None:
        self._thread = threading.get_ident()
        super().run_forever()

    keeps_real_time = False
    resolves_names = True
    """Its names must not be looked up on threads."""

    def run_in_executor(  # type: ignore[override]  # a future of asyncio's is what callers get elsewhere, too
        self, executor: object, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Do the work now, and return a future that is done."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    # Connections

    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002  # asyncio's word
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        """Return the one address without a look-up: in a simulation a name is an address."""
        name = host.decode() if isinstance(host, bytes) else host or "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (name, int(port or 0)))]

    async def create_connection(  # type: ignore[override]
        self, protocol_factory: ProtocolFactory, host: str = "", port: int = 0, **options: Any
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """Connect over the internet.

        `options` that choose among addresses or sockets have no effect.
        Errors: OSError; NotImplementedError for TLS.
        """
        _refuse_tls(options)
        transport = await self._reached().connect(self, protocol_factory, (host, int(port)))
        return transport, transport.get_protocol()

    async def create_server(  # type: ignore[override]
        self, protocol_factory: ProtocolFactory, host: str | None = None, port: int = 0, **options: Any
    ) -> asyncio.AbstractServer:
        """Accept connections from the internet; `options` as for `create_connection`."""
        _refuse_tls(options)
        return self._reached().listen(self, protocol_factory, (host or "127.0.0.1", int(port)))

    def _reached(self) -> Internet:
        if self._internet is None:
            raise OSError("this loop has no network")
        return self._internet


def _refuse_tls(options: Mapping[str, Any]) -> None:
    if options.get("ssl"):
        raise NotImplementedError("a simulated connection has no TLS; its round trip is a network's setting")


def _number(file: Any) -> int:
    return file if isinstance(file, int) else int(file.fileno())
