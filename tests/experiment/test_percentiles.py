"""Percentiles with infinite values, and their words."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

from chatlab.experiment.percentiles import describe_never, percentile


@pytest.mark.parametrize(
    ("q", "never", "value"),
    [(50, 0, 2.5), (50, 1, 3.0), (50, 2, 3.5), (50, 3, 4.0), (50, 4, inf), (99, 1, inf)],
)
def test_a_percentile_beside_an_infinite_value_is_infinite(q: float, never: int, value: float) -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0])
    assert percentile(values, q, never) == value
    assert percentile(values, q) == pytest.approx(np.percentile(values, q))


def test_a_share_is_named_beside_never() -> None:
    metrics = {"owed": 50, "undelivered": 6, "broken": 3, "unrecovered": 3, "latency_p99": inf}
    assert describe_never("latency_p99", metrics) == "never (12 %)"
    assert describe_never("recovery_p50", metrics) == "never (100 %)"
    assert describe_never("queue_max", metrics) == describe_never("latency_p99", {}) == "never"
