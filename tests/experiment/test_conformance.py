"""The worlds agree: model and wire step by step, the live one in what people see. Wrong models are found."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from chatlab.experiment.compare import compare
from chatlab.experiment.run import Run
from chatlab.experiment.worlds.live_world import run_live_together
from chatlab.experiment.worlds.runner import run
from chatlab.sim.connection import Connection
from chatlab.sim.faults import AnyFault
from chatlab.sim.path import Path, Paths
from chatlab.sim.sender import Sender
from tests.experiment.conformance import (
    CASES,
    NOT_LIVE,
    PAGE,
    TRANSPORTS,
    WRITE,
    comparison,
    run_of,
    scenario,
    with_table,
)

Pair = tuple[str, str]
PAIRS: list[Pair] = [(case, transport) for case in CASES for transport in TRANSPORTS]
LIVE_PAIRS = [(case, transport) for case, transport in PAIRS if case not in NOT_LIVE]
ONE_OF_EACH = {(case, list(TRANSPORTS)[number % len(TRANSPORTS)]) for number, case in enumerate(CASES)}
"""Pairs that `make test` compares: a transport for each case, and each transport about as often."""
ON_ONE_WORKER = pytest.mark.xdist_group("conformance")
"""Each comparison is made once in a process."""

SCALE = 100.0
"""How much faster than the wall clock the live runs wait."""


def test_every_fault_is_there() -> None:
    assert {type(fault) for case in CASES.values() for fault in case.faults} == set(AnyFault.__args__)


@pytest.mark.slow
@ON_ONE_WORKER
@pytest.mark.parametrize(
    ("case", "transport"),
    [pytest.param(*pair, marks=() if pair in ONE_OF_EACH else pytest.mark.proof) for pair in PAIRS],
    ids=lambda name: name,
)
def test_model_and_wire_agree_step_by_step(case: str, transport: str) -> None:
    compared = comparison(case, transport)
    assert compared, str(compared)
    assert compared.people == 3
    assert compared.steps > 40


@cache
def lives(case: str) -> dict[str, Run]:
    """Run a case on real sockets, with all transports at once."""
    runs = run_live_together([scenario(case, transport) for transport in TRANSPORTS], 3, SCALE)
    return dict(zip(TRANSPORTS, runs, strict=True))


@pytest.mark.proof
@pytest.mark.xdist_group("live conformance")
@pytest.mark.parametrize(("case", "transport"), LIVE_PAIRS, ids=lambda name: name)
def test_the_live_world_agrees_in_what_people_see(case: str, transport: str) -> None:
    compared = compare(run_of(case, transport), lives(case)[transport])
    assert compared, str(compared)
    assert compared.people == 3
    assert compared.steps > 40


@pytest.mark.proof
@ON_ONE_WORKER
def test_the_page_is_up_to_date() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_table(page), f"run `{WRITE}`"


# Wrong network models


def a_round_trip_too_few(patch: pytest.MonkeyPatch) -> None:
    make = Paths.make

    def short(paths: Paths, person: int) -> Path:
        path = make(paths, person)
        return Path(path.up, path.down, lambda: 0.0)

    patch.setattr("chatlab.sim.model.Paths.make", short)


def a_close_that_arrives_too_early(patch: pytest.MonkeyPatch) -> None:
    def abort(connection: Connection) -> None:
        connection.server_open = False
        connection._environment.call_later(0, connection._on_server_closed, False)

    patch.setattr(Connection, "abort", abort)


def no_idle_timeout(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Connection, "adapt", lambda connection: None)


def no_order_on_the_line(patch: pytest.MonkeyPatch) -> None:
    def arrive(sender: Sender, at: float, acked_at: float) -> float:
        sender.arrives_at = at
        return at

    patch.setattr(Sender, "_arrive", arrive)


@pytest.mark.slow
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
def test_a_wrong_model_is_found(
    lie: Callable[[pytest.MonkeyPatch], None], case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def noticed(transport: str) -> bool:
        truth = run_of(case, transport, "wire")
        with monkeypatch.context() as patch:
            lie(patch)
            return not compare(run(scenario(case, transport), fast=False), truth)

    assert any(noticed(transport) for transport in TRANSPORTS), "nobody noticed"


@pytest.mark.parametrize("transport", ["websocket", "short_polling"])
def test_the_live_world_finds_one_round_trip_too_many(transport: str) -> None:
    played = scenario("calm", transport).replace(duration=4.0)
    live = run(played, "live", time_scale=SCALE)
    assert compare(run(played), live), str(compare(run(played), live))
    one_more = run(played.replace(network=played.network.replace(tls=True)))
    first = compare(one_more, live).first
    assert first is not None
    assert first.a is not None
    assert first.b is not None
    assert (first.a.text, first.b.text) == ("is connected", "is connected")
    assert first.a.at - first.b.at == pytest.approx(2 * 0.08)
