"""The timers of one client. They fire late in a hidden tab, and not at all while the computer sleeps."""

from __future__ import annotations

from collections.abc import Callable

from chatlab.sim.environment import LONG_AGO

Delay = Callable[[float], float]
"""Returns the time at which a timer fires that is due at a time."""


class Timers:
    """The delays of one client's timers. Until `suspended_until` none fires, and the person does nothing."""

    __slots__ = ("_delays", "suspended_until")

    def __init__(self) -> None:
        self._delays: tuple[Delay, ...] = ()
        self.suspended_until = LONG_AGO

    @property
    def delayed(self) -> bool:
        """Whether timers may be late."""
        return bool(self._delays) or self.suspended_until > LONG_AGO

    def add(self, delay: Delay) -> None:
        """Add a delay."""
        self._delays = (*self._delays, delay)

    def remove(self, delay: Delay) -> None:
        """Remove a delay."""
        self._delays = tuple(other for other in self._delays if other is not delay)

    def fires_at(self, due_at: float) -> float:
        """Return when a timer fires that is due at `due_at`.

        Ask again when it fires: a suspension may have begun meanwhile.
        """
        due_at = max(due_at, self.suspended_until)
        for delay in self._delays:
            due_at = delay(due_at)
        return due_at
