"""A person with a real transport, and the access line between the person and the server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from math import inf
from typing import Protocol

from chatlab.errors import OutboxFull
from chatlab.live.client.kinds import make_transport
from chatlab.messages import ConnectionStatus, OutgoingMessage
from chatlab.random_streams import RandomStreams
from chatlab.settings import AnyConfig
from chatlab.sim.fault_context import Breakable
from chatlab.sim.path import Impairment, Path
from chatlab.sim.recorder import Recorder, is_whole
from chatlab.sim.timers import Timers
from chatlab.trace import Step, is_attempt
from chatlab.transports.machine import (
    Answered,
    Close,
    Closed,
    Deliver,
    Fetch,
    Notify,
    Opened,
    Refuse,
    Settle,
    Submit,
)


class AccessLine(Protocol):
    """One person's connections to the server, with the delays and impairments of the person's `Path`.

    The line closes and resets connections. While the path is `refusing`, it refuses new ones. While the
    path is unreachable, it drops their SYNs.
    """

    @property
    def url(self) -> str:
        """The server's root URL for the person's transport."""

    @property
    def connections(self) -> Iterable[Breakable]:
        """All connections."""

    @property
    def up_to_date(self) -> bool:
        """Whether nothing is in flight to the person, and nothing was lost on the way."""

    def adapt(self) -> None:
        """Apply the changes of the path."""


class Person:
    """One person with a real transport. It records the same events as the model's driver."""

    def __init__(
        self,
        person: int,
        config: AnyConfig,
        path: Path,
        line: AccessLine,
        streams: RandomStreams,
        recorder: Recorder,
        steps: list[Step] | None,
    ) -> None:
        self.person = person
        self.name = config.sender
        self.path = path
        self.line = line
        self.read_at = -inf
        self.errors: list[Exception] = []
        self.timers = Timers()
        self.transport = make_transport(
            config,
            loop="current",
            uniform=streams.uniform(person, "backoff"),
            record=self._record,
            fires_at=self.timers.fires_at,
        )
        self._recorder: Recorder | None = recorder
        self._steps = steps
        self._messages = 0
        self._status = ConnectionStatus.DISCONNECTED
        self._open: set[int] = set()
        self._polls: dict[int, float] = {}

    # The script

    def connect(self) -> None:
        """Start connecting."""
        if not self._postponed(self.connect):
            self.transport.start()

    def disconnect(self) -> None:
        """Start disconnecting."""
        if not self._postponed(self.disconnect):
            self.transport.stop()

    def submit(self, text: str) -> None:
        """Send a message."""
        if self._postponed(self.submit, text):
            return
        self._messages += 1
        with suppress(OutboxFull):  # The recorder has counted it.
            self.transport.submit(OutgoingMessage(text, client_id=f"{self.name}-{self._messages}"))

    def _postponed(self, action: Callable[..., None], *arguments: str) -> bool:
        """Whether the computer is suspended; the person acts when that is over."""
        loop, until = asyncio.get_running_loop(), self.timers.suspended_until
        if until <= loop.time() or self._recorder is None:
            return False
        loop.call_at(until, action, *arguments)
        return True

    # Faults

    @property
    def connections(self) -> Iterable[Breakable]:
        """All connections, whether in use or kept for later."""
        return tuple(self.line.connections)

    def adapt(self) -> None:
        """Apply the changes of the path."""
        self.line.adapt()

    def add_impairment(self, impairment: Impairment) -> None:
        """Add an impairment to the path."""
        self.path.add_impairment(impairment)
        self.line.adapt()

    def remove_impairment(self, impairment: Impairment) -> None:
        """Remove an impairment from the path."""
        self.path.remove_impairment(impairment)
        self.line.adapt()

    # Results

    @property
    def complete_until(self) -> float:
        """Time up to which the server's messages must have been shown at the end of the run; inf: all of
        them."""
        return inf if self._open and self.line.up_to_date else self.read_at

    def end(self) -> None:
        """Stop recording."""
        self._recorder = None

    def _record(self, step: Step) -> None:
        if self._recorder is not None:
            try:
                self._record_step(self._recorder, step)
            except Exception as error:  # The transport's driver would only log it.
                self.errors.append(error)

    def _record_step(self, recorder: Recorder, step: Step) -> None:
        if self._steps is not None:
            self._steps.append(step)
        match step.event:
            case Submit(message):
                if any(isinstance(effect, Refuse) for effect in step.effects):
                    recorder.refused()
                else:
                    recorder.accepted(self.person, message.client_id, step.at)
            case Opened(link):
                self._open.add(link)
            case Closed(link):
                self._forget(link)
            case Answered(link, answer):
                sent_at = self._polls.get(link)
                if sent_at is not None and is_whole(answer):
                    self.read_at = sent_at
                self._forget(link)
            case _:
                pass
        for effect in step.effects:
            if isinstance(effect, Notify):
                self._status = effect.change.status
        for effect in step.effects:
            if is_attempt(effect, self._status):
                recorder.attempted(self.person, step.at)
            match effect:
                case Deliver(event):
                    if event.message is not None:
                        recorder.delivered(self.person, event.message, step.at)
                    elif event.type == "resync":
                        recorder.resynced()
                case Settle(client_id, state):
                    recorder.settled(client_id, state, step.at)
                case Notify(change):
                    recorder.changed(self.person, change.status, step.at)
                case Fetch(link, "poll"):
                    self._polls[link] = step.at
                case Close(link):
                    self._forget(link)
                case _:
                    pass

    def _forget(self, link: int) -> None:
        self._open.discard(link)
        self._polls.pop(link, None)
