"""The worlds agree: model and wire step by step, the live one in what people see. And lies would be found."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from chatlab.experiment.compare import Comparison, compare
from chatlab.experiment.live_world import run_live_together
from chatlab.experiment.worlds import run
from chatlab.sim.connection import Connection
from chatlab.sim.faults import AnyFault
from chatlab.sim.path import Path, Paths
from tests.experiment.conformance import (
    CASES,
    PAGE,
    TRANSPORTS,
    WRITE,
    comparison,
    run_of,
    scenario,
    with_table,
)

PAIRS = [(case, transport) for case in CASES for transport in TRANSPORTS]
EVERY_PAIR = pytest.mark.parametrize(("case", "transport"), PAIRS, ids=lambda name: name)

SCALE = 2.0
"""So much faster than the wall clock go the live runs, all at once."""
TRIES = 2
"""So often what differs is run again: a machine may be late for once, but what is wrong stays wrong."""


def test_every_fault_is_there() -> None:
    assert {type(fault) for case in CASES.values() for fault in case.faults} == set(AnyFault.__args__)


@EVERY_PAIR
def test_model_and_wire_agree_step_by_step(case: str, transport: str) -> None:
    compared = comparison(case, transport)
    assert compared, str(compared)
    assert compared.people == 3
    assert compared.steps > 40


@EVERY_PAIR
def test_the_live_world_agrees_in_what_people_see(case: str, transport: str) -> None:
    compared = live_comparisons()[case, transport]
    assert compared, str(compared)
    assert compared.people == 3
    assert compared.steps > 40


@cache
def live_comparisons() -> dict[tuple[str, str], Comparison]:
    """Return how model and live compare, of all cases."""
    compared: dict[tuple[str, str], Comparison] = {}
    left = PAIRS
    for _ in range(1 + TRIES):
        scenarios = [scenario(*pair, shift=number * 5 / len(left)) for number, pair in enumerate(left)]
        lives = run_live_together(scenarios, sample=3, time_scale=SCALE)
        for pair, played, live in zip(left, scenarios, lives, strict=True):
            compared[pair] = compare(run(played), live)
        left = [pair for pair in left if not compared[pair]]
        if not left:
            break
    return compared


def test_the_page_is_up_to_date() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_table(page), f"run `{WRITE}`"


# A network model that lies


def a_round_trip_too_few(patch: pytest.MonkeyPatch) -> None:
    make = Paths.make

    def short(paths: Paths, person: int) -> Path:
        path = make(paths, person)
        return Path(path.up, path.down, lambda: 0.0)

    patch.setattr("chatlab.sim.model.Paths.make", short)


def a_close_that_arrives_too_early(patch: pytest.MonkeyPatch) -> None:
    def abort(connection: Connection) -> None:
        connection.served = False
        connection._environment.call_later(0, connection._lose, False)

    patch.setattr(Connection, "abort", abort)


def no_idle_timeout(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Connection, "adapt", lambda connection: None)


def no_order_on_the_line(patch: pytest.MonkeyPatch) -> None:
    arrival = Path.arrival
    patch.setattr(Path, "arrival", lambda path, now, delay, last: arrival(path, now, delay, now))


@pytest.mark.parametrize(
    ("lie", "case"),
    [
        (a_round_trip_too_few, "calm"),
        (a_close_that_arrives_too_early, "server_down"),
        (no_idle_timeout, "idle_timeout"),
        (no_order_on_the_line, "burst"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_lie_is_found(
    lie: Callable[[pytest.MonkeyPatch], None], case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    truths = {transport: run_of(case, transport, "wire") for transport in TRANSPORTS}
    lie(monkeypatch)
    found = {
        transport for transport, truth in truths.items() if not compare(run(scenario(case, transport)), truth)
    }
    assert found, "nobody noticed"
