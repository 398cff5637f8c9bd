"""A live run becomes a scenario, which gives the same attempts in the model."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from chatlab import EmbeddedServer, OutgoingMessage, ReconnectConfig, Scenario, WebSocketConfig, run
from chatlab.dialects import Dialect
from chatlab.errors import SettingsError
from chatlab.faults import Blocked, FaultProxy, HalfOpen, HighLatency, ServerDown
from chatlab.live.client.kinds import make_config, make_transport
from chatlab.messages import StatusChange
from chatlab.settings import HeartbeatConfig
from chatlab.studies import LiveRecord, scenario_of
from chatlab.studies.live_record import LONGEST_TEXT, MOST_BYTES, MOST_STEPS, MOST_TEXT
from chatlab.studies.recorded import FOREIGN
from chatlab.trace import Step
from chatlab.transports.machine import Connect, Disconnect, Notify, Received, Send, Submit

CONFIG = WebSocketConfig(url="ws://ada:s3cret@127.0.0.1:1/ws?token=s3cret", sender="ada")


def recorded(*events: tuple[float, Any], **options: Any) -> LiveRecord:
    record = LiveRecord(options.pop("config", CONFIG), **options)
    for at, event in events:
        record.record(Step(at, "ada", event, ()))
    return record


def says(text: str) -> Submit:
    return Submit(OutgoingMessage(text=text))


def test_actions_and_times_of_messages_without_their_texts() -> None:
    record = recorded((100.0, Connect()), (101.23456, says("a sécret")), (103.0, Disconnect()), seed=7)
    made = scenario_of(record, until=105.4)
    scenario = made.scenario
    assert (scenario.seed, scenario.duration, scenario.network.latency) == (7, 6.0, 0.0005)
    script = [(entry.at, entry.person, entry.action, entry.text) for entry in scenario.people.script]
    assert script == [
        (0.0, "ada", "connect", ""),
        (1.235, "ada", "send", "x" * 9),
        (3.0, "ada", "disconnect", ""),
    ], "as long in bytes as it was"
    for text in (made.toml, made.python, str(made)):
        assert "s3cret" not in text
        assert "sécret" not in text
        assert text.startswith("# Recorded from a live connection of 5.4 s.\n")
    assert "letter x" in made.toml
    assert Scenario.from_toml(made.toml) == scenario
    names: dict[str, Any] = {}
    exec(made.python, names)  # The code is what is tested.
    assert names["scenario"] == scenario


def test_texts_on_request() -> None:
    record = recorded((0.0, Connect()), (1.0, says("a sécret")))
    made = scenario_of(record, texts=True, until=2.0)
    assert [entry.text for entry in made.scenario.people.script] == ["", "a sécret"]
    assert "letter x" not in made.toml
    assert "s3cret" not in made.toml


def test_long_texts_are_bounded() -> None:
    long = "W" * (LONGEST_TEXT + 10)
    record = recorded((0.0, Connect()), *((1.0, says(long)) for _ in range(MOST_TEXT // LONGEST_TEXT + 5)))
    made = scenario_of(record, texts=True, until=2.0)
    assert {len(entry.text) for entry in made.scenario.people.script[1:]} == {LONGEST_TEXT}
    assert made.scenario.people.script[-1].text.startswith("x"), "it isn't kept"
    assert "cut off" in made.toml


def test_a_message_before_the_connection_comes_first() -> None:
    script = scenario_of(recorded((5.0, says("hi")), (6.5, Connect())), until=8.0).scenario.people.script
    assert [(entry.at, entry.action) for entry in script] == [(0.0, "send"), (1.5, "connect")]


def test_nothing_can_not_be_a_scenario() -> None:
    for record, until in ((recorded(), 5.0), (recorded((5.0, Connect())), 5.0)):
        with pytest.raises(SettingsError, match="connect first"):
            scenario_of(record, until=until)


def test_what_the_model_does_not_know_is_said() -> None:
    class Odd(Dialect):
        name = "odd"

    config = make_config("fallback", "http://127.0.0.1:1", sender="ada", dialect=Odd())
    made = scenario_of(recorded((0.0, Connect()), config=config), until=2.0)
    assert made.notes[1:] == (
        FOREIGN,
        "The dialect was odd; the model's server speaks chatlab's own.",
    )


def test_a_crowd_has_the_same_settings_and_faults_and_time_to_come_back() -> None:
    made = scenario_of(recorded((0.0, Connect()), (1.0, says("hi")), seed=3), until=30.0)
    made = made._replace(
        scenario=made.scenario.replace(faults=(ServerDown(at=10.0, duration=5.0), Blocked(at=2.0)))
    )
    crowd = made.with_people(1000)
    assert (crowd.people.count, crowd.people.script, crowd.people.start) == (1000, (), "connected")
    assert (crowd.duration, crowd.transport, crowd.faults, crowd.seed) == (
        75.0,
        made.scenario.transport,
        made.scenario.faults,
        3,
    )
    assert crowd.name == "recorded with 1,000 people"
    with pytest.raises(SettingsError, match="count"):
        made.with_people(0)
    metrics = run(made.with_people(50).replace(faults=(ServerDown(at=10.0, duration=5.0),))).metrics
    assert metrics["unrecovered"] == 0
    assert metrics["broken"] == 50


def test_only_the_latest_steps_are_kept() -> None:
    record = recorded(*((float(at), says("x")) for at in range(MOST_STEPS + 5)))
    assert [step.at for step in record.steps] == [float(at) for at in range(5, MOST_STEPS + 5)]
    for at in range(8):
        record.record(Step(at, "ada", Received(1, "x" * (MOST_BYTES // 4)), (Send(1, "y" * 10),)))
    assert len(record.steps) == 3


async def test_a_live_run_gives_the_same_attempts_in_the_model() -> None:
    settings: dict[str, Any] = {
        "sender": "ada",
        "reconnect": ReconnectConfig(base_delay=0.2, max_delay=0.4, max_attempts=None, jitter="full"),
        "heartbeat": HeartbeatConfig(interval=0.5, timeout=0.3),
    }
    async with EmbeddedServer() as server, FaultProxy(server) as proxy:
        config = WebSocketConfig(url=proxy.rebase(server.ws_url), **settings)
        record = LiveRecord(config, proxy, seed=5)
        loop = asyncio.get_running_loop()
        proxy.play([HighLatency(at=0.0, duration=100.0, latency=0.01)])
        await asyncio.sleep(0.05)
        async with make_transport(config, record=record.record, uniform=record.uniform, loop="current"):
            proxy.play(
                [
                    ServerDown(at=0.3, duration=1.0),
                    HalfOpen(at=2.2, people=("you",)),
                    HalfOpen(at=0.4, people=("eve",)),
                ]
            )
            await asyncio.sleep(4.0)
            now = loop.time()
            scenario = scenario_of(record, until=now).scenario
    assert [fault.kind for fault in scenario.faults] == ["latency", "server_down", "half_open"]
    assert scenario.faults[0].at == 0.0
    assert scenario.faults[0].end_at == scenario.duration, "it was under way"
    assert record.began_at is not None
    result = run(scenario)
    live = [at - record.began_at for at in record.attempts(now)]
    spans = result.statuses("ada")
    predicted = [at for span in spans for at in span.attempts if at < now - record.began_at]
    assert len(live) > 3
    assert len(live) == pytest.approx(len(predicted), abs=2), "a busy machine is late"
    waited = delays(record.changes)
    drawn = delays((step.at, effect.change) for step in result.steps() for effect in changes_of(step))
    common = min(len(waited), len(drawn))
    assert common > 1
    assert waited[:common] == pytest.approx(drawn[:common]), "the same random numbers"


def changes_of(step: Step) -> list[Notify]:
    return [effect for effect in step.effects if isinstance(effect, Notify)]


def delays(changes: Iterable[tuple[float, StatusChange]]) -> list[float]:
    """Return the delays before the attempts."""
    return [change.retry_at - at for at, change in changes if change.retry_at is not None]
