"""The published retry storm, with our backoff in it."""

from __future__ import annotations

import numpy as np
import pytest

from chatlab.errors import SettingsError
from chatlab.studies.retry_storm import (
    DELAY,
    POLICIES,
    PUBLISHED,
    PUBLISHED_RUNS,
    RATE,
    SERVICE,
    SLOPE,
    TRIES,
    Policy,
    collapse,
    compare_policies,
)

RUNS = 20


@pytest.fixture(scope="module")
def storms() -> dict[Policy, list[float]]:
    return {policy: [collapse(policy, seed).goodput() for seed in range(RUNS)] for policy in POLICIES}


@pytest.mark.proof
@pytest.mark.parametrize("policy", POLICIES)
def test_goodput_after_the_storm_is_as_published(storms: dict[Policy, list[float]], policy: Policy) -> None:
    """Within two standard errors of the difference of both means."""
    found = np.array(storms[policy])
    error = found.std(ddof=1) * np.sqrt(1 / RUNS + 1 / PUBLISHED_RUNS)
    assert abs(found.mean() - PUBLISHED[policy]) < 2 * error


@pytest.mark.proof
def test_without_backoff_a_run_recovers_in_full_or_not_at_all(storms: dict[Policy, list[float]]) -> None:
    """The published mean of 8.3 is that of 2 good runs in 10."""
    found = np.array(storms["no backoff"])
    stuck = found < 0.1 * RATE
    assert np.all(stuck | (found > 0.75 * RATE))
    assert 0.5 < stuck.mean() < 1
    assert min(storms["backoff and jitter"]) > 0.75 * RATE


@pytest.mark.slow
def test_before_the_spike_everybody_is_answered() -> None:
    """Little's law: the server has rate × service requests, each of which takes 10 ms more for each other."""
    storm = collapse("no backoff", 3)
    assert storm.goodput(5, 20) == pytest.approx(RATE, rel=0.1)
    assert storm.requests[:18].sum() == pytest.approx(storm.clients[:18].sum(), rel=0.01)
    busy = RATE * SERVICE / (1 - RATE * SLOPE)
    assert SERVICE + SLOPE * busy + 2 * DELAY < 2  # so no client gives up
    assert collapse("no backoff", 3).requests.tolist() == storm.requests.tolist()


@pytest.mark.proof
def test_a_storm_that_stays_asks_for_everything_as_often_as_it_can(storms: dict[Policy, list[float]]) -> None:
    seed = int(np.argmin(storms["no backoff"]))
    storm = collapse("no backoff", seed)
    assert storm.goodput() < 1
    assert storm.requests[60:75].sum() == pytest.approx(TRIES * storm.clients[54:75].mean() * 15, rel=0.15)


@pytest.mark.slow
def test_the_table_has_both_means() -> None:
    table = compare_policies(repetitions=2, seed=5)
    assert table["policy"].tolist() == list(POLICIES)
    assert table["published"].tolist() == [8.3, 39.9]
    for row in table.to_dict("records"):
        runs = [collapse(row["policy"], seed).goodput() for seed in (5, 6)]
        assert row["goodput"] == np.mean(runs)
        assert row["goodput_se"] == pytest.approx(abs(runs[0] - runs[1]) / 2)
        assert row["stuck"] == np.mean([run < 20 for run in runs])


def test_a_senseless_policy_is_refused() -> None:
    with pytest.raises(
        SettingsError, match="policy: choose one of no backoff, backoff and jitter, got 'hope'"
    ):
        collapse("hope")  # type: ignore[arg-type]
