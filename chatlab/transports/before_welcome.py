"""Frames, events and answers before a `Welcome`, for the reason of an attempt that times out."""

from __future__ import annotations

from chatlab.dialects.base import excerpt
from chatlab.transports.machine import Failure


class BeforeWelcome:
    """The count of a link's frames, events or answers (`what`) before the `Welcome`, and the first one."""

    __slots__ = ("_count", "_first", "_what")

    def __init__(self, what: str) -> None:
        self._what = what
        self._count = 0
        self._first = ""

    def note(self, content: str | bytes) -> None:
        """Count a frame, an event or an answer."""
        self._count += 1
        if self._count == 1:
            self._first = excerpt(content)

    def missing(self, timeout: float) -> Failure:
        """Return the failure of an attempt without a `Welcome` within `timeout` seconds."""
        reason = f"the server let nobody in within {timeout:g} s; "
        if not self._count:
            reason += f"it sent no {self._what}"
        elif self._count == 1:
            reason += f"it sent 1 {self._what}: {self._first}"
        else:
            reason += f"it sent {self._count} {self._what}s, the first: {self._first}"
        return Failure("timeout", reason=reason)
