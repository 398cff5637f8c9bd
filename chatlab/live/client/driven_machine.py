"""A transport's machine with its driver, on the loop that is in use.

All transports share one loop in a background thread, so a notebook cell that blocks doesn't stop their
heartbeats. With `loop="current"` a transport runs on the loop that first uses it. Once that loop is closed,
it runs on the next one that uses it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
import warnings
from collections.abc import Callable, Coroutine, Sequence
from random import SystemRandom
from typing import Any, Literal, TypeVar, assert_never
from weakref import ref

from chatlab.dialects import find_dialect
from chatlab.dialects.checked import checked
from chatlab.live.background_loop import background_loop
from chatlab.live.client.audience import ENDED, Audience
from chatlab.live.client.dialer import Dialer
from chatlab.live.client.live_driver import LiveDriver, Moved
from chatlab.live.client.receipt import Receipt, Receipts
from chatlab.live.client.send_queue import SendQueue
from chatlab.live.redaction import RedactingMachine
from chatlab.messages import ChatMessage, ConnectionStatus, StatusChange
from chatlab.settings import AnyConfig, HttpConfig
from chatlab.trace import Step
from chatlab.transports.backoff import Uniform
from chatlab.transports.factory import make_machine
from chatlab.transports.machine import Deliver, Disconnect, Notify, Settle

Result = TypeVar("Result")

_UNIFORM = SystemRandom().random


class DrivenMachine:
    """A machine and its driver. The driver has no reference to it, so it is closed if nobody else has one."""

    def __init__(
        self,
        config: AnyConfig,
        *,
        loop: Literal["own", "current"] = "own",
        uniform: Uniform | None = None,
        record: Callable[[Step], None] | None = None,
        fires_at: Callable[[float], float] | None = None,
    ) -> None:
        self.config: AnyConfig = config
        dialect = checked(find_dialect(config.dialect))
        self._machine = make_machine(config, dialect, uniform or _UNIFORM)
        self._dialer = Dialer(config, dialect)
        self._redacted = RedactingMachine(self._machine, self._dialer.redaction)
        record = record and self._dialer.redaction.recorder(record)
        self._own_loop = loop == "own"
        self._record = record
        self._fires_at = fires_at
        self._lock = threading.Lock()
        self._running: LiveDriver | None = None
        self._process = os.getpid()
        self._wanted = False
        self._audience = Audience(own_thread=self._own_loop, record=record)
        self._handover = self._audience.handover
        # Over HTTP the answer to a POST is an ack.
        self._receipts = Receipts(acks=dialect.acks or isinstance(config, HttpConfig))
        self._waits = config.outbox.overflow == "wait"
        self._sending = SendQueue()

    @property
    def _driver(self) -> LiveDriver:
        driver = self._running
        if driver is None or driver.loop.is_closed():
            driver = self._make_driver(driver)
        if self._process != os.getpid():
            raise RuntimeError("this transport was in use when the process was forked; make another one here")
        return driver

    def _make_driver(self, last: LiveDriver | None) -> LiveDriver:
        self._process = os.getpid()
        loop = background_loop() if self._own_loop else asyncio.get_running_loop()
        record = self._record
        if record is not None and self._own_loop:
            record = _recorder(self)
        made = LiveDriver(
            self._redacted,
            loop,
            open_link=self._dialer.open,
            fetch=self._dialer.fetch,
            listen=_listener(self),
            record=record,
            pressure=_pressure(self),
            person=self.config.sender,
            fires_at=self._fires_at,
        )
        with self._lock:  # The first thread makes the driver for all threads.
            if self._running is last:
                self._running, self._sending = made, SendQueue()
                self._handover.move(loop)
            return self._running or made

    def __del__(self) -> None:
        if not getattr(self, "_wanted", False) or self.status in ENDED or sys.is_finalizing():
            return
        driver = self._running
        if driver is None or driver.loop.is_closed() or self._process != os.getpid():
            return
        warnings.warn(f"{self!r} was never disconnected", ResourceWarning, stacklevel=2, source=self)
        with contextlib.suppress(RuntimeError):  # The loop has closed.
            driver.loop.call_soon_threadsafe(driver.feed, Disconnect(drain=False))

    # State

    @property
    def status(self) -> ConnectionStatus:
        """The status as last notified."""
        return self._audience.change.status

    @property
    def last_change(self) -> StatusChange:
        """The latest change of status, with its reason."""
        return self._audience.change

    @property
    def kind(self) -> str:
        """The name of the settings in use, such as `WebSocketConfig`; that of a fallback changes."""
        kind: str = getattr(self._machine, "kind", type(self.config).__name__)
        return kind

    @property
    def rtt(self) -> float | None:
        """Round-trip time of the last answered heartbeat, in seconds."""
        return self._machine.rtt

    def now(self) -> float:
        """Return seconds on the clock that `retry_at` and the recorded steps use."""
        return self._driver.now()

    def __repr__(self) -> str:
        room, sender = self.config.room, self.config.sender
        return f"{type(self).__name__}(room={room!r}, sender={sender!r}, {self.status.value})"

    # The loop

    async def _on_loop(self, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Run a coroutine on the driver's loop."""
        loop = self._driver.loop
        if asyncio.get_running_loop() is loop:
            return await work()
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(), loop))

    # From the driver, on its loop

    def _listen(self, effect: Deliver | Notify | Settle | Moved, receipt: Receipt | None) -> None:
        if type(effect) is Settle:
            if receipt is not None:
                self._audience.settle(receipt)
            if self._waits:
                self._sending.try_again()
        elif type(effect) is Deliver:
            self._audience.deliver(effect.event)
        elif type(effect) is Notify:
            self._receipts.gave_up(effect.change.status is ConnectionStatus.ERROR)
            self._audience.notify(effect.change, self._rewind)
        elif type(effect) is Moved:
            self._audience.moved(effect)
        else:
            assert_never(effect)

    def _rewind(self, messages: Sequence[ChatMessage], cursor: str | None) -> None:
        if self._running is not None:
            self._running.rewind(messages, cursor)


def _listener(transport: DrivenMachine) -> Callable[[Deliver | Notify | Settle | Moved], None]:
    """Return a function that passes effects to a transport, without keeping the transport alive.

    It settles receipts and closes connections even if the transport is gone.
    """
    me, receipts, dialer = ref(transport), transport._receipts, transport._dialer

    def listen(effect: Deliver | Notify | Settle | Moved) -> None:
        receipt = receipts.settle(effect) if type(effect) is Settle else None
        if type(effect) is Notify and effect.change.status in ENDED:
            dialer.close()
        if (transport := me()) is not None:
            transport._listen(effect, receipt)
        elif type(effect) is Notify and effect.change.status in ENDED:
            receipts.give_up("its transport was discarded without a disconnect")

    return listen


def _recorder(transport: DrivenMachine) -> Callable[[Step], None]:
    me = ref(transport)

    def record(step: Step) -> None:
        if (transport := me()) is not None:
            transport._audience.note(step)

    return record


def _pressure(transport: DrivenMachine) -> Callable[[], int]:
    me = ref(transport)

    def pressure() -> int:
        return 0 if (transport := me()) is None else transport._handover.pressure

    return pressure
