"""Slow motion: a conversation in the wire world, paced or stepped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ipywidgets.widgets.widget import _instances

from chatlab import HeartbeatConfig, Scenario, SettingsError, SlowMotion, make_config, run
from chatlab.live.client.kinds import TITLES
from chatlab.sim.faults import ConnectionReset, HalfOpen
from chatlab.sim.faults.phrases import read_faults
from chatlab.sim.people import PeopleConfig, ScriptEntry
from chatlab.sim.transport_settings import WebSocketSettings, settings_of
from chatlab.widgets import slow_motion
from chatlab.widgets.acts import with_faults, with_text, without_faults
from tests.sizes import rows
from tests.widgets.comms import View
from tests.widgets.test_faults import until

SCENARIO = Scenario(
    duration=60.0,
    seed=3,
    people=PeopleConfig(
        count=2,
        script=(
            ScriptEntry(at=2.0, person="ada", text="Hello"),
            ScriptEntry(at=5.0, person="bob", text="Hi"),
        ),
    ),
    transport=WebSocketSettings(heartbeat=HeartbeatConfig(interval=10.0, timeout=4.0)),
    faults=(HalfOpen(at=25.0, duration=15.0),),
)


class Stopped:
    """A wall clock that a test moves."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def wall() -> Stopped:
    return Stopped()


@pytest.fixture
def slow(wall: Stopped) -> Iterator[SlowMotion]:
    """Yield a conversation at its beginning, on a clock that the test moves."""
    slow = SlowMotion(SCENARIO, "ada", name="test")
    slow._clock._time = wall
    yield slow
    slow.close()


def texts(slow: SlowMotion) -> list[tuple[str, str]]:
    return [(row["sender"], row["text"]) for row in slow.messages.rows() if row["kind"] == "message"]


def kinds(slow: SlowMotion) -> list[str]:
    return [row["kind"] for row in slow.frames.rows()]


def status(slow: SlowMotion) -> str:
    return str(slow.badge._snapshot()["status"])


def shows(slow: SlowMotion, words: str) -> None:
    until(lambda: words in slow.words.value)


def computed(slow: SlowMotion) -> None:
    """Wait until the run is computed again, and shown."""
    until(lambda: not slow._pending)
    shown = slow._playback, slow._playback.present(slow.now)
    until(lambda: slow._views._going and slow._views._going[0] == shown)


def test_next_stops_between_ping_and_pong_and_back_before_it(slow: SlowMotion) -> None:
    slow.jump(10.0)
    slow.next()
    shows(slow, "10.160 s: to the server: ping 1.")
    assert kinds(slow)[-1] == "ping"
    slow.next()
    shows(slow, "10.240 s: from the server: pong 1.")
    assert kinds(slow)[-1] == "pong"
    slow.back()
    shows(slow, "10.160 s")
    assert kinds(slow)[-1] == "ping", "the pong hasn't come yet"
    assert "10.2" not in slow.frames.document("jsonl")


def test_each_moment_shows_what_the_person_knows_then(slow: SlowMotion) -> None:
    shows(slow, "0.000 s: connecting, to the server: open WebSocket.")
    assert (status(slow), texts(slow)) == ("connecting", [])
    slow.jump(2.03)
    shows(slow, "2.000 s: sends “Hello”")
    assert [(row["state"], row["at"]) for row in slow.messages.rows()] == [("sent", 2000.0)]
    assert (status(slow), slow.badge._snapshot()["waiting"]) == ("connected", 1)
    slow.jump(6.0)
    shows(slow, "5.080 s: from the server: bob")
    assert texts(slow) == [("ada", "Hello"), ("bob", "Hi")]
    assert slow.messages.rows()[0]["state"] == "acked"
    assert slow.badge._snapshot()["waiting"] == 0
    slow.jump(26.0)
    shows(slow, "25.000 s: half open begins.")
    assert slow.controls.under_way.value == "Under way: half open."
    (lane,) = slow.timeline._snapshot()["lanes"]
    assert lane["name"] == "ada"
    assert [mark["label"] for mark in lane["marks"]] == ["attempt", "half open"]
    assert [(span["status"], span["end"]) for span in lane["spans"]] == [
        ("connecting", 0.16),
        ("connected", None),
    ]
    slow.jump(34.5)
    shows(slow, "34.160 s: retries in")
    badge = slow.badge._snapshot()
    retry_at = slow._playback.change(34.5).retry_at
    assert retry_at is not None
    assert (badge["status"], badge["rate"]) == ("reconnecting", 0.0)
    assert badge["retry_in"] == pytest.approx(retry_at - 34.5)
    slow.jump(0.0)
    shows(slow, "0.000 s")
    assert (texts(slow), status(slow)) == ([], "connecting")


