"""Recorded steps as texts with times, to be aligned with those of another run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct, structs

from chatlab.experiment.describe import (
    describe_delivery,
    describe_effect,
    describe_event,
    describe_status,
)
from chatlab.messages import ConnectionStatus
from chatlab.trace import Step, is_attempt
from chatlab.transports.machine import (
    Deliver,
    Event,
    Fetch,
    Notify,
    ReceivedBytes,
    Settle,
)

INSTANT = 1e-6
"""Steps that are at most this number of seconds apart are of one instant."""


class Moment(Struct, frozen=True):
    """A text about a person's `number`-th step, counted from 1, `at` seconds after the run began."""

    number: int
    at: float
    text: str


def all_moments(steps: Iterable[Step]) -> list[Moment]:
    """Return every step of a person. Steps of one instant are sorted by their texts.

    Pieces of one body that arrive in one instant are joined, since the system decides how it splits a body.
    So is the beginning of an event with the rest of it.
    """
    moments: list[Moment] = []
    instant: list[tuple[int, Step]] = []
    for number, step in enumerate(_whole_events(steps), 1):
        if instant and step.at - instant[0][1].at > INSTANT:
            moments += _of_one_instant(instant)
            instant = []
        instant.append((number, step))
    return moments + _of_one_instant(instant)


def _whole_events(steps: Iterable[Step]) -> Iterator[Step]:
    """Yield the steps; the beginning of a stream's event comes with the rest of it."""
    begun: dict[int, Step] = {}
    for step in steps:
        event = step.event
        if not isinstance(event, ReceivedBytes):
            yield step
            continue
        before = begun.pop(event.link, None)
        if before is not None and isinstance(before.event, ReceivedBytes):
            event = ReceivedBytes(event.link, before.event.data + event.data)
        whole = structs.replace(step, event=event)
        if step.effects or event.data.endswith(b"\n"):
            yield whole
        else:
            begun[event.link] = whole
    yield from begun.values()


def _of_one_instant(steps: Sequence[tuple[int, Step]]) -> list[Moment]:
    """Return the moments of one instant, numbered like its steps."""
    happened: list[tuple[Event, list[str]]] = []
    bodies: dict[int, int] = {}
    for _, step in steps:
        event, effects = step.event, [describe_effect(effect) for effect in step.effects]
        if isinstance(event, ReceivedBytes) and event.link in bodies:
            index = bodies[event.link]
            before, earlier_effects = happened[index]
            assert isinstance(before, ReceivedBytes)
            happened[index] = ReceivedBytes(event.link, before.data + event.data), earlier_effects + effects
            continue
        if isinstance(event, ReceivedBytes):
            bodies[event.link] = len(happened)
        happened.append((event, effects))
    texts = sorted("; ".join([describe_event(event), *effects]) for event, effects in happened)
    return [Moment(number, step.at, text) for (number, step), text in zip(steps, texts, strict=False)]


def observable_moments(steps: Iterable[Step]) -> tuple[list[Moment], ...]:
    """Return a person's changes of status, attempts to connect, deliveries, and states of messages."""
    statuses, attempts, deliveries, states = kinds = tuple(list[Moment]() for _ in range(4))
    status = ConnectionStatus.DISCONNECTED
    for number, step in enumerate(steps, 1):
        for effect in step.effects:
            if isinstance(effect, Notify):
                status = effect.change.status
        for effect in step.effects:
            if is_attempt(effect, status):
                what = effect.purpose if isinstance(effect, Fetch) else "WebSocket"
                attempts.append(Moment(number, step.at, f"tries a {what}"))
            match effect:
                case Notify(change):
                    statuses.append(Moment(number, step.at, describe_status(change, reason=False)))
                case Deliver(event):
                    deliveries.append(Moment(number, step.at, describe_delivery(event)))
                case Settle():
                    states.append(Moment(number, step.at, describe_effect(effect)))
                case _:
                    pass
    return kinds
