"""An asyncio loop on real sockets: its clock may go faster than the wall's, and forgets what holds it up."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Mapping
from typing import Any

HELD_UP = 0.0005
"""Seconds of the wall clock that a loop may be late for its next round."""


class ScaledLoop(asyncio.SelectorEventLoop):
    """A loop on whose clock `scale` seconds pass in one of the wall clock's. It stands at 0 until `begin`.

    What it is held up by, beyond `HELD_UP` at a time, doesn't count: a burst of work, or a machine that is
    busy with something else, mustn't look like a slow network.
    """

    keeps_real_time = False

    def __init__(self, scale: float) -> None:
        self._clock = _Clock(scale)
        super().__init__(_PatientSelector(self._clock))

    def begin(self) -> None:
        """Let the clock go, if it doesn't yet."""
        if self._clock.began_at is None:
            self._clock.began_at = time.monotonic()

    def time(self) -> float:
        return self._clock.now


class _Clock:
    """The wall's clock from `began_at` on, without the seconds that were `lost`, and at another pace."""

    def __init__(self, scale: float) -> None:
        self.scale = scale
        self.began_at: float | None = None
        self.lost = 0.0

    @property
    def now(self) -> float:
        if self.began_at is None:
            return 0.0
        return (time.monotonic() - self.began_at - self.lost) * self.scale


class _PatientSelector(selectors.BaseSelector):
    """Waits for as long as it takes a clock to go so far, and has it forget when that took much longer."""

    def __init__(self, clock: _Clock) -> None:
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._left_at = time.monotonic()

    def register(self, fileobj: Any, events: int, data: object = None) -> selectors.SelectorKey:
        return self._selector.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._selector.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: object = None) -> selectors.SelectorKey:
        return self._selector.modify(fileobj, events, data)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        clock = self._clock
        began_at = time.monotonic()
        seconds = None if timeout is None else max(0.0, timeout) / clock.scale
        ready = self._selector.select(seconds)
        now = time.monotonic()
        # Whatever comes in has been sent by this very loop, and is there at once: only timers are waited for.
        wanted = 0.0 if ready or seconds is None else seconds
        late = max(0.0, began_at - self._left_at - HELD_UP) + max(0.0, now - began_at - wanted - HELD_UP)
        if clock.began_at is not None:
            clock.lost += late
        self._left_at = now
        return ready

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._selector.get_map()

    def close(self) -> None:
        self._selector.close()
