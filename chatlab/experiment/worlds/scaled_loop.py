"""An asyncio loop on real sockets whose clock advances only while it waits, at a chosen pace.

It keeps time as a simulation does: the next timer fires once no callback is ready and no byte is under way.
Timers of equal times fire in the order in which they were set. All effects of one come before the next.
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

ROUNDS = 1000
"""Rounds without a byte to read after which a loop is taken to wait for its own clock."""
LONGEST = 3600.0
"""Seconds of the wall clock to wait at a time; the system's limit is a few weeks."""


class ScaledLoop(asyncio.SelectorEventLoop):
    """A loop whose clock advances by `scale` seconds in each second of waiting, from 0 at `begin`.

    The clock stops while the loop works and while the machine is busy: neither must look like a slow network.
    """

    keeps_real_time = False

    def __init__(self, scale: float) -> None:
        self._clock = _Clock(scale)
        self._probe = Probe()
        super().__init__(_PatientSelector(self._clock, self._probe))

    def begin(self) -> None:
        """Start the clock, if it stands."""
        self._clock.going = True

    def time(self) -> float:
        return self._clock.now

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call back at that time, or now if it has passed; `inf`: never."""
        timer = VirtualTimer(when, callback, args, self, context)
        self._clock.set(timer)
        return timer

    @property
    def lateness(self) -> float:
        """Seconds of its clock that passed while bytes were under way, or callbacks ready."""
        return self._clock.late + self._probe.late_by(self._clock.now)


class _Clock:
    """The seconds waited for, `late` of them while bytes were under way or callbacks ready."""

    def __init__(self, scale: float) -> None:
        self.scale = scale
        self.going = False
        self.now = 0.0
        self.late = 0.0
        self._timers: list[tuple[float, int, VirtualTimer]] = []
        self._order = count()

    def set(self, timer: VirtualTimer) -> None:
        """Set a timer to fire when it is due."""
        heappush(self._timers, (timer.when(), next(self._order), timer))

    @property
    def left(self) -> float:
        """Seconds until the next timer is due; inf: it never is."""
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heappop(timers)
        left = max(0.0, timers[0][0] - self.now) if timers else inf
        return left if self.going or not left else inf

    def advance(self) -> None:
        """Go on to when the next timer is due, and fire it."""
        when, _, timer = heappop(self._timers)
        self.now = max(self.now, when)
        timer.fire()


class Probe:
    """A byte that crosses loopback; other bytes may be as late as it is."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._sender = socket.create_connection(listener.getsockname())
            self.receiver, _ = listener.accept()
        self._sender.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sent_at: float | None = None

    def send(self, now: float) -> None:
        """Send the byte, unless it is under way."""
        if self._sent_at is None:
            self._sent_at = now
            self._sender.send(b".")

    def receive(self, now: float) -> float:
        """Receive the byte; return the seconds that it was under way."""
        self.receiver.recv(1)
        late, self._sent_at = self.late_by(now), None
        return late

    def late_by(self, now: float) -> float:
        """Return the seconds that the byte has been under way."""
        return 0.0 if self._sent_at is None else now - self._sent_at

    def close(self) -> None:
        self._sender.close()
        self.receiver.close()


class _PatientSelector(selectors.BaseSelector):
    """Has a clock go by what its loop waits for, however long that takes.

    All that comes in was sent by this very loop, and is there at once: if it comes first, no time has passed.
    """

    def __init__(self, clock: _Clock, probe: Probe) -> None:
        self._clock = clock
        self._probe = probe
        self._selector = selectors.DefaultSelector()
        self._selector.register(probe.receiver, selectors.EVENT_READ)
        self._rounds = 0
        self._left_at = 0.0

    def register(self, fileobj: Any, events: int, data: object = None) -> selectors.SelectorKey:
        return self._selector.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._selector.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: object = None) -> selectors.SelectorKey:
        return self._selector.modify(fileobj, events, data)

    def select(self, timeout: float | None = None) -> _Ready:
        """Return what can be read or written, or let the next timer fire. Its loop has no timers of its own,

        so the timeout is None, or 0 if it has something to do.
        """
        clock = self._clock
        if timeout is None:
            left = clock.left
            if 0 < left < inf:
                self._probe.send(clock.now)
            ready = self._wait(left / clock.scale)
            if not ready:
                clock.advance()
            self._rounds = 0
        else:
            ready = self._wait(0.0)
            self._rounds = 0 if ready else self._rounds + 1
            if self._rounds > ROUNDS and clock.going:
                self._spin()
        self._left_at = time.monotonic()
        return ready

    def _wait(self, seconds: float) -> _Ready:
        """Wait for `seconds` at most, and serve the probe meanwhile."""
        until = time.monotonic() + seconds
        while True:
            ready = self._selector.select(min(seconds, LONGEST))
            others = [event for event in ready if event[0].fileobj is not self._probe.receiver]
            if len(others) < len(ready):
                self._clock.late += self._probe.receive(self._clock.now)
            elif not ready and seconds <= LONGEST:
                return ready
            if others:
                return others
            seconds = max(0.0, until - time.monotonic())

    def _spin(self) -> None:
        """Count a round of a loop that would go round for ever if its clock stood."""
        clock = self._clock
        spun = min(clock.left, (time.monotonic() - self._left_at) * clock.scale)
        clock.now += spun
        clock.late += spun
        if not clock.left:
            clock.advance()

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._selector.get_map()

    def close(self) -> None:
        self._selector.close()
        self._probe.close()
