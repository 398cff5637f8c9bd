"""The panel's prediction agrees with its live connection, for each fault and transport."""

from __future__ import annotations

import pytest

from chatlab.live.client.kinds import TITLES
from tests.widgets.agreement import CASES, WITHIN, measure

pytestmark = pytest.mark.proof

PHASED = ("short_polling",)
"""Transports whose polls have a phase, which all earlier delays shift."""
FACTOR = 4
"""Delays of a run add up: a late attempt delays those after it."""


@pytest.mark.parametrize("case", CASES)
def test_attempts_agree(case: str) -> None:
    measured = measure(case)
    within = WITHIN + FACTOR * measured.lateness
    for kind in TITLES:
        if kind in PHASED:
            continue
        live, predicted = measured.times[kind]
        assert len(live) == len(predicted), (kind, live, predicted)
        assert live == pytest.approx(predicted, abs=within, rel=0.05), kind
