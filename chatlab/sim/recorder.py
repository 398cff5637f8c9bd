"""The interface by which a world reports the events of all people."""

from __future__ import annotations

from typing import Protocol

from chatlab.dialects.base import Answer
from chatlab.messages import ChatMessage, ConnectionStatus, DeliveryState


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
