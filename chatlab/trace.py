"""Recorded steps of machines, and their encoding as JSON lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Struct

from chatlab.messages import ConnectionStatus
from chatlab.transports.machine import Effect, Event, Fetch, OpenWebSocket


class Step(Struct, frozen=True):
    """An event of one person's machine, `at` seconds after the start of the run, and its effects in order."""

    at: float
    person: str
    event: Event
    effects: tuple[Effect, ...]


def is_attempt(effect: Effect, status: ConnectionStatus) -> bool:
    """Whether an effect is an attempt to connect: it opens a WebSocket or a stream, or polls without being
    connected. `status` is that after the effect's step."""
    if type(effect) is Fetch:
        polls = effect.purpose == "poll" and status is not ConnectionStatus.CONNECTED
        return polls or effect.purpose == "stream"
    return type(effect) is OpenWebSocket


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Step)


def encode_steps(steps: Iterable[Step]) -> bytes:
    """Return the steps as JSON lines."""
    return _encoder.encode_lines(steps)


def decode_step(line: bytes | str) -> Step:
    """Return the step in one JSON line.

    Errors: `msgspec.ValidationError` if it holds something else.
    """
    return _decoder.decode(line)


def decode_steps(lines: Iterable[bytes | str]) -> Iterator[Step]:
    """Yield the steps of JSON lines; blank lines are skipped."""
    return (decode_step(line) for line in lines if line.strip())
