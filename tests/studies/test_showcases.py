"""The snippets as written lose what was measured, in scenarios in which our transports lose nothing."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest

from chatlab.errors import SettingsError
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import WORLDS, run
from chatlab.messages import ConnectionStatus
from chatlab.settings import OutboxConfig
from chatlab.sim.as_written.settings import AnyAsWritten, SeedHeartbeat, SeedReconnect, SeedSSE, SeedWebSocket
from chatlab.sim.faults import ConnectionReset, HalfOpen, ServerDown
from chatlab.sim.people import PeopleConfig, ScriptEntry
from chatlab.sim.transport_settings import WebSocketSettings
from chatlab.studies.showcases import SHOWCASES, Shown, show, shown
from chatlab.transports.machine import Settle


@pytest.mark.parametrize("seed", range(3))
def test_one_stall_closes_every_later_connection_at_its_first_tick(seed: int) -> None:
    assert show("heartbeat", seed).attempts == SHOWCASES["heartbeat"].measured["attempts"] == 20
    assert show("heartbeat", seed, ours=True).attempts == 2


@pytest.mark.slow
def test_a_killed_server_costs_what_the_queue_drops_and_what_is_under_way() -> None:
    there = show("queue")
    assert there.lost == SHOWCASES["queue"].measured["lost"] == 525
    assert (there.sent, there.shown) == (1000, 475)
    ours = show("queue", ours=True)
    assert (ours.sent, ours.lost, ours.shown) == (1000, 0, 1000)


def test_our_transport_reports_what_its_queue_drops() -> None:
    scenario = SHOWCASES["queue"].scenario
    result = run(scenario.replace(transport=WebSocketSettings(outbox=OutboxConfig(max_size=100))))
    assert [result.metrics[name] for name in ("lost", "dropped", "pending")] == [0, 524, 0]
    silent = run(scenario).metrics
    assert [silent[name] for name in ("dropped", "pending", "acked")] == [0, 1000, 0]


@pytest.mark.proof
def test_a_long_poll_without_a_cursor_loses_what_comes_between_two_polls() -> None:
    shares = [show("long poll", seed).lost_share for seed in range(3)]
    # Each message is lost that comes within a round trip after the one that ended the poll: 1/11 of them.
    error = np.sqrt(1 / 11 * 10 / 11 / (3 * 2000))
    for wanted in (1 / 11, SHOWCASES["long poll"].measured["lost_share"]):
        assert abs(np.mean(shares) - wanted) < 4 * error
    assert show("long poll", ours=True).lost == 0


@pytest.mark.slow
def test_a_long_poll_without_a_cursor_loses_the_second_of_three() -> None:
    there = show("long poll, threes")
    assert (there.sent, there.lost) == (300, 100)
    assert there.lost == pytest.approx(SHOWCASES["long poll, threes"].measured["lost"], rel=0.05)
    ours = show("long poll, threes", ours=True)
    assert (ours.lost, ours.shown) == (0, 300)


@pytest.mark.slow
def test_short_polls_that_overlap_show_messages_again_and_in_disorder() -> None:
    runs = [show("short poll", seed) for seed in range(20)]
    measured = SHOWCASES["short poll"].measured
    assert all(there.lost == 0 for there in runs)
    assert np.mean([there.shown for there in runs]) == pytest.approx(measured["shown"], rel=0.15)
    assert np.mean([there.out_of_order for there in runs]) == pytest.approx(measured["out_of_order"], abs=1.5)
    ours = show("short poll", ours=True)
    assert (ours.shown, ours.lost, ours.out_of_order) == (20, 0, 0)


@pytest.mark.slow
def test_a_stream_that_was_answered_503_never_comes_back() -> None:
    there, ours = show("stream"), show("stream", ours=True)
    assert there.disconnected == 100
    assert there.shown < 0.2 * there.sent
    assert (ours.disconnected, ours.lost, ours.shown) == (0, 0, ours.sent)


@pytest.mark.parametrize("name", SHOWCASES)
def test_showcases_survive_the_way_into_a_file(name: str) -> None:
    showcase = SHOWCASES[name]
    assert Scenario.from_toml(showcase.scenario.to_toml()) == showcase.scenario
    assert showcase.question.endswith("?")
    assert set(showcase.measured) <= {*Shown.__struct_fields__, "lost_share"}
    assert type(showcase.ours).__struct_config__.tag == showcase.scenario.transport.kind[len("seed_") :]  # type: ignore[union-attr]


def chat(transport: Any, *faults: Any, **more: Any) -> Scenario:
    texts = tuple(ScriptEntry(at=float(at), person="ada", text=f"{at}") for at in range(5, 100, 10))
    people = PeopleConfig(count=2, script=texts)
    return Scenario(duration=150.0, people=people, transport=transport, faults=faults, **more)


def test_a_reset_leaves_a_timer_that_closes_healthy_connections() -> None:
    """No ping was open: the old interval itself is what sets `pongReceived` to false, at 30 s."""
    transport = SeedWebSocket(reconnect=SeedReconnect(base_delay=0.5))
    result = run(chat(transport, ConnectionReset(at=20.0)))
    (first, second, third, *_) = [
        span for span in result.statuses("ada") if span.status is ConnectionStatus.CONNECTED
    ]
    assert first.end == pytest.approx(20.04)
    assert second.end - second.start == pytest.approx(30.0)
    assert third.end - third.start == pytest.approx(30.0)
    assert shown(run(chat(WebSocketSettings(), ConnectionReset(at=20.0)))).attempts == 4  # 2 each


def test_without_a_heartbeat_a_dead_path_is_never_noticed() -> None:
    transport = SeedWebSocket(heartbeat=SeedHeartbeat(enabled=False))
    result = run(chat(transport, HalfOpen(at=20.0)))
    assert shown(result).attempts == 2
    assert result.statuses("ada")[-1].status is ConnectionStatus.CONNECTED


def test_a_disconnected_person_misses_messages() -> None:
    away = ServerDown(at=20.0, duration=1.5, people=("person-2",))
    quiet = SeedWebSocket(heartbeat=SeedHeartbeat(enabled=False))
    scenario = chat(quiet, away)
    scenario = scenario.replace(
        people=scenario.people.replace(
            script=(*scenario.people.script, ScriptEntry(at=22.0, person="ada", text="x"))
        )
    )
    there = run(scenario).metrics
    assert (there["lost"], there["delivered"]) == (1, 21)
    ours = run(scenario.replace(transport=WebSocketSettings())).metrics
    assert (ours["lost"], ours["delivered"]) == (0, 22)


def test_a_stream_comes_back_by_itself_and_says_that_it_has_not() -> None:
    result = run(chat(SeedSSE(), ServerDown(at=20.0, duration=4.0)))
    # The restart has made the CSRF token stale, which one message found out.
    assert (result.metrics["failed"], result.metrics["delivered"]) == (1, 18)
    last = result.statuses("ada")[-1]
    assert (last.status, last.end) == (ConnectionStatus.RECONNECTING, 150.0)


def test_a_posted_message_is_tried_once() -> None:
    result = run(chat(SeedSSE(), ServerDown(at=20.0, duration=10.0)))
    reasons = [
        effect.reason
        for step in result.steps("ada")
        for effect in step.effects
        if isinstance(effect, Settle) and effect.state == "failed"
    ]
    assert reasons == ["TypeError: refused: nobody accepts connections there", "ChatSendError: 403"]
    assert result.metrics["acked"] == 8


@pytest.mark.parametrize("settings", get_args(AnyAsWritten))
def test_only_the_model_world_has_them(settings: Any) -> None:
    with pytest.raises(
        SettingsError, match=r"transport.kind: 'seed_\w+' is the seed as written, .* choose '"
    ):
        settings().config(room="den")
    for world in WORLDS.keys() - {"model"}:
        with pytest.raises(SettingsError, match="the seed"):
            run(chat(settings()), world)
    with pytest.raises(SettingsError, match=r"transports\[0\]\.kind: choose one of websocket, sse"):
        Scenario.from_toml(
            f'transport.kind = "fallback"\n[[transport.transports]]\nkind = "{settings().kind}"'
        )
