"""The clocks that simulated parts see: those of any world. Times are seconds since the run began."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Clock(Protocol):
    """The world's time."""

    @property
    def now(self) -> float:
        """Seconds since the run began."""


class Calendar(Clock, Protocol):
    """A clock with timers."""

    def call_at(self, time: float, callback: Callable[[T], object], argument: T, /) -> object:
        """Call back at `time`."""


class OrderedCalendar(Calendar, Protocol):
    """A calendar whose timers for the same time fire in the order in which they were set."""

    def call_at(self, time: float, callback: Callable[..., object], /, *arguments: Any) -> object:
        """Call back at `time`."""

    def call_later(self, delay: float, callback: Callable[..., object], /, *arguments: Any) -> object:
        """Call back after `delay` seconds."""
