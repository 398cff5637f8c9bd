"""The interface by which a world reports the events of all people, and the list of recorded steps."""

from __future__ import annotations

from typing import Protocol

from chatlab.dialects.base import Answer
from chatlab.errors import SettingsError
from chatlab.messages import ChatMessage, ConnectionStatus, DeliveryState
from chatlab.trace import Step

MOST_STEPS = 5_000_000
"""The most steps that a run records: they take 2.2 GB."""


def is_whole(answer: Answer) -> bool:
    """Return whether a poll's answer was complete."""
    return answer.status == 200 and "chat-more" not in answer.headers


class Recorder(Protocol):
    """Records the events of all people. People are numbered from 0; `at` is seconds since the run began."""

    def accepted(self, person: int, client_id: str, at: float) -> None:
        """Record a message that entered the ledger."""

    def refused(self) -> None:
        """Record a message that the ledger refused."""

    def settled(self, client_id: str, state: DeliveryState, at: float) -> None:
        """Record a message's new state in the ledger."""

    def delivered(self, person: int, message: ChatMessage, at: float) -> None:
        """Record a message that was delivered to a person."""

    def resynced(self) -> None:
        """Record a resync: messages may be missing."""

    def changed(self, person: int, status: ConnectionStatus, at: float) -> None:
        """Record the new status of a person's transport."""

    def attempted(self, person: int, at: float) -> None:
        """Record a person's attempt to connect: a WebSocket, a stream, or a poll without being connected."""


class Steps(list[Step]):
    """The recorded steps of a run.

    Errors: `SettingsError` if there are too many.
    """

    def append(self, step: Step) -> None:
        """Record a step."""
        if len(self) >= MOST_STEPS:
            raise SettingsError(
                f"the recorded people took more than {MOST_STEPS:,} steps, the last at {step.at:g} s; record "
                "fewer people (sample), or run for a shorter time"
            )
        super().append(step)
