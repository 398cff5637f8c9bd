from __future__ import annotations

import itertools

import pytest

from chatlab.dialects.chatlab import ChatlabDialect
from chatlab.errors import SettingsError
from chatlab.experiment.spans import StatusSpan, change_spans, status_spans
from chatlab.messages import ConnectionStatus, StatusChange
from chatlab.settings import ReconnectConfig, WebSocketConfig
from chatlab.trace import Step
from chatlab.transports.machine import Closed, Connect, Event, Failure, Opened, Tick
from chatlab.transports.websocket import WebSocketMachine

DISCONNECTED, CONNECTING, CONNECTED, RECONNECTING, ERROR = ConnectionStatus


def recorded(*events: tuple[float, Event], reconnect: ReconnectConfig) -> list[Step]:
    """The steps of a real machine that meets these events."""
    config = WebSocketConfig(url="ws://127.0.0.1:8000/ws", reconnect=reconnect)
    machine = WebSocketMachine(config, ChatlabDialect(), lambda: 0.0)
    return [Step(at, "ada", event, tuple(machine.handle(event, at))) for at, event in events]


REFUSED = Failure("refused")
LIFE = recorded(
    (1.0, Connect()),
    (1.5, Opened(1)),
    (30.0, Closed(1, REFUSED)),
    (31.0, Tick()),
    (31.0, Closed(2, REFUSED)),
    (33.0, Tick()),
    (33.5, Opened(3)),
    (60.0, Closed(3, REFUSED)),
    (61.0, Tick()),
    (61.5, Closed(4, REFUSED)),
    (63.5, Tick()),
    (63.5, Closed(5, REFUSED)),
    reconnect=ReconnectConfig(max_attempts=2, jitter="none"),
)


def test_spans_of_a_machines_life() -> None:
    assert status_spans(LIFE, 90.0) == [
        StatusSpan(DISCONNECTED, 0.0, 1.0),
        StatusSpan(CONNECTING, 1.0, 1.5, (1.0,)),
        StatusSpan(CONNECTED, 1.5, 30.0),
        StatusSpan(RECONNECTING, 30.0, 33.5, (31.0, 33.0)),
        StatusSpan(CONNECTED, 33.5, 60.0),
        StatusSpan(RECONNECTING, 60.0, 63.5, (61.0, 63.5)),
        StatusSpan(ERROR, 63.5, 90.0),
    ]


@pytest.mark.parametrize("start", [0.0, 10.0, 31.5, 80.0])
@pytest.mark.parametrize("end", [0.0, 31.0, 61.5, 90.0])
def test_spans_fill_the_window(start: float, end: float) -> None:
    spans = status_spans(LIFE, end, start)
    assert sum(span.end - span.start for span in spans) == pytest.approx(max(end - start, 0.0))
    for before, after in itertools.pairwise(spans):
        assert before.end == after.start
    assert all(start <= at <= end for span in spans for at in span.attempts)


def test_a_window_begins_with_the_status_of_then() -> None:
    assert status_spans(LIFE, 35.0, 32.0) == [
        StatusSpan(RECONNECTING, 32.0, 33.5, (33.0,)),
        StatusSpan(CONNECTED, 33.5, 35.0),
    ]


def test_nothing_happened() -> None:
    assert status_spans([], 5.0) == [StatusSpan(DISCONNECTED, 0.0, 5.0)]
    assert status_spans([], 0.0) == []


def test_attempts_that_fail_at_once_are_kept() -> None:
    changes = [(2.0, StatusChange(CONNECTING)), (2.0, StatusChange(ERROR)), (2.0, StatusChange(DISCONNECTED))]
    assert change_spans(changes, 3.0) == [
        StatusSpan(DISCONNECTED, 0.0, 2.0),
        StatusSpan(CONNECTING, 2.0, 2.0, (2.0,)),
        StatusSpan(DISCONNECTED, 2.0, 3.0),
    ]


def test_two_peoples_steps_are_refused() -> None:
    steps = [Step(0.0, "ada", Connect(), ()), Step(0.0, "bob", Connect(), ())]
    with pytest.raises(SettingsError, match="'ada' and 'bob'"):
        status_spans(steps, 1.0)
