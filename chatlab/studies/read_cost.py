"""The cost of reading: one reader, and a writer that appends messages directly to the server's log."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from msgspec import Struct

from chatlab.dialects.base import Nack
from chatlab.experiment.column_recorder import ColumnRecorder
from chatlab.messages import ChatMessage, OutgoingMessage
from chatlab.random_streams import RandomStreams
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.model import Model
from chatlab.sim.people import MessageSource, PeopleConfig
from chatlab.sim.transport_settings import AnyTransport

WARM_UP = 10.0
"""Seconds for the reader to connect, before measuring begins."""


class Reading(Struct, frozen=True):
    """The cost of reading `messages` messages.

    `latencies` are seconds from the server's log to the screen, and `shown_at` the times at which the
    messages were shown. `requests` and `bytes` are the reader's.
    """

    messages: int
    latencies: list[float]
    shown_at: list[float]
    requests: int
    bytes: int


def read(
    transport: AnyTransport,
    rate: float,
    duration: float,
    *,
    delay: float = 0.04,
    size: int = 80,
    seed: int = 0,
) -> Reading:
    """Return the cost of reading `rate` messages a second (Poisson) of `size` bytes for `duration` seconds.

    `delay` is the network's one-way delay in seconds.
    """
    times = _DeliveryTimes()
    network, server = NetworkConfig(latency=delay), ServerConfig(max_hold=1e6)
    with closing(Model(seed, transport.config(), PeopleConfig(), network, server, (), times, 0)) as model:
        writer: Any = _Writer(model, times)
        source = MessageSource(
            model.environment, writer, rate, "x" * size, RandomStreams(seed).uniform(1, "send")
        )
        model.environment.call_at(WARM_UP, source.wait)
        model.run(WARM_UP)
        requests, carried = model.requests, model.bytes_up + model.bytes_down
        model.run(duration)
        return Reading(
            len(times.posted_at),
            times.latencies,
            times.shown_at,
            model.requests - requests,
            model.bytes_up + model.bytes_down - carried,
        )


class _Writer:
    """A writer that appends directly to the server's log, without a transport."""

    person = 1

    def __init__(self, model: Model, times: _DeliveryTimes) -> None:
        self._model = model
        self._posted_at = times.posted_at

    def submit(self, text: str) -> None:
        client_id = f"w-{len(self._posted_at)}"
        self._posted_at[client_id] = self._model.environment.now
        server = self._model.server
        posted = server.hub.publish("room-1", "writer", OutgoingMessage(text, client_id=client_id))
        assert not isinstance(posted, Nack)  # Each message has its own id.
        _, outputs = posted
        server.carry_out(outputs)


class _DeliveryTimes(ColumnRecorder):
    """A recorder of the times at which each message was posted and shown."""

    def __init__(self) -> None:
        super().__init__()
        self.posted_at: dict[str, float] = {}
        self.shown_at: list[float] = []
        self.latencies: list[float] = []

    def delivered(self, person: int, message: ChatMessage, at: float) -> None:
        self.shown_at.append(at)
        self.latencies.append(at - self.posted_at[message.client_id])
