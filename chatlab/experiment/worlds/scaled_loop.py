"""An asyncio loop on real sockets whose clock advances only while the loop waits, at a chosen rate.

It schedules like a simulation. The next timer fires once no callback is ready and no byte is in flight.
Timers of equal times fire in the order in which they were set. All effects of one timer come before the next
timer.
"""

from __future__ import annotations

import asyncio
import selectors
import socket
import time
from collections.abc import Callable, Mapping
from contextvars import Context
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import Any, TypeVarTuple, Unpack

from chatlab.sim.virtual_loop import VirtualTimer

Ts = TypeVarTuple("Ts")
_Ready = list[tuple[selectors.SelectorKey, int]]

SPIN_ROUNDS = 1000
"""Iterations without input after which the loop counts as spinning: a busy loop until the clock advances."""
MAX_WAIT = 3600.0
"""Maximum seconds of the wall clock in one wait; the system's limit is a few weeks."""


class ScaledLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock advances by `scale` seconds in each second of waiting, from 0 at `begin`.

    The clock stands still while the loop works or the machine is busy, so neither looks like a slow network.
    """

    keeps_real_time = False

    def __init__(self, scale: float) -> None:
        self._clock = _Clock(scale)
        self._probe = LoopbackProbe()
        super().__init__(_ClockSelector(self._clock, self._probe))

    def begin(self) -> None:
        """Start the clock, unless it is running."""
        self._clock.running = True

    def time(self) -> float:
        return self._clock.now

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call back at `when`, or at once if that has passed; `inf`: never."""
        timer = VirtualTimer(when, callback, args, self, context)
        self._clock.set(timer)
        return timer

    @property
    def lateness(self) -> float:
        """Seconds of the clock that passed while bytes were in flight or callbacks were ready."""
        return self._clock.late + self._probe.late_by(self._clock.now)


class _Clock:
    """The loop's clock and its timers. `late` counts its seconds that passed while bytes were in flight."""

    def __init__(self, scale: float) -> None:
        self.scale = scale
        self.running = False
        self.now = 0.0
        self.late = 0.0
        self._timers: list[tuple[float, int, VirtualTimer]] = []
        self._order = count()

    def set(self, timer: VirtualTimer) -> None:
        """Add a timer."""
        heappush(self._timers, (timer.when(), next(self._order), timer))

    @property
    def until_next(self) -> float:
        """Seconds until the next timer is due; inf if there is none, or the clock never gets there."""
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heappop(timers)
        seconds = max(0.0, timers[0][0] - self.now) if timers else inf
        return seconds if self.running or not seconds else inf

    def advance(self) -> None:
        """Advance to the next timer, and fire it."""
        when, _, timer = heappop(self._timers)
        self.now = max(self.now, when)
        timer.fire()


class LoopbackProbe:
    """A byte sent over loopback, which measures how late other bytes may be."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._sender = socket.create_connection(listener.getsockname())
            self.receiver, _ = listener.accept()
        self._sender.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sent_at: float | None = None

    def send(self, now: float) -> None:
        """Send the byte, unless it is in flight."""
        if self._sent_at is None:
            self._sent_at = now
            self._sender.send(b".")

    def receive(self, now: float) -> float:
        """Receive the byte; return the seconds that it was in flight."""
        self.receiver.recv(1)
        late, self._sent_at = self.late_by(now), None
        return late

    def late_by(self, now: float) -> float:
        """Return the seconds that the byte has been in flight; 0 if it isn't."""
        return 0.0 if self._sent_at is None else now - self._sent_at

    def close(self) -> None:
        self._sender.close()
        self.receiver.close()


class _ClockSelector(selectors.BaseSelector):
    """A selector that sets the clock to the next timer's time after a wait, however long the wait took.

    All incoming bytes were sent by this loop, and loopback has no delay. So if bytes arrive before the
    timer is due, the clock doesn't advance.
    """

    def __init__(self, clock: _Clock, probe: LoopbackProbe) -> None:
        self._clock = clock
        self._probe = probe
        self._selector = selectors.DefaultSelector()
        self._selector.register(probe.receiver, selectors.EVENT_READ)
        self._rounds = 0
        self._returned_at = 0.0

    def register(self, fileobj: Any, events: int, data: object = None) -> selectors.SelectorKey:
        return self._selector.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._selector.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: object = None) -> selectors.SelectorKey:
        return self._selector.modify(fileobj, events, data)

    def select(self, timeout: float | None = None) -> _Ready:
        """Return what can be read or written, or fire the next timer.

        The timers are in `_Clock`, unknown to the base class. So `timeout` is 0 if callbacks are ready,
        else None.
        """
        clock = self._clock
        if timeout is None:
            seconds = clock.until_next
            if 0 < seconds < inf:
                self._probe.send(clock.now)
            ready = self._wait(seconds / clock.scale)
            if not ready:
                clock.advance()
            self._rounds = 0
        else:
            ready = self._wait(0.0)
            self._rounds = 0 if ready else self._rounds + 1
            if self._rounds > SPIN_ROUNDS and clock.running:
                self._spin()
        self._returned_at = time.monotonic()
        return ready

    def _wait(self, seconds: float) -> _Ready:
        """Wait for at most `seconds`, and receive the probe meanwhile."""
        until = time.monotonic() + seconds
        while True:
            ready = self._selector.select(min(seconds, MAX_WAIT))
            others = [event for event in ready if event[0].fileobj is not self._probe.receiver]
            if len(others) < len(ready):
                self._clock.late += self._probe.receive(self._clock.now)
            elif not ready and seconds <= MAX_WAIT:
                return ready
            if others:
                return others
            seconds = max(0.0, until - time.monotonic())

    def _spin(self) -> None:
        """Advance the clock by the time of one iteration, for code that spins until the clock advances."""
        clock = self._clock
        spun = min(clock.until_next, (time.monotonic() - self._returned_at) * clock.scale)
        clock.now += spun
        clock.late += spun
        if not clock.until_next:
            clock.advance()

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._selector.get_map()

    def close(self) -> None:
        self._selector.close()
        self._probe.close()
