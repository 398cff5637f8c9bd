"""The events that a world reports of everybody, and the counters of them."""

from __future__ import annotations

from typing import Protocol

from chatlab.dialects.base import Answer
from chatlab.messages import ChatMessage, ConnectionStatus, DeliveryState


def is_whole(answer: Answer) -> bool:
    """Return whether a poll's answer was complete."""
    return answer.status == 200 and "chat-more" not in answer.headers


class Recorder(Protocol):
    """Counts what happens to everybody. People are numbered from 0; `at` is seconds since the run began."""

    def accepted(self, person: int, client_id: str, at: float) -> None:
        """A person's message was taken into the ledger."""

    def refused(self) -> None:
        """A person's message was not taken."""

    def settled(self, client_id: str, state: DeliveryState, at: float) -> None:
        """A message has a new state in the ledger."""

    def delivered(self, person: int, message: ChatMessage, at: float) -> None:
        """A message was shown to a person."""

    def resynced(self) -> None:
        """A person learned that messages may be missing."""

    def changed(self, person: int, status: ConnectionStatus, at: float) -> None:
        """A person's transport has notified a status."""

    def attempted(self, at: float) -> None:
        """Somebody tries to connect: opens a WebSocket or a stream, or polls without being connected."""
