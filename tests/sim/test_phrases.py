"""Faults as a person types them."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatlab.errors import SettingsError
from chatlab.sim.faults import (
    Blocked,
    Buffering,
    ConnectionReset,
    Fault,
    Flapping,
    HalfOpen,
    HighLatency,
    HttpError,
    LowBandwidth,
    Partition,
    ServerDown,
    SlowServer,
)
from chatlab.sim.faults.phrases import KINDS, SHORT, UNTIL_ENDED, lasts, phrase_of, read_faults


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("down at 10 for 5", [ServerDown(at=10, duration=5)]),
        ("Down at 10 s for 5s", [ServerDown(at=10, duration=5)]),
        ("server_down", [ServerDown(at=0, duration=UNTIL_ENDED)]),
        ("reset", [ConnectionReset(at=0)]),
        ("half-open", [HalfOpen(at=0, duration=UNTIL_ENDED)]),
        ("half open down for 3", [HalfOpen(at=0, duration=3, direction="down")]),
        ("latency 0.3 jitter 0.1 for 20", [HighLatency(at=0, duration=20, latency=0.3, jitter=0.1)]),
        ("latency jitter 2 0.3 for 20", [HighLatency(at=0, duration=20, latency=0.3, jitter=2)]),
        ("latency .3 s 1 at 4 for 20", [HighLatency(at=4, duration=20, latency=0.3, jitter=1)]),
        ("bandwidth 2000 for 1", [LowBandwidth(at=0, duration=1, bandwidth=2000)]),
        ("http error 429 retry after 7 for 9", [HttpError(at=0, duration=9, status=429, retry_after=7)]),
        ("http-error retry_after 7 for 9", [HttpError(at=0, duration=9, retry_after=7)]),
        ("buffering 64 for 1", [Buffering(at=0, duration=1, size=64)]),
        ("buffering size none for 1", [Buffering(at=0, duration=1)]),
        ("slow server 2 for 1", [SlowServer(at=0, duration=1, service_time=2)]),
        ("blocked for 5", [Blocked(at=0, duration=5)]),
        (
            "blocked websocket, long polling how reset for 5",
            [Blocked(at=0, duration=5, transports=("websocket", "long_polling"), how="reset")],
        ),
        ("blocked sse 403 for 5", [Blocked(at=0, duration=5, transports=("sse",))]),
        ("flapping 8, 3 for 60", [Flapping(at=0, duration=60, period=8, down=3)]),
        ("reset at 1;\n ; partition for 2\n", [ConnectionReset(at=1), Partition(at=0, duration=2)]),
    ],
)
def test_phrases_are_faults(text: str, faults: list[Fault]) -> None:
    assert read_faults(text) == faults


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("", "give a fault, such as “down at 10 for 5”"),
        (" ; ", "give a fault"),
        ("dwon for 5", "did you mean down?"),
        ("half_opne", "did you mean half open?"),
        ("xyzzy", "choose one of server_down, server_restart"),
        ("down at", "'down at': give a value after 'at'"),
        ("down at noon", "'down at noon': at: give a number, got 'noon'"),
        ("down at -1", "at: give a number of at least 0.0, got -1.0"),
        ("down for 0", "duration: give a number above 0.0, got 0.0"),
        ("down 5", "'5' is none of at, for"),
        ("reset for 5", "'for' isn't at"),
        ("latency 1 2 3", "'3' is none of latency, jitter, at, for"),
        ("half open sideways", "'sideways' is none of direction, at, for"),
        ("bandwidth for 5", "give its bandwidth, such as “bandwidth 2000”"),
        ("http error 99", "status: give a whole number of at least 400"),
        ("flapping 3 5 for 60", "down: give less than the period (3), got 5"),
    ],
)
def test_what_is_no_phrase_gets_one_sentence(text: str, answer: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(answer)) as error:
        read_faults(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", [*KINDS, *SHORT])
def test_every_kind_has_a_phrase_which_is_the_shortest(name: str) -> None:
    setting = {"bandwidth": " 2000", "loss": " 0.5"}.get(name, "")
    duration = " for 5" if lasts(KINDS[SHORT.get(name, name)]) else ""
    (fault,) = read_faults(f"{name}{setting} at 3{duration}")
    phrase = phrase_of(fault, at=True)
    assert phrase.startswith(fault.kind.replace("_", " "))
    assert read_faults(phrase) == [fault]
    assert "at" not in phrase_of(fault).split()
    assert "for" not in phrase_of(fault, duration=False).split()


def test_a_fault_until_it_is_ended_has_no_duration_in_its_phrase() -> None:
    (fault,) = read_faults("no pong")
    assert phrase_of(fault, at=True) == "no pong"


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(SettingsError):
        assert read_faults(text)
