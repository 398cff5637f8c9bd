"""The server's pings on a link, which can pause while they are pending."""

from __future__ import annotations

from math import inf

from chatlab.sim.keepalive import Keepalive


class PausableKeepalive(Keepalive):
    """A `Keepalive` that can pause, and resume in another state."""

    __slots__ = ()

    @property
    def unanswered(self) -> bool:
        """Whether a ping is unanswered."""
        return self._sent_at < inf

    @property
    def due_at(self) -> float:
        """The time of the next ping, if none is unanswered."""
        return self._alarm.deadline

    def set_due(self, due_at: float) -> None:
        """Set the time of the next ping, which may have passed; then it must resume."""
        self._alarm.deadline = due_at

    def pause(self) -> None:
        """Send no pings until it resumes."""
        self._alarm.set(inf)

    def resume(self, due_at: float) -> None:
        """Send the next ping at `due_at`."""
        self._alarm.set(due_at)

    def await_pong(self, sent_at: float) -> None:
        """Await the answer to a ping that was sent at `sent_at`."""
        self._sent_at = sent_at
        self._alarm.set(sent_at + self._config.timeout)