def test_steps_lead_from_the_beginning_to_the_end_and_back(slow: SlowMotion) -> None:
    seen = [slow.now]
    while slow.now < 60.0:
        slow.next()
        assert slow.now > seen[-1]
        seen.append(slow.now)
    slow.next()
    assert slow.now == 60.0
    shows(slow, "60.000 s: the end.")
    for at in reversed(seen[:-1]):
        slow.back()
        assert slow.now == at
    slow.back()
    assert slow.now == 0.0
    assert {25.0, 40.0} < set(seen), "a fault's begin and end are moments"
    assert len(seen) == len(set(seen))


def test_time_runs_at_the_chosen_speed_and_stops_at_the_end(slow: SlowMotion, wall: Stopped) -> None:
    slow.rate.value = 0.01
    slow._running.click()
    until(lambda: slow._running.description == "Pause")
    wall.at += 100
    assert slow.now == 1.0
    until(lambda: slow.time.value == 1.0)
    shown = slow.timeline._snapshot()
    assert (shown["rate"], shown["until"]) == (0.01, 60.0)
    slow._running.click()
    until(lambda: slow._running.description == "Resume")
    wall.at += 100
    assert slow.now == 1.0
    slow.rate.value = 1.0
    slow.resume()
    wall.at += 60
    until(lambda: slow._running.description == "Resume")
    assert slow.now == 60.0
    assert slow.flush() is None, "nothing changes any more"
    slow.resume()
    assert slow.now == 0.0, "from the beginning again"
    assert slow._clock.running
    slow.next()
    assert not slow._clock.running, "a step stops time"


def test_the_slider_follows_time_and_leads_to_a_time(slow: SlowMotion) -> None:
    slow.time.value = 10.2
    shows(slow, "10.160 s: to the server: ping 1.")
    assert slow.now == 10.2
    slow.next()
    until(lambda: slow.time.value == 10.24)
    assert slow.now == pytest.approx(10.24, abs=1e-9), "and isn't set back by the slider's rounding"


def test_a_message_written_between_two_frames_is_sent_then(slow: SlowMotion) -> None:
    slow.jump(10.0)
    slow.next()
    shows(slow, "ping 1")
    before = slow.frames.rows()
    View(slow.messages).say(type="send", text="Still there?")
    computed(slow)
    assert slow.now == 10.161
    assert slow.frames.rows()[: len(before)] == before, "what was shown stays"
    assert (texts(slow)[-1], slow.messages.rows()[-1]["state"]) == (("ada", "Still there?"), "sent")
    assert slow.scenario.people.script[-1] == ScriptEntry(at=10.161, person="ada", text="Still there?")
    slow.jump(59.0)
    computed(slow)
    assert run(slow.scenario, "wire").steps("ada")[-1] == slow._playback.steps(60.0)[-1]
    assert texts(slow).count(("ada", "Still there?")) == 1


@pytest.mark.parametrize("kind", rows(TITLES, "websocket"))
def test_no_act_changes_the_steps_before_it(kind: str) -> None:
    transport = settings_of(make_config(kind, "http://127.0.0.1/"))
    scenario = SCENARIO.replace(transport=transport, people=SCENARIO.people.replace(send_rate=0.1))
    faults = read_faults("down for 3; latency 0.3 jitter 0.1 for 5; reset at 9")
    steps = run(scenario, "wire").steps("ada")
    for at in (5.041, 30.3):
        for changed in (
            with_text(scenario, at, "ada", "now"),
            with_faults(scenario, at, faults),
            without_faults(scenario, at),
        ):
            others = run(changed, "wire").steps("ada")
            assert changed != scenario
            assert [step for step in others if step.at < at] == [step for step in steps if step.at < at]


