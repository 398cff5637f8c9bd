"""Recovery from records written by hand: from which fault, and from when."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np
import pytest

from chatlab.experiment.deliveries import Population
from chatlab.experiment.metrics import measure
from chatlab.experiment.recovery import Incident
from tests.experiment.records import (
    CONNECTED,
    CONNECTING,
    DISCONNECTED,
    ERROR,
    RECONNECTING,
    Chat,
    incident,
)


def test_recovery_runs_from_the_faults_end() -> None:
    chat = Chat(people=4)
    for person, status, at in [
        (0, RECONNECTING, 10.1),
        (0, RECONNECTING, 12.0),
        (0, CONNECTED, 23.0),
        (1, RECONNECTING, 10.1),
        (1, CONNECTED, 15.0),
        (2, RECONNECTING, 10.1),
        (2, ERROR, 30.0),
        (3, DISCONNECTED, 11.0),
        (3, CONNECTING, 12.0),
        (3, CONNECTED, 13.0),
        (0, RECONNECTING, 60.5),
        (0, CONNECTED, 64.0),
    ]:
        chat.recorder.changed(person, status, at)
    metrics = chat.measure([(10.0, 20.0), (60.0, 60.0)])
    assert (metrics["broken"], metrics["unrecovered"]) == (4, 1)
    assert metrics["recovery_p50"] == 3.5  # of 3, 0, 4 and inf
    assert metrics["recovery_p99"] == inf
    assert chat.measure([(50.0, 50.0)])["recovery_p50"] == 14.0
    assert chat.measure()["recovery_p50"] is None
    assert chat.measure()["broken"] == 0


@pytest.mark.parametrize(
    ("lost_at", "recovery"),
    [
        (10.0, 30.0),  # at the instant at which the first fault begins: from that one's end
        (20.0, 30.0),  # at that at which it ends
        (39.9, 30.0),
        (40.0, 9.0),  # at that at which the second begins, which is over after a second
        (41.0, 9.0),
        (9.9, None),
    ],
)
def test_a_loss_belongs_to_the_latest_fault_that_has_begun(lost_at: float, recovery: float | None) -> None:
    chat = Chat(people=1)
    for status, at in [(CONNECTED, 1.0), (RECONNECTING, lost_at), (CONNECTED, 50.0)]:
        chat.recorder.changed(0, status, at)
    assert chat.measure([(10.0, 20.0), (40.0, 41.0)])["recovery_p50"] == recovery


def test_a_recovery_begins_with_the_loss_if_others_serve() -> None:
    chat = Chat(people=2)
    for person, at in [(0, 12.0), (1, 25.0)]:
        for status, when in [(CONNECTED, 1.0), (RECONNECTING, at), (CONNECTED, at + 3.0)]:
            chat.recorder.changed(person, status, when)
    fault = Incident(10.0, 27.0)
    population = Population(np.zeros(2, dtype=int), np.full(2, inf))
    for others_serve, last in [(False, 1.0), (True, 3.0)]:
        metrics = measure(chat.recorder, population, 60.0, [fault._replace(others_serve=others_serve)])
        assert metrics["last_back"] == last
        assert metrics["recovery_p50"] == (3.0 if others_serve else 0.5)


@pytest.mark.parametrize(
    ("faults", "recovery"),
    [
        # The connection stood from 1 to 40, and again from 50 on.
        ([("half_open", 20, 20), ("latency", 30, 90)], 30.0),
        ([("half_open", 20, 20), ("server_down", 30, 33)], 30.0),  # of which nothing is heard
        ([("half_open", 20, 20), ("half_open", 30, 30)], 30.0),
        ([("half_open_up", 20, 20), ("latency", 30, 90), ("http_error", 31, 32)], 30.0),
        ([("half_open_up", 20, 20), ("server_down", 39.9, 44)], 6.0),  # of which it is heard
        ([("half_open_up", 20, 20), ("server_down", 39.8, 44), ("latency", 39.9, 90)], 6.0),
        ([("half_open", 0.5, 0.5), ("latency", 30, 45)], 5.0),  # another connection's
        ([("half_open", 1, 1), ("latency", 30, 45)], 49.0),
        ([("partition", 30, 45), ("latency", 35, 90)], 5.0),
        ([("partition", 29, 29.9), ("latency", 36, 42)], 8.0),  # it was over in time
        ([("partition", 30, 35), ("latency", 36, 42)], 15.0),
        ([("partition", 30, 35), ("http_error", 36, 42)], 15.0),
        ([("partition", 30, 35), ("http_error", 36.1, 42)], 8.0),
        ([("partition", 30, 35), ("latency", 36, 60), ("http_error", 36.1, 42)], 8.0),
        ([("reset", 39.5, 39.5), ("http_error", 39.75, 90)], 10.5),  # before the reset has arrived
        ([("server_down", 39, 43), ("http_error", 39, 44)], 6.0),  # at once: it's one incident
        ([("server_down", 39, 43), ("http_error", 39.1, 44)], 7.0),
        ([("server_down", 39, 43), ("latency", 39, 44)], 7.0),
        ([("http_error", 30, 44), ("latency", 39, 90)], 6.0),
        ([("latency", 30, 90), ("http_error", 39, 44)], 6.0),
        ([("reset", 0.5, 0.5), ("latency", 0.9, 45)], 5.0),  # which broke an earlier connection
        ([("latency", 30, 42), ("half_open", 41, 41)], 8.0),
        ([("server_down", 39, 43), ("latency", 39.5, 90, [0])], 7.0),  # which hit somebody else
        ([("server_down", 39, 43), ("latency", 39.5, 47, [0, 1])], 7.0),
        ([("server_down", 39, 43), ("server_down", 39.5, 47, [0, 1])], 3.0),
        ([("half_open", 20, 20, [0]), ("latency", 30, 45)], 5.0),
        ([("half_open", 45, 45)], None),
    ],
)
def test_a_loss_belongs_to_the_fault_that_caused_it(
    faults: list[tuple[Any, ...]], recovery: float | None
) -> None:
    chat = Chat(people=2, connected_at=1.0)
    chat.recorder.changed(1, RECONNECTING, 40.0)
    chat.recorder.changed(1, CONNECTED, 50.0)
    assert chat.measure([incident(*fault) for fault in faults])["recovery_p50"] == recovery
