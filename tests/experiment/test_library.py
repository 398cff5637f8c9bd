"""Each ready-made scenario runs, and confirms the claims of its comment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from chatlab.cli import app
from chatlab.errors import SettingsError
from chatlab.experiment.cells import with_settings
from chatlab.experiment.library import find_scenario, load_scenario, scenario_names, scenario_question
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.sim.transport_settings import SSESettings, TransportSettings, WebSocketSettings

CLAIMS = (
    "corporate_network",
    "deploy",
    "flaky_mobile",
    "idle_proxy",
    "nat_reboot",
    "retry_storm",
    "rolling_deploy",
    "rush_hour",
    "seed_heartbeat",
    "seed_stream",
    "sse_buffering",
    "thundering_herd",
    "token_endpoint",
)
"""The scenarios whose claims are tested below."""


def test_they_are_listed_with_their_questions() -> None:
    names = scenario_names()
    assert names == sorted(names)
    assert set(names) == set(CLAIMS)
    for name in names:
        assert load_scenario(name).name == name
        assert scenario_question(name).endswith("?"), name
    output = CliRunner().invoke(app, ["scenarios"]).stdout
    assert all(name in output for name in names)


def test_an_unknown_name_is_reported_with_the_choices() -> None:
    with pytest.raises(
        SettingsError,
        match=r"no scenario or file 'deplyo' \(did you mean 'deploy'\?\); choose one of corporate_",
    ):
        load_scenario("deplyo")


def test_a_file_goes_before_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_scenario("deploy") == load_scenario("deploy")
    Path("deploy").write_text('name = "mine"')
    assert find_scenario("deploy").name == "mine"
    with pytest.raises(SettingsError, match=r"no scenario or file 'other\.toml'"):
        find_scenario("other.toml")


@pytest.mark.slow
def test_the_command_takes_a_name() -> None:
    result = CliRunner().invoke(app, ["simulate", "nat_reboot"])
    assert result.exit_code == 0, result.output
    assert "nat_reboot in the model world" in result.stdout
    result = CliRunner().invoke(app, ["simulate", "nat_robot"])
    assert result.exit_code == 1
    assert "did you mean 'nat_reboot'?" in result.stderr


def with_reconnect(scenario: Scenario, **changes: Any) -> Scenario:
    transport = scenario.transport
    assert isinstance(transport, TransportSettings)
    return scenario.replace(transport=transport.replace(reconnect=transport.reconnect.replace(**changes)))


def figure(result: Run, name: str) -> float:
    value = result.metrics[name]
    assert value is not None
    return value


def flawless(result: Run) -> bool:
    """Whether no message was lost, repeated, reordered or given up."""
    return not any(
        result.metrics[name] for name in ("lost", "duplicated", "out_of_order", "dropped", "failed")
    )


def refusing(scenario: Scenario) -> Scenario:
    return scenario.replace(server=scenario.server.replace(overflow="refuse"))


@pytest.mark.proof
def test_a_deploy_loses_nothing_and_full_jitter_is_back_sooner() -> None:
    scenario = load_scenario("deploy")
    full, none = run(scenario, sample=0), run(with_reconnect(scenario, jitter="none"), sample=0)
    assert flawless(full)
    assert full.metrics["unrecovered"] == 0
    assert figure(full, "recovery_p50") < 3
    assert figure(full, "recovery_p99") < 15
    assert figure(none, "recovery_p99") < 5
    refused = run(refusing(with_reconnect(scenario, jitter="none")), sample=0)
    assert figure(refused, "recovery_p99") == pytest.approx(27, abs=3)


@pytest.mark.slow
def test_a_flaky_mobile_network_is_late_and_loses_nothing() -> None:
    result = run(load_scenario("flaky_mobile"), sample=0)
    assert flawless(result)
    assert figure(result, "latency_p50") < 0.5
    assert figure(result, "latency_p99") > 10


@pytest.mark.slow
@pytest.mark.parametrize(("interval", "mean"), [(30.0, 25.0), (10.0, 15.0)])
def test_a_nat_reboot_is_noticed_within_interval_and_timeout(interval: float, mean: float) -> None:
    scenario = load_scenario("nat_reboot")
    assert isinstance(scenario.transport, WebSocketSettings)
    heartbeat = scenario.transport.heartbeat.replace(interval=interval)
    count = scenario.people.count
    result = run(scenario.replace(transport=scenario.transport.replace(heartbeat=heartbeat)), sample=count)
    assert flawless(result)
    noticed = np.array(
        [
            next(span.end for span in result.statuses(person) if span.status == "connected") - 100.0
            for person in result.people
        ]
    )
    assert noticed.min() >= heartbeat.timeout - 0.1
    assert noticed.max() <= interval + heartbeat.timeout + 0.1
    assert noticed.mean() == pytest.approx(mean, abs=3.3 * interval / np.sqrt(12 * count))


@pytest.mark.proof
def test_a_rush_hour_fills_the_queue_and_a_longer_one_is_no_help() -> None:
    scenario = load_scenario("rush_hour")
    short = run(scenario, sample=0)
    assert short.metrics["queue_max"] == 200
    connected = np.array(short.series["connected"])
    # While the accept queue is full, connections are accepted at the accept rate; a few were given up.
    assert np.diff(connected[20:60]).max() == 40
    assert np.diff(connected[20:60]).mean() == pytest.approx(38, abs=1)
    assert connected[90] < 3000 == connected[95]
    long = run(scenario.replace(server=scenario.server.replace(backlog=600)), sample=0)
    assert long.metrics["queue_max"] == 600
    stuck = np.array(long.series["connected"])
    assert 2100 <= stuck[80] == stuck[-1] < 2110
    refused = run(refusing(scenario.replace(server=scenario.server.replace(backlog=600))), sample=0)
    assert refused.series["connected"][145] < 2150 < refused.series["connected"][-1]
    assert figure(long, "attempts") > figure(short, "attempts")


@pytest.mark.slow
def test_the_seeds_heartbeat_never_gets_over_a_stall() -> None:
    scenario = load_scenario("seed_heartbeat")
    there = run(scenario, sample=0)
    assert there.metrics["attempts"] == 20 * scenario.people.count
    assert figure(there, "lost") > 0
    ours = run(scenario.replace(transport=WebSocketSettings()), sample=0)
    assert flawless(ours)
    assert ours.metrics["attempts"] == 2 * scenario.people.count


@pytest.mark.slow
def test_the_seeds_streams_stay_away_after_a_503() -> None:
    scenario = load_scenario("seed_stream")
    there = run(scenario)
    assert there.series["connected"][-1] == 0
    assert all(there.statuses(person)[-1].status == "reconnecting" for person in there.people)
    assert max(np.flatnonzero(there.series["delivered"])) <= 60
    ours = run(scenario.replace(transport=SSESettings()), sample=0)
    assert flawless(ours)
    assert figure(ours, "recovery_p99") < 4
    assert ours.metrics["delivered"] == figure(ours, "sent") * 10


@pytest.mark.proof
def test_the_seeds_default_is_slow_and_leaves_four_in_ten_of_a_refused_herd_outside() -> None:
    scenario = load_scenario("thundering_herd")
    default = run(scenario, sample=0)
    assert figure(default, "recovery_p50") == pytest.approx(34, abs=1)
    assert default.series["connected"][50 + 70] < 1000 == default.series["connected"][50 + 80]
    refused = run(refusing(scenario), sample=0)
    assert 0.35 < 1 - refused.series["connected"][-1] / 1000 < 0.45
    full = run(with_reconnect(scenario, jitter="full"), sample=0)
    assert figure(full, "recovery_p50") == pytest.approx(13, abs=1)
    assert full.series["connected"][50 + 60] == 1000


@pytest.mark.slow
@pytest.mark.parametrize(("heartbeat", "cuts"), [({}, 0), ({"interval": 90.0}, 9), ({"enabled": False}, 9)])
def test_a_heartbeat_keeps_a_quiet_chat_through_an_idle_proxy(heartbeat: dict[str, Any], cuts: int) -> None:
    scenario = load_scenario("idle_proxy")
    transport = scenario.transport
    assert isinstance(transport, WebSocketSettings)
    transport = transport.replace(heartbeat=transport.heartbeat.replace(**heartbeat))
    result = run(scenario.replace(transport=transport), sample=0)
    assert result.metrics["attempts"] == 100 * (1 + cuts)


@pytest.mark.slow
def test_buffering_makes_an_event_stream_half_a_minute_late() -> None:
    scenario = load_scenario("sse_buffering")
    assert isinstance(scenario.transport, SSESettings)
    held, free = run(scenario, sample=0), run(scenario.replace(faults=()), sample=0)
    assert flawless(held)
    assert figure(held, "latency_p50") == pytest.approx(30, abs=5)
    assert figure(free, "latency_p50") == pytest.approx(0.1, abs=0.05)
    assert figure(free, "attempts") == 20
    assert figure(held, "attempts") > 200


@pytest.mark.proof
def test_a_retry_storm_stays_without_backoff() -> None:
    scenario = load_scenario("retry_storm")
    storm = run(scenario, sample=0)
    over = int(scenario.faults[0].end_at)
    assert storm.series["connected"][over - 11] == 400
    assert max(storm.series["connected"][over:]) == 0
    calm = run(with_reconnect(scenario, base_delay=1.0, backoff_multiplier=2.0, jitter="full"), sample=0)
    assert calm.metrics["unrecovered"] == 0
    assert figure(calm, "recovery_p99") < 60
    assert set(calm.series["connected"][over + 65 :]) == {400}


def changed(name: str, *settings: str) -> Run:
    """Run a ready-made scenario with other settings."""
    return run(with_settings(load_scenario(name), settings), sample=0)


def most_attempts(result: Run) -> int:
    return max(result.series["attempts"])


def away(result: Run) -> float:
    """Return the mean seconds for which a person was away."""
    count = result.scenario.people.count
    return result.scenario.duration - float(result.metrics["time_connected"] or 0) / count


SHORT = "duration=170"
"""Enough for a rolling deploy without a drain."""


@pytest.mark.slow
def test_a_drain_spreads_a_rolling_deploy() -> None:
    at_once = changed("rolling_deploy", SHORT)
    assert float(at_once.metrics["broken"] or 0) / 2000 == pytest.approx(1.70, abs=0.05)
    assert most_attempts(at_once) == pytest.approx(230, abs=20)
    assert at_once.metrics["queue_max"] == 5
    drained = changed("rolling_deploy", "faults[0].drain=20")
    assert most_attempts(drained) == pytest.approx(17, abs=3)
    assert away(drained) < away(at_once) < 3
    slow = changed("rolling_deploy", SHORT, "transport.reconnect.base_delay=20")
    assert most_attempts(slow) == pytest.approx(50, abs=8)
    assert away(slow) > 13


@pytest.mark.slow
def test_least_connections_sends_everybody_to_the_node_that_has_just_started() -> None:
    result = changed("rolling_deploy", SHORT, "server.balance=least_connections")
    assert result.metrics["broken"] == pytest.approx(1.05 * 2000, abs=20)
    assert away(result) > 10


@pytest.mark.slow
def test_a_fallback_gets_out_of_a_corporate_network() -> None:
    def late(*settings: str) -> float:
        """Return the mean seconds for which the office was away more than the others."""
        result = changed("corporate_network", *settings)
        assert result.metrics["lost"] == result.metrics["undelivered"] == 0
        assert result.series["connected"][-1] == 100
        office, others = (result.group_metrics[name] for name in ("office", "others"))
        return float(others["time_connected"] or 0) / 60 - float(office["time_connected"] or 0) / 40

    assert late() == pytest.approx(85, abs=3)
    assert late("transport.attempts_per_transport=1") == pytest.approx(21, abs=3)
    assert late('faults[0].how="403"') == pytest.approx(41, abs=3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "back"),
    [
        pytest.param((), 40, marks=pytest.mark.proof),
        (("server.needs[0].queue=20",), 1000),
        pytest.param(
            ("transport.reconnect.base_delay=60", "transport.reconnect.max_delay=60"),
            1000,
            marks=pytest.mark.proof,
        ),
        pytest.param(("transport.reconnect.base_delay=20",), 80, marks=pytest.mark.proof),
    ],
    ids=["as it is", "queue", "slow clients", "not slow enough"],
)
def test_a_token_endpoint_collapses_unless_it_refuses(settings: tuple[str, ...], back: int) -> None:
    connected = changed("token_endpoint", *settings).series["connected"]
    assert connected[29] == 1000
    assert connected[90] == pytest.approx(back, abs=5)
    assert connected[-1] == pytest.approx(back, abs=5)
