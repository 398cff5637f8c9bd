"""Random scenarios in model and wire, of which only few may differ. The other tests use chosen ones."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings

from chatlab.experiment.scenario import Scenario
from tests.experiment.fingerprints import fingerprint, kept
from tests.experiment.random_scenarios import count, drawn, scenarios
from tests.sizes import examples

ALLOWED = 0.02
"""Share of the scenarios that may differ: the aim is 0.005 of many, but similar ones differ together. One may
differ in any case."""


@pytest.mark.proof  # test_scenario.py has the same for simpler ones
@settings(max_examples=examples(100))
@given(scenarios())
def test_each_can_be_written_and_read(scenario: Scenario) -> None:
    assert Scenario.from_toml(scenario.to_toml()) == scenario


@pytest.mark.slow
@pytest.mark.sized
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("number", [10, pytest.param(400, marks=pytest.mark.proof)])
def test_few_differ_between_model_and_wire(number: int) -> None:
    seed = 1 if settings().derandomize else random.randrange(10**6)
    differing = [scenario.to_toml() for found in count(number, seed).values() for scenario in found]
    assert len(differing) <= max(1, ALLOWED * number), "\n\n".join([f"seed {seed}", *differing])


def test_a_fingerprint_changes_with_what_happens_and_with_nothing_else() -> None:
    one, other = drawn(2, 1)
    assert fingerprint([one], "model") == fingerprint([one], "model")
    assert len({fingerprint([one], "model"), fingerprint([one], "wire"), fingerprint([other], "model")}) == 3


def test_scenarios_that_are_kept_are_read_again(tmp_path: Path) -> None:
    first = kept(tmp_path / "before.json", 3, 7)
    assert len(first) == 3
    assert kept(tmp_path / "before.json", 5, 8) == first
