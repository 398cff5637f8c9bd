"""The other metrics of records written by hand."""

from __future__ import annotations

import numpy as np

from chatlab.experiment.column_recorder import ColumnRecorder
from chatlab.experiment.deliveries import Population
from chatlab.experiment.metrics import measure
from chatlab.experiment.recovery import Incident
from chatlab.messages import DeliveryState
from tests.experiment.records import (
    CONNECTED,
    CONNECTING,
    ERROR,
    RECONNECTING,
    Chat,
    incident,
)


def test_without_records_there_is_nothing_to_measure() -> None:
    metrics = measure(
        ColumnRecorder(), Population(np.zeros(3, dtype=int), np.full(3, -np.inf)), 10.5, [Incident(1.0, 2.0)]
    )
    assert {name for name, value in metrics.items() if value} == {"time_disconnected"}
    assert metrics["time_disconnected"] == 31.5


def test_every_message_is_in_one_state() -> None:
    chat = Chat()
    for number, state in enumerate(DeliveryState):
        for copy in range(number + 1):
            chat.recorder.accepted(0, f"{state}-{copy}", 1.0)
            chat.recorder.settled(f"{state}-{copy}", state, 2.0)
    chat.recorder.refused()
    metrics = chat.measure()
    names = ("pending", "acked", "dropped", "expired", "failed")
    assert [metrics[name] for name in names] == [1 + 2, 3, 4, 5, 6]
    assert metrics["sent"] == sum(metrics[name] for name in names)
    assert metrics["refused"] == 1


def test_time_in_each_status_adds_up() -> None:
    chat = Chat(people=2, connected_at=10.0)
    chat.recorder.changed(0, RECONNECTING, 40.0)
    chat.recorder.changed(0, ERROR, 60.0)
    metrics = chat.measure()
    assert {name: value for name, value in metrics.items() if name.startswith("time_")} == {
        "time_disconnected": 20.0,
        "time_connecting": 0.0,
        "time_connected": 120.0,
        "time_reconnecting": 20.0,
        "time_error": 40.0,
    }


def test_who_asked_and_never_was_connected() -> None:
    chat = Chat(people=4)
    chat.recorder = ColumnRecorder()
    away, trying, gave_up, there = (), (CONNECTING,), (CONNECTING, ERROR), (CONNECTING, CONNECTED)
    for person, statuses in enumerate((away, trying, gave_up, there)):
        for number, status in enumerate(statuses):
            chat.recorder.changed(person, status, 5.0 + number)
    assert chat.measure()["never_connected"] == 2


def test_who_gave_up_and_who_came_last() -> None:
    chat = Chat(people=3, connected_at=10.0)
    chat.recorder.changed(0, RECONNECTING, 40.0)
    chat.recorder.changed(0, ERROR, 60.0)
    chat.recorder.changed(1, RECONNECTING, 40.0)
    chat.recorder.changed(1, CONNECTED, 55.0)
    chat.recorder.changed(2, RECONNECTING, 40.0)
    chat.recorder.changed(2, CONNECTED, 47.0)
    metrics = chat.measure([incident("server_down", 39.0, 42.0)])
    assert (metrics["gave_up"], metrics["last_back"], metrics["last_in_at"]) == (1, 13.0, 10.0)
    calm = Chat(people=1, connected_at=10.0).measure()
    assert (calm["gave_up"], calm["last_back"], calm["last_in_at"]) == (0, None, 10.0)
