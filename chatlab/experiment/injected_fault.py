"""A fault that is injected on an asyncio loop, and can be ended before its time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from chatlab.sim.fault_context import FaultContext
from chatlab.sim.faults import Fault, Injection

LATE = 0.1
"""Maximum seconds by which a fault that wasn't ended early may seem to end too early."""
STEPS_TO_END = 1000
"""Maximum number of steps that a fault may take after it is ended."""


class InjectedFault:
    """A fault to come, under way or over.

    Times are those of the loop's clock, also `fault.at`. `ended_at` is None until the fault is over. It was
    `awaited` if it didn't begin at once. `begin` returns its context. `on_change` is called when it begins,
    when it ends, and if it is cancelled.
    """

    def __init__(
        self,
        fault: Fault,
        begin: Callable[[InjectedFault], FaultContext],
        on_change: Callable[[InjectedFault], object],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.fault = fault
        self.ended_at: float | None = None
        self.awaited = False
        self._begin = begin
        self._on_change = on_change
        self._loop = loop
        self._injection: Injection | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def has_begun(self) -> bool:
        """Whether it is under way or over."""
        return self._injection is not None

    @property
    def under_way(self) -> bool:
        """Whether it has begun and isn't over."""
        return self.has_begun and self.ended_at is None

    @property
    def lasted(self) -> bool:
        """Whether it is one that lasts for a time."""
        return self.fault.end_at > self.fault.at

    @property
    def cancelled(self) -> bool:
        """Whether it was ended before it had begun."""
        return self.ended_at is not None and not self.has_begun

    def since(self, origin: float) -> Fault | None:
        """Return the fault with times relative to `origin` and its true duration; None: nothing is left.

        One that began before `origin`, and lasted beyond it, begins at 0.
        """
        at = self.fault.at - origin
        planned: float = getattr(self.fault, "duration", 0.0)
        if not planned:
            return None if at < 0 else self.fault.replace(at=at)
        length = planned if self.ended_at is None else self.ended_at - self.fault.at
        length = (planned if length > planned - LATE else length) + min(at, 0.0)
        return self.fault.replace(at=max(at, 0.0), duration=length) if length > 0 else None

    def schedule(self) -> None:
        """Begin it at its time; at once if that is now."""
        if self.fault.at <= self._loop.time():
            self._start()
        else:
            self.awaited = True
            self._timer = self._loop.call_at(self.fault.at, self._start)

    def end(self) -> None:
        """End it now, or cancel it if it has not begun.

        Errors: `RuntimeError` if it goes on for more than `STEPS_TO_END` steps. It is closed then.
        """
        if self.ended_at is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
        if self._injection is None:
            self._finish()
        for _ in range(STEPS_TO_END):
            if self.ended_at is not None:
                return
            self._advance(True)
        if self.ended_at is None:
            self._close()

    def _start(self) -> None:
        context = self._begin(self)
        self._injection = self.fault.inject(context)
        self._on_change(self)
        self._advance(None)

    def _advance(self, ended: bool | None) -> None:
        assert self._injection is not None
        try:
            wait = self._injection.send(ended)
        except StopIteration:
            self._finish()
            return
        if not ended:
            self._timer = self._loop.call_later(wait, self._advance, None)

    def _close(self) -> None:
        """Close an injection that doesn't end."""
        assert self._injection is not None
        try:
            self._injection.close()
        finally:
            self._finish()
        raise RuntimeError(
            f"{type(self.fault).__name__}.inject: it goes on after its end; undo its changes and return when "
            "`yield` returns True"
        )

    def _finish(self) -> None:
        self.ended_at = self._loop.time()
        self._on_change(self)
