"""SPEC §1, delivery ledger; HOSTILE A66, A83, A91: nothing is lost, duplicated or misplaced, whatever happens
to the connection. The times, relative to those without faults, are in the report's summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from chatlab.messages import DeliveryState
from tests.live.chaos import CALM, TROUBLES, exchange, scene
from tests.live.conftest import CHAOS
from tests.live.watch import ALL

MESSAGES = 1000
PAIRS = [
    pytest.param(
        kind, trouble, marks=() if (kind, trouble) == ("websocket", "server killed") else pytest.mark.proof
    )
    for kind in ALL
    for trouble in (CALM, *TROUBLES)
]
"""Pairs of transport and fault. `make test` runs one here.

tests/experiment/worlds/test_chaos_on_wire.py has the others, on virtual time.
"""


@pytest.mark.parametrize(("kind", "trouble"), PAIRS)
async def test_nothing_is_lost_doubled_or_misplaced(
    kind: str, trouble: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    async with scene(tmp_path / "chat.db") as stage:
        outcome = await exchange(stage, kind, trouble, messages=MESSAGES)
    record_property(CHAOS, (kind, trouble, outcome.seconds, outcome.outage))
    assert outcome.faults == {}
    assert outcome.states == Counter({DeliveryState.ACKED: 2 * MESSAGES})
