"""Closed forms of a service of many nodes, in the model.

Source: FACTS 13. Standard errors are those of binomial counts, or are measured over runs.
"""

from __future__ import annotations

from math import log, sqrt

import numpy as np
import pytest

from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.settings import HeartbeatConfig, ReconnectConfig
from chatlab.sim.balance import Balance
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.faults import RollingRestart
from chatlab.sim.latency import LogNormal, NetworkConfig
from chatlab.sim.people import PeopleConfig
from chatlab.sim.transport_settings import WebSocketSettings

DRAIN, DOWN = 30.0, 5.0
BACK = ReconnectConfig(jitter="full", base_delay=0.5, max_delay=0.5, max_attempts=None)


def restarted(people: int, nodes: int, balance: Balance, seed: int = 1) -> Run:
    """Return a rolling restart after which everybody is back, with a pause long enough for that."""
    restart = RollingRestart(at=20.0, drain=DRAIN, down=DOWN)
    return run(
        Scenario(
            seed=seed,
            duration=restart.ends_at(nodes) + 20.0,
            people=PeopleConfig(count=people, arrive_over=10.0, rooms=people),
            transport=WebSocketSettings(reconnect=BACK, heartbeat=HeartbeatConfig(enabled=False)),
            network=NetworkConfig(latency=LogNormal(median=0.04, p99=0.2)),
            server=ServerConfig(nodes=nodes, balance=balance),
            faults=(restart,),
        ),
        sample=0,
    )


def disconnections(nodes: int) -> float:
    """Return how often a rolling restart disconnects each client whose node is random."""
    return (nodes - 1) / nodes * ((nodes / (nodes - 1)) ** nodes - 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("people", "nodes"),
    [(600, 4), (2_000, 20), pytest.param(50_000, 20, marks=pytest.mark.proof)],
)
def test_a_random_balancer_disconnects_each_client_more_than_once(people: int, nodes: int) -> None:
    """The standard deviation of one client's number is below 1: at the k-th node it is a Bernoulli variable,
    and a client that was hit is elsewhere, so later ones are correlated weakly. Four standard errors."""
    result = restarted(people, nodes, "random")
    ended = result.nodes["disconnected"]
    assert result.metrics["attempts"] == people + ended.sum()
    assert abs(ended.sum() / people - disconnections(nodes)) < 4 / sqrt(people)
    first, last = ended[1] / people, ended[nodes] / people
    assert abs(first - 1 / nodes) < 4 * sqrt(1 / nodes / people)
    grown = (nodes / (nodes - 1)) ** (nodes - 1) / nodes
    assert abs(last - grown) < 4 * sqrt(grown / people)


def test_the_figures_that_the_operator_asks_for() -> None:
    assert disconnections(20) == pytest.approx(1.70, abs=0.005)
    assert pytest.approx(2.65, abs=0.005) == (20 / 19) ** 19


@pytest.mark.slow
@pytest.mark.parametrize("people", [1_000, pytest.param(50_000, marks=pytest.mark.proof)])
def test_least_connections_disconnects_1_and_1_nth_times(people: int) -> None:
    """Node 1 is hit with N/n. Its clients spread evenly, so each later one has N/(n - 1); the last ones go
    to the empty nodes. Nothing is random but the moments: some clients are still away as others come."""
    nodes = 20
    result = restarted(people, nodes, "least_connections")
    ended = result.nodes["disconnected"]
    assert ended.sum() / people == pytest.approx(1 + 1 / nodes, abs=0.01)
    assert ended[1] == people / nodes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("people", "nodes"), [(2_000, 20), pytest.param(100_000, 500, marks=pytest.mark.proof)]
)
def test_of_two_choices_the_fullest_node_is_hardly_above_the_mean(people: int, nodes: int) -> None:
    """The fullest is ln ln n / ln 2 + O(1) above the mean, a random one sqrt(2 N/n · ln n).

    Source: Azar, Broder, Karlin, Upfal: Balanced allocations; Berenbrink et al. for N > n.
    """

    def above(balance: Balance) -> float:
        arrivals = Scenario(
            duration=20.0,
            people=PeopleConfig(count=people, arrive_over=10.0, rooms=people),
            server=ServerConfig(nodes=nodes, balance=balance),
            network=NetworkConfig(latency=LogNormal(median=0.04, p99=0.2)),
        )
        return float(run(arrivals, sample=0).nodes["connected"].max() - people / nodes)

    assert above("two_choices") <= log(log(nodes)) / log(2) + 3
    assert above("random") > 2 * above("two_choices")


@pytest.mark.slow
@pytest.mark.parametrize("people", [3_000, pytest.param(60_000, marks=pytest.mark.proof)])
def test_a_drain_gives_an_even_number_of_disconnections_a_second(people: int) -> None:
    """N/(n·D) at the first node: each second within one of the mean, as turns are even."""
    nodes = 5
    result = restarted(people, nodes, "round_robin")
    assert result.nodes["disconnected"][1] == people / nodes
    table = result.nodes_per_second()
    left = table[table["node"] == 1].set_index("second")["connected"].to_numpy()
    falls = -np.diff(left)[19 : 19 + int(DRAIN)]
    assert abs(falls - people / nodes / DRAIN).max() <= 1
    assert falls.sum() == people / nodes
