"""The comparison of two runs: the same, or a description of the first difference."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs
from typer.testing import CliRunner

from chatlab import compare, run
from chatlab.cli import app
from chatlab.experiment.align import Tolerance, align
from chatlab.experiment.compare import tolerance_of
from chatlab.experiment.moments import Moment
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.sim.faults import ServerDown
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.model import Model, Part
from chatlab.sim.path import Paths
from chatlab.sim.people import PeopleConfig, ScriptEntry
from chatlab.trace import Step
from chatlab.transports.machine import Close, Event, Opened, Pong, Received, ReceivedBytes

SCRIPT = (ScriptEntry(at=2.1, person="ada", text="hello"), ScriptEntry(at=9.3, person="bob", text="<b>&"))
SCENARIO = Scenario(
    name="small",
    duration=20.0,
    people=PeopleConfig(count=2, script=SCRIPT),
    faults=(ServerDown(at=4.1, duration=2.0),),
)


@pytest.fixture(scope="module")
def model() -> Run:
    return run(SCENARIO)


def later(result: Run, seconds: float, since: float = 0.0, **changes: object) -> Run:
    """Return the same run with all steps after `since` delayed."""
    trace = [
        structs.replace(step, at=step.at + seconds) if step.at >= since else step for step in result.trace
    ]
    return structs.replace(result, trace=trace, **changes)


def test_a_run_is_equal_to_itself(model: Run) -> None:
    compared = compare(model, run(SCENARIO))
    assert compared
    assert compared.first is None
    assert (compared.people, compared.apart) == (2, 0.0)
    assert compared.steps == len(model.trace)
    assert str(compared) == (
        f"model and model agree: 2 people, {len(model.trace)} steps, at most 0 ms apart (allowed: 1 ms)"
    )
    assert "✓ model and model agree" in compared._repr_html_()
    assert repr(compared) == str(compared)


def test_times_may_differ_by_a_millisecond(model: Run) -> None:
    assert compare(model, later(model, 0.0009))
    compared = compare(model, later(model, 0.5, since=4.0, world="wire"))
    assert not compared
    first = compared.first
    assert first is not None
    assert first.a is not None
    assert first.b is not None
    assert (first.person, first.a.text, first.b.at) == ("ada", first.b.text, first.a.at + 0.5)
    said = str(compared).splitlines()
    number = [step.at >= 4.0 for step in model.steps("ada")].index(True) + 1
    further = sum(step.at >= 4.0 for step in model.trace) - 1
    assert said[0] == f"model and wire differ, first in step {number} of ada; {further} more differences"
    assert said[1].startswith(
        f"  model: at {first.a.at:.3f} s, link 1 ends (closed 1006: the connection was lost)"
    )
    assert said[2:] == ["  wire: the same, 500 ms later (allowed: 1 ms)"]
    assert "  model: the same, 2.5 s earlier (" in str(compare(later(model, 2.5), model))
    assert "the same, 1,000 s later (" in str(compare(model, later(model, 1000.0)))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "0 ms"),
        (0.0101, "10.1 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1 s"),
        (12.34, "12.3 s"),
        (1234.5, "1,234 s"),
    ],
)
def test_a_tolerance_has_three_digits(seconds: float, words: str) -> None:
    assert str(Tolerance(seconds)) == words


def test_a_long_step_is_cut_to_a_line_around_what_differs(model: Run) -> None:
    def told(frame: str) -> Run:
        return structs.replace(model, people=["ada"], trace=[Step(1.0, "ada", Received(1, frame), ())])

    same = "x" * 500
    first, *lines = str(compare(told(f"{same} one {same}"), told(f"{same} two {same}"))).splitlines()
    assert first == "model and model differ, first in step 1 of ada"
    assert lines == [f"  model: at 1.000 s, …{'x' * 29} {word} {'x' * 86}…" for word in ("one", "two")]
    short, gone = str(compare(told(f"one {same}"), told("two"))).splitlines()[1:]
    assert short.startswith("  model: at 1.000 s, link 1 receives one xxx")
    assert gone == "  model: at 1.000 s, link 1 receives two"


def test_the_first_difference_is_the_earliest_of_all_people(model: Run) -> None:
    begins = {"ada": 9.0, "bob": 4.0}
    trace = [structs.replace(s, at=s.at + (s.at >= begins[s.person]) / 2) for s in model.trace]
    compared = compare(model, structs.replace(model, trace=trace))
    assert compared.first is not None
    assert (model.people, compared.first.person) == (["ada", "bob"], "bob")
    assert {difference.person for difference in compared.differences} == {"ada", "bob"}
    times = [difference.at for difference in compared.differences]
    assert times == sorted(times)


def test_a_step_of_only_one_run_is_reported(model: Run) -> None:
    gone = [step for step in model.trace if not (step.person == "bob" and 9.2 < step.at < 9.4)]
    assert len(gone) < len(model.trace)
    compared = compare(model, structs.replace(model, trace=gone, world="wire"))
    assert "wire: no such step" in str(compared)
    assert "sends bob-1: “<b>&”" in str(compared)
    shown = compared._repr_html_()
    assert "✗ model and wire differ" in shown
    assert "&lt;b&gt;&amp;" in shown
    assert "<b>&" not in shown
    other_way = compare(structs.replace(model, trace=gone, world="wire"), model)
    assert other_way.first is not None
    assert other_way.first.a is None


def of(model: Run, *steps: tuple[float, Event]) -> Run:
    """Return a run of which only these steps of one person are known."""
    return structs.replace(
        model, people=["ada"], trace=[Step(at, "ada", event, (Close(1, 1000, ""),)) for at, event in steps]
    )


def test_steps_of_one_instant_have_no_order(model: Run) -> None:
    one = of(model, (1.0, Opened(1)), (1.0, Pong(1, 1)), (1.0, Received(1, "a")))
    other = of(model, (1.0, Received(1, "a")), (1.0, Opened(1)), (1.0, Pong(1, 1)))
    assert compare(one, other)
    assert not compare(one, of(model, (1.0, Received(1, "b")), (1.0, Opened(1)), (1.0, Pong(1, 1))))


def test_order_matters_between_instants(model: Run) -> None:
    one = of(model, (1.0, Opened(1)), (1.0004, Pong(1, 1)), (1.0008, Received(1, "a")))
    other = of(model, (1.0, Pong(1, 1)), (1.0004, Received(1, "a")), (1.0008, Opened(1)))
    first, a, b = str(compare(one, other)).splitlines()
    assert first == "model and model differ, first in step 1 of ada"
    assert a == "  model: at 1.000 s, link 1 opens; closes link 1 (1000)"
    assert b == "  model: the same, 2 steps later"
    assert str(compare(other, one)).endswith("the same, 2 steps earlier")
    near = of(model, (1.0, Pong(1, 1)), (1.0004, Opened(1)), (1.0008, Received(1, "a")))
    assert str(compare(one, near)).endswith("the same, 1 step earlier")


def test_only_people_in_both_runs_are_compared(model: Run) -> None:
    alone = structs.replace(model, people=["bob"], trace=model.steps("bob"))
    compared = compare(model, alone)
    assert compared
    assert compared.people == 1
    assert "agree: 1 of 2 people" in str(compared)


def test_the_pieces_of_a_body_do_not_matter(model: Run) -> None:
    opened = Step(1.0, "ada", Opened(1), ())
    whole = [opened, Step(1.2, "ada", ReceivedBytes(1, b"one two"), ())]
    cut = [
        opened,
        Step(1.2, "ada", ReceivedBytes(1, b"one "), ()),
        Step(1.2, "ada", ReceivedBytes(1, b"two"), ()),
    ]
    slow = [*cut[:2], Step(1.4, "ada", ReceivedBytes(1, b"two"), ())]
    people = ["ada"]
    one, two, three = (structs.replace(model, people=people, trace=trace) for trace in (whole, cut, slow))
    assert compare(one, two)
    assert not compare(one, three)


def test_a_live_run_is_compared_by_what_people_see(model: Run) -> None:
    live = later(model, 0.004, world="live", lateness=0.0)
    assert compare(model, live)
    assert str(compare(model, live)).endswith(
        "at most 4 ms apart (allowed: 5 ms, including the live loop's lateness of 0 ms)"
    )
    ada = [step for step in model.trace if isinstance(step.event, Opened)]
    without = [step for step in model.trace if step not in ada]
    assert not compare(model, structs.replace(live, trace=without))


def test_a_live_run_may_be_as_late_as_its_loop(model: Run) -> None:
    late = later(model, 0.05, since=9.0, world="live", lateness=0.0, time_scale=10.0)
    assert not compare(model, late)
    assert "50 ms later (allowed: 5 ms)" in str(compare(model, late))
    later_loop = structs.replace(late, lateness=0.1)
    assert compare(model, later_loop)
    assert str(tolerance_of(later_loop, model)) == "105 ms, including the live loop's lateness of 100 ms"
    assert tolerance_of(later_loop, later_loop).seconds == pytest.approx(0.205)


def test_a_live_run_of_unknown_lateness_has_a_wide_tolerance(model: Run) -> None:
    live = later(model, 0.04, world="live")
    assert compare(model, live)
    late = later(model, 1.2, since=9.0, world="live")
    assert not compare(model, late)
    assert compare(model, structs.replace(late, time_scale=20.0))
    assert str(tolerance_of(model, live)) == "50 ms + 5%, because the live loop's lateness wasn't measured"


def test_steps_within_the_tolerance_have_no_order() -> None:
    a = [Moment(1, 1.0, "one"), Moment(2, 1.2, "two"), Moment(3, 5.0, "three")]
    b = [Moment(1, 1.0, "two"), Moment(2, 1.2, "one"), Moment(3, 5.0, "three")]
    together, unlike = align(a, b, Tolerance(0.5))
    assert (len(together), unlike) == (3, [])
    for seconds in (0.1, 0.001):
        together, [(one, other)] = align(a, b, Tolerance(seconds))
        assert len(together) == 2
        assert one is not None
        assert other is not None
        assert one.text == other.text


def test_steps_after_a_runs_end_are_no_difference(model: Run) -> None:
    last = model.steps()[-1]
    ended = Step(19.9999, "ada", last.event, last.effects)
    assert compare(model, structs.replace(model, trace=[*model.trace, ended]))
    assert not compare(model, structs.replace(model, trace=[*model.trace, structs.replace(ended, at=19.9)]))


def test_worlds_of_one_scenario_agree() -> None:
    wire = run(SCENARIO, "wire")
    assert wire.world == "wire"
    assert compare(run(SCENARIO), wire), str(compare(run(SCENARIO), wire))


@pytest.mark.slow
def test_the_command_exits_with_what_it_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, plot = tmp_path / "small.toml", tmp_path / "small.png"
    SCENARIO.save(file)
    result = CliRunner().invoke(app, ["compare", str(file), "--plot", str(plot)])
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("model and wire agree: 2 people")
    assert plot.read_bytes().startswith(b"\x89PNG")

    monkeypatch.setattr("chatlab.experiment.worlds.model_world.find_model", lambda *, fast: _ShortModel)
    result = CliRunner().invoke(app, ["compare", str(file), "--worlds", "model, wire"])
    assert result.exit_code == 1
    assert "model and wire differ, first in step 2 of ada" in result.stdout

    result = CliRunner().invoke(app, ["compare", str(file), "--worlds", "model,wire,model"])
    assert result.exit_code == 1, "one that agrees makes up for none that differs"
    assert "model and wire differ" in result.stdout
    assert "model and model agree" in result.stdout


class _ShortModel(Model):
    def _make_paths(self, part: Part) -> Paths:
        return Paths(NetworkConfig(latency=0.01), self._streams)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("worlds", "reason"), [("model", "give two or more"), ("model,mars", "there is no 'mars'; choose one of")]
)
def test_the_command_says_what_it_needs(worlds: str, reason: str) -> None:
    result = CliRunner().invoke(app, ["compare", "nat_reboot", "--worlds", worlds])
    assert result.exit_code == 2
    assert reason in result.stderr