def test_faults_begin_at_the_present_time_and_end_on_request(slow: SlowMotion, wall: Stopped) -> None:
    slow.jump(12.0)
    slow.resume()
    slow.play("down for 5; reset at 20")
    computed(slow)
    assert slow.now == 12.001
    assert slow._clock.running, "time goes on after that"
    assert [(fault.kind, fault.at) for fault in slow.scenario.faults] == [
        ("half_open", 25.0),
        ("server_down", 12.001),
        ("connection_reset", 32.001),
    ]
    slow.send("Is anybody there?")
    slow.send("Hello?")
    computed(slow)
    assert slow._clock.running, "after several actions, too"
    wall.at += 1
    until(lambda: status(slow) == "reconnecting")
    assert [text for _, text in texts(slow)][-2:] == ["Is anybody there?", "Hello?"]
    assert slow.controls.under_way.value == "Under way: server down."
    slow.controls.ending.click()
    computed(slow)
    (ended,) = slow.scenario.faults
    assert ended.kind == "server_down"
    assert ended.end_at == pytest.approx(13.002, abs=0.01)
    slow.pause()
    slow.play([ConnectionReset(at=1.0)])
    computed(slow)
    slow.end_faults()
    computed(slow)
    slow.jump(30.0)
    until(lambda: status(slow) == "connected")
    assert slow.controls.ending.disabled


def test_what_can_not_be_done_is_said_and_changes_nothing(
    slow: SlowMotion, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow.controls.script.value = "dwon"
    slow.controls.playing.click()
    shows(slow, "Not played: there is no fault &#x27;dwon&#x27;; did you mean down?")
    View(slow.messages).say(type="send", text="W" * 70_000)
    shows(slow, "Not sent: ")
    assert slow.scenario == SCENARIO
    slow.jump(60.0)
    shows(slow, "60.000 s")
    View(slow.messages).say(type="send", text="too late")
    shows(slow, "Not sent: the conversation is over: go back to an earlier time.")
    slow.jump(1.0)
    monkeypatch.setattr(slow_motion, "run", lambda *_, **__: 1 / 0)
    slow.send("now")
    shows(slow, "Not done: ZeroDivisionError")
    assert (slow.scenario, slow.now) == (SCENARIO, 1.0)
    slow.next()
    shows(slow, "2.000 s: sends “Hello”")


def test_a_lost_message_is_sent_again_on_request(slow: SlowMotion) -> None:
    slow.jump(3.0)
    View(slow.messages).say(type="retry", id="ada-1")
    computed(slow)
    View(slow.messages).say(type="retry", id="no such row")
    assert texts(slow) == [("ada", "Hello"), ("ada", "Hello")]


def test_the_diagram_has_the_frames_so_far(slow: SlowMotion) -> None:
    slow.jump(10.0)
    slow.next()
    shows(slow, "ping 1")
    until(lambda: "ping 1" in slow.picture.alt)
    assert "pong" not in slow.picture.alt
    assert slow.picture.png.startswith(b"\x89PNG")


def test_a_saved_notebook_shows_the_frames_as_text(slow: SlowMotion) -> None:
    slow.jump(10.2)
    shown = slow._repr_mimebundle_()["text/plain"].splitlines()
    assert shown[0] == "Slow motion of ada, at 10.200 s"
    assert shown[-1] == "10.160 s to the server: ping 1"


def test_one_of_many_is_watched() -> None:
    slow = SlowMotion(Scenario(duration=10.0, people=PeopleConfig(count=5, send_rate=0.1)), "person-3")
    assert slow.person == "person-3"
    slow.jump(10.0)
    until(lambda: "person-3" in {sender for sender, _ in texts(slow)} or len(texts(slow)) > 2)
    slow.close()
    with pytest.raises(SettingsError, match="person: choose from person-1, got 'eve'"):
        SlowMotion(Scenario(), "eve")


def test_another_of_the_same_name_replaces_it_and_nothing_is_left() -> None:
    before = set(_instances)
    first = SlowMotion(Scenario(duration=5.0), name="again")
    first.resume()
    second = SlowMotion(Scenario(duration=5.0), name="again")
    assert first.comm is None
    assert first.flush() is None
    first.close()
    second.close()
    assert set(_instances) == before


def test_a_scenario_that_cannot_run_on_the_wire_keeps_the_old_one() -> None:
    slow = SlowMotion(Scenario(duration=5.0), name="kept")
    with pytest.raises(SettingsError, match="the wire world holds at most"):
        SlowMotion(Scenario(people=PeopleConfig(count=20_000)), name="kept")
    assert slow.comm is not None
    slow.close()
