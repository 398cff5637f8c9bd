"""Counts and latencies of each second, from records written by hand."""

from __future__ import annotations

import numpy as np
import pytest

from chatlab.experiment.deliveries import Population
from chatlab.experiment.series import Latencies, series
from tests.experiment.records import (
    CONNECTED,
    RECONNECTING,
    Chat,
)


def test_series_count_each_second() -> None:
    chat = Chat(people=2, connected_at=0.5)
    chat.recorder.changed(0, RECONNECTING, 1.2)
    chat.recorder.changed(0, CONNECTED, 1.4)
    chat.recorder.changed(1, RECONNECTING, 2.9)
    for at in (0.1, 0.9, 2.0):
        chat.recorder.attempted(0, at)
    chat.post(0, "a", 1.0, 1.5)
    chat.show(1, "a", "1-1", 2.5)
    assert series(chat.recorder, 3.5) == {
        "attempts": [2, 0, 1, 0],
        "sent": [0, 1, 0, 0],
        "delivered": [0, 0, 1, 0],
        "connected": [2, 2, 1, 1],
    }
    assert chat.measure(duration=3.5)["attempts_per_second_max"] == 2
    assert chat.measure(duration=3.5)["attempts_per_second_max_after"] is None
    for begins_at, most in ((0.1, 2), (0.5, 1), (2.5, 0), (3.5, None)):
        metrics = chat.measure([(begins_at, begins_at), (9.0, 9.0)], duration=3.5)
        assert metrics["attempts_per_second_max_after"] == most


def test_latencies_of_each_second_are_those_of_what_was_shown_then() -> None:
    chat = Chat(people=1)
    for number, (sent_at, shown_at) in enumerate(
        [(0.2, 0.3), (0.1, 0.9), (0.4, 2.4), (2.5, 2.6), (0.0, 2.9)]
    ):
        chat.post(0, f"{number}", sent_at, shown_at)
        chat.show(0, f"{number}", f"1-{number}", shown_at)
    chat.show(0, "0", "1-0", 3.5)  # Again: that counts for nothing.
    population = Population(chat.rooms, np.zeros(1))
    columns = Latencies(chat.recorder, population).by_second(4)
    assert columns["latency_p50"] == [pytest.approx(0.45), None, pytest.approx(2.0), None]
    expected = [np.percentile([0.1, 0.8], 99), None, np.percentile([2.0, 0.1, 2.9], 99), None]
    assert columns["latency_p99"] == [None if one is None else pytest.approx(one) for one in expected]
