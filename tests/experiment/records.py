"""Records of a chat, written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

import numpy as np
from msgspec.structs import replace

from chatlab.experiment.column_recorder import ColumnRecorder
from chatlab.experiment.deliveries import Population
from chatlab.experiment.metrics import measure
from chatlab.experiment.recovery import Incident
from chatlab.messages import ChatMessage, ConnectionStatus, DeliveryState

ACKED, SENT, DROPPED = DeliveryState.ACKED, DeliveryState.SENT, DeliveryState.DROPPED
CONNECTING, CONNECTED, RECONNECTING, ERROR, DISCONNECTED = (
    ConnectionStatus.CONNECTING,
    ConnectionStatus.CONNECTED,
    ConnectionStatus.RECONNECTING,
    ConnectionStatus.ERROR,
    ConnectionStatus.DISCONNECTED,
)


class Chat:
    """A recorder with short methods."""

    def __init__(self, people: int = 2, rooms: Sequence[int] = (), connected_at: float = 0.0) -> None:
        self.recorder = ColumnRecorder()
        self.rooms = np.array(rooms or [0] * people)
        self.quiet = np.zeros(people, dtype=bool)
        for person in range(people):
            self.recorder.changed(person, CONNECTED, connected_at)

    def post(self, sender: int, name: str, at: float, acked_at: float | None = None) -> None:
        self.recorder.accepted(sender, name, at)
        if acked_at is not None:
            self.recorder.settled(name, ACKED, acked_at)

    def show(self, reader: int, name: str, place: str, at: float) -> None:
        self.recorder.delivered(reader, ChatMessage(id=place, client_id=name), at)

    def measure(
        self, faults: Sequence[tuple[Any, ...]] = (), duration: float = 100.0, *, acks: bool = True
    ) -> dict[str, Any]:
        population = Population(self.rooms, np.where(self.quiet, np.inf, -np.inf))
        if not acks:
            population = replace(population, acks=np.zeros(len(self.rooms), dtype=bool))
        return measure(self.recorder, population, duration, [Incident(*fault) for fault in faults])


def incident(kind: str, at: float, until: float, hit: Sequence[int] | None = None) -> Incident:
    """Return the incident of a fault of this kind."""
    return Incident(
        at,
        until,
        None if hit is None else np.array(hit),
        {"half_open": inf, "partition": until}.get(kind, -inf),
        {"latency": 0, "http_error": 1}.get(kind, 2),
        kind in ("half_open", "half_open_up"),
    )
