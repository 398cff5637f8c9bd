"""The timer for a machine's deadline. The loop may be blocked meanwhile, or the computer suspended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf

from chatlab.live.client.suspension_clock import SuspensionClock

BLOCKED_AFTER = 0.1
"""Seconds by which a timer must be late for the loop to count as blocked, by a slow handler or a
suspension."""
CATCH_UP = 0.05
"""Seconds for reading what arrived while the loop was blocked, before a late timer fires."""
SUSPENSION_CHECK = 2.0
"""Maximum seconds until a suspension of the computer is noticed."""
HOLD_OFF = 1.0
"""Seconds within which a loop is expected to close after its tasks were cancelled."""

Fire = Callable[[float, bool], object]
"""A function that gets the time for which the timer was armed, and whether the computer was suspended
meanwhile."""


class DeadlineTimer:
    """A timer that fires at a deadline, or earlier to check for a suspension. It must be armed again then.

    `armed_at` is the time for which it is armed, inf if it isn't. It is `catching_up` while it gives the loop
    time to read what arrived while the loop was blocked. `fires_at` returns when a timer fires that is due at
    a time, as far as is known: a simulated tab may be hidden.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, fires_at: Callable[[float], float] | None = None
    ) -> None:
        self._loop = loop
        self._fires_at = fires_at
        self.clock = SuspensionClock(loop)
        self.armed_at = inf
        self.catching_up = False
        self._handle: asyncio.TimerHandle | None = None
        self._held_until = -inf
        self._woke = False

    def arm(self, deadline: float, fire: Fire) -> None:
        """Call `fire` at a deadline, unless the timer is armed for an earlier one.

        A deadline in the past counts as due now. Otherwise its lateness would be taken for a blocked loop.
        """
        due_at = max(deadline, self._held_until, self.clock.now())
        if self._fires_at is not None and due_at < inf:
            due_at = self._fires_at(due_at)
        if self.catching_up or self.armed_at <= due_at:
            return
        if self._handle is not None:
            self._handle.cancel()
        if self.clock.watches and due_at < inf:
            due_at = min(due_at, self.clock.now() + SUSPENSION_CHECK)
        self.armed_at = due_at
        self._handle = self._loop.call_at(due_at - self.clock.slept, self._fire, due_at, fire)

    def disarm(self) -> None:
        """Cancel the timer until it is armed again."""
        if self._handle is not None:
            self._handle.cancel()
        self._handle, self.armed_at, self.catching_up = None, inf, False

    def hold_off(self, deadline: float, fire: Fire) -> None:
        """Delay a deadline, and those to come, by `HOLD_OFF`."""
        self._held_until = self.clock.now() + HOLD_OFF
        self.disarm()
        self.arm(deadline, fire)

    def _fire(self, armed_at: float, fire: Fire) -> None:
        self._woke = self.clock.count() or self._woke
        if self.clock.now() - armed_at > BLOCKED_AFTER and not self.catching_up:
            # A pong that is received but unread came in time.
            self.catching_up = True
            self._handle = self._loop.call_later(CATCH_UP, self._fire, armed_at, fire)
            return
        self.disarm()
        if self._fires_at is not None and self._fires_at(armed_at) > armed_at:
            self.arm(armed_at, fire)
            return
        woke, self._woke = self._woke, False
        fire(armed_at, woke)
