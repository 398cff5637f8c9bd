"""`find` ends at the limit: against closed forms, bisection by hand, and made-up metrics of every shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, sin
from typing import Any

import pytest
from pandas.testing import assert_frame_equal

from chatlab import Found, find, run
from chatlab.errors import SettingsError
from chatlab.experiment.bounds import Bound, check_has_values, read_bound
from chatlab.experiment.find import _answer
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.search import Search
from chatlab.experiment.sweep import processes
from chatlab.experiment.trials import Setting, Trials, as_toml, grid, read_setting, rounded
from chatlab.presets import preset
from chatlab.settings import ReconnectConfig

HERD = Scenario.from_toml(
    """
    duration = 40.0
    people.count = 40
    network.latency = 0.001
    server = { accept_rate = 20.0, backlog = 1000 }
    [transport]
    connect_timeout = 100.0
    [transport.reconnect]
    base_delay = 0.0
    [[faults]]
    kind = "connection_reset"
    at = 10.0
    """
)
"""40 people lose their connections at once, retry at once, and wait in the accept queue."""


def quietly(vary: Any, **more: Any) -> Found:
    return find(HERD, vary, progress=False, **{"seeds": [1, 2], **more})


# Bounds and settings


@pytest.mark.parametrize(
    ("text", "bound", "words"),
    [
        ("lost<=0", Bound("lost", "<=", 0), "lost ≤ 0"),
        (" delivered >= 2_000 ", Bound("delivered", ">=", 2000), "delivered ≥ 2,000"),
        ("attempts≤2,000", Bound("attempts", "<=", 2000), "attempts ≤ 2,000"),
        ("latency_p99≥1e-2", Bound("latency_p99", ">=", 0.01), "latency_p99 ≥ 0.01"),
    ],
)
def test_a_bound_is_read(text: str, bound: Bound, words: str) -> None:
    assert read_bound(text) == bound
    assert str(bound) == words
    assert [bound.is_kept(value) for value in (bound.limit, inf)] == [True, bound.sign == ">="]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("lost", "give a metric, <= or >=, and a number, such as attempts_per_second_max<=2000; got 'lost'"),
        ("lost<3", "keep: give <= or >= in 'lost<3'"),
        ("lost==3", "keep: give <= or >= in"),
        ("lost<=many", "'many' is not a number"),
        ("lost<=inf", "'inf' is not a number"),
    ],
)
def test_a_bound_that_is_none(text: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        read_bound(text)


def test_a_setting_is_a_range_or_choices() -> None:
    assert read_setting(HERD, "people.count=1:60") == Setting("people.count", 1, 60, whole=True)
    assert read_setting(HERD, "server.accept_rate = 1:60.5") == Setting("server.accept_rate", 1, 60.5)
    assert read_setting(HERD, {"faults[0].at": (1, 3)}) == Setting("faults[0].at", 1, 3)
    jitters = read_setting(HERD, "transport.reconnect.jitter=full,none")
    assert jitters.choices == {"full": "full", "none": "none"}
    named = read_setting(HERD, {"transport.reconnect": {"a": preset("Ably").reconnect}})
    assert named.choices == {"a": preset("Ably").reconnect}


@pytest.mark.parametrize(
    ("vary", "told"),
    [
        ("people.count", "vary: give a setting and its range, such as people.count=1:60; got 'people.count'"),
        ("people.cuont=1:2", r"people.cuont: there is no such setting; did you mean 'count'\?"),
        (
            "people.count=5:5",
            "vary: the range of people.count is empty; give the lower number first, got 5:5",
        ),
        ("people.count=1:many", "'many' is not a number; give a range such as 1:60"),
        ("people.count=0:9", "people.count: give a whole number of at least 1"),
        ("transport.reconnect.jitter=ful", "transport.reconnect.jitter: choose one of"),
        ({"people.count": (1, 2, 3)}, r"people.count needs a range of two numbers, or a list of choices"),
        ({"people.count": (1, 2), "duration": (1, 2)}, "vary: give one setting, got 2"),
    ],
)
def test_a_setting_that_cant_be_varied(vary: Any, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        read_setting(HERD, vary)


def test_numbers_are_short_and_inside() -> None:
    assert rounded(10, 20) == 10 or 12.5 <= rounded(10, 20) <= 17.5
    for low, high in ((40.0, 50.0), (40.0, 42.5), (0.0, 1e-3), (1.0001, 1.0002)):
        assert low + (high - low) / 4 <= rounded(low, high) <= high - (high - low) / 4
    assert grid(Setting("x", 1, 100), 3) == [1, 10, 100]
    assert grid(Setting("x", 0, 100), 3) == [0, 50, 100]
    assert grid(Setting("x", 1, 4, whole=True), 9) == [1, 2, 3, 4]


# The search, with metrics that are functions of the setting


class FakeTrials:
    """Trials whose runs are calls of a function of the value and the seed."""

    def __init__(
        self, setting: Setting, metric: Callable[[float, int], float | None], limit: int = 1000
    ) -> None:
        self.setting, self._metric, self._limit = setting, metric, limit
        self.seeds = [0, 1, 2]
        self.done: dict[Any, list[dict[str, Any]]] = {}

    def room(self) -> int:
        return max(0, self._limit // 3 - len(self.done))

    def run(self, values: Sequence[Any]) -> None:
        for value in values:
            self.done[value] = [
                {"m": self._metric(value, seed), "n": value, "delivered": value} for seed in self.seeds
            ]


def search(
    metric: Callable[[float, int], float | None], *bounds: str, limit: int = 1000, **more: Any
) -> tuple[Any, str]:
    best, own = more.pop("best", None), more.pop("own", None)
    setting = Setting("x", more.pop("low", 1.0), more.pop("high", 100.0), **more)
    trials = FakeTrials(setting, metric, limit)
    found = Search(trials, [read_bound(bound) for bound in bounds], best, own)  # type: ignore[arg-type]
    result = found.search()
    assert len(trials.done) <= limit // 3
    return result.value, _answer(found, result)


def test_a_limit_is_found_whichever_way_the_metric_goes() -> None:
    """The worst seed decides: with seed 2 the metric is 2 higher."""
    value, said = search(lambda x, seed: x + seed, "m<=42")
    assert 40 * 0.99 <= value <= 40
    assert said.startswith(f"m ≤ 42 is kept up to x = {value:g}: there m is ")
    assert "over 3 seeds)" in said
    value, said = search(lambda x, seed: 1000 / x, "m<=42")
    assert 1000 / 42 <= value <= 1.01 * 1000 / 42
    assert f"is kept from x = {value:.4g} on: there m is" in said
    value, _ = search(lambda x, seed: x + seed, "m>=42")
    assert 42 <= value <= 42 * 1.01


def test_whole_numbers_are_found_exactly() -> None:
    assert search(lambda x, seed: x, "m<=41.5", low=1, high=5000, whole=True)[0] == 41


def test_several_bounds_are_kept_at_once() -> None:
    value, said = search(lambda x, seed: 200 - x, "m<=150", "n>=60")
    assert 60 <= value <= 61
    assert "m ≤ 150 and n ≥ 60 are kept from x = " in said
    assert " n is 5" in said.partition("; at")[2]


def test_a_metric_that_isnt_monotone_is_swept() -> None:
    value, said = search(lambda x, seed: 10 * sin(x / 8), "m<=5", low=0.0)
    assert "not on one side of a limit" in said
    assert 10 * sin(value / 8) <= 5
    assert said.count(" to ") >= 3


def test_a_hidden_island_at_the_end() -> None:
    """Kept in the middle only: the grid has no end that keeps the bound."""
    value, said = search(lambda x, seed: abs(x - 50), "m<=10", low=0.0)
    assert value == pytest.approx(60, abs=0.7)
    assert "of 3" in said


def test_bounds_that_nothing_keeps_and_that_everything_keeps() -> None:
    value, said = search(lambda x, seed: x + 7, "m<=5", limit=21)
    told = "None of the 7 values tried of x (1 to 100) keeps m ≤ 5; the closest is 1: m is 8."
    assert (value, said) == (None, told)
    value, said = search(lambda x, seed: x, "m<=500")
    assert (value, said) == (
        None,
        "Each of the 5 values tried of x, from 1 to 100, keeps m ≤ 500: at 1 m is 1; at 100 m is 100.",
    )
    assert search(lambda x, seed: inf, "m<=5")[1].endswith("m is never.")


def test_a_range_between_the_coarse_values_is_found() -> None:
    """None of the five values keeps the bound, and the metric is flat at them."""
    value, _ = search(lambda x, seed: 1 if abs(x - 40) < 4 else 9, "m<=5", low=0.0)
    assert 36 <= value <= 44


def test_the_scenarios_own_value_is_tried() -> None:
    def only_at_41(x: float, seed: int) -> float:
        return 1 if x == 41.7 else 9

    assert search(only_at_41, "m<=5", own=41.7)[0] == 41.7
    assert search(only_at_41, "m<=5", own=141.7)[0] is None


def test_a_value_without_the_metric_keeps_no_bound() -> None:
    def until_40(x: float, seed: int) -> float | None:
        return 1.0 if x < 40 or (seed and x < 60) else None

    value, said = search(until_40, "m<=5")
    assert value == pytest.approx(40, rel=0.02)
    assert said.endswith(" m has no value with every seed.")
    value, said = search(lambda x, seed: None if x < 40 else x, "m>=2", best="m", low=0.0)
    assert value == pytest.approx(40, abs=4)
    value, said = search(lambda x, seed: 9.0 if x == 100 else None, "m<=5")
    assert (value, said[-40:]) == (None, "keeps m ≤ 5; the closest is 100: m is 9.")
    assert search(lambda x, seed: None if x == 100 else 9.0, "m<=9")[1].endswith("at 100 m has no value.")


@pytest.mark.slow
def test_a_setting_without_effect_is_said() -> None:
    """A herd's first retries are at once, so that the backoff's multiplier changes nothing."""
    for more, told in (
        ({"keep": "last_back<=4"}, "; last_back ≤ 4 is kept: last_back is 2.005"),
        ({"keep": "last_back<=1"}, "; last_back ≤ 1 is not kept: last_back is 2.005"),
        ({"best": "last_back"}, "(1 to 9). Vary another setting."),
    ):
        found = quietly("transport.reconnect.stable_after=1:9", **more)
        assert told in found.answer
        assert found.answer.startswith("The result is the same at every value of transport.reconnect.stable")
        assert (found.value, found.toml, found.scenario, len(found.kept)) == (None, "", None, 5)


@pytest.mark.slow
def test_the_answer_says_what_the_value_costs() -> None:
    """A lower spike may have a price that no bound names."""
    back = quietly("people.count=10:40", keep="attempts<=60")
    assert back.value == 30
    assert back.answer.endswith(". There, the last person is back after 1.51 s at most.")
    assert "There, the" not in quietly("people.count=10:40", keep=["attempts<=60", "last_back<=9"]).answer
    transport = HERD.transport.replace(reconnect=ReconnectConfig(enabled=False))
    away = HERD.replace(transport=transport)
    for bounds, told in (
        ("attempts<=20", "There, up to 20 people aren't back by the end; keep unrecovered<=0 as well."),
        ("attempts<=1", "There, up to 1 person isn't back by the end; keep unrecovered<=0 as well."),
        (["attempts<=20", "unrecovered<=30"], "at 21 attempts is 21."),
    ):
        found = find(away, "people.count=1:40", keep=bounds, seeds=[1], progress=False)
        assert found.answer.endswith(told)


@pytest.mark.parametrize("name", ["base_delay=1:9", "backoff_multiplier=1:9", "jitter=full,none"])
def test_a_schedule_replaces_settings(name: str) -> None:
    socket_io = HERD.replace(transport=HERD.transport.replace(reconnect=preset("python-socketio").reconnect))
    told = (
        r"vary: transport.reconnect.\w+ has no effect here: transport.reconnect.schedule replaces it; set "
        r"transport.reconnect.schedule=\[\] to do without"
    )
    with pytest.raises(SettingsError, match=told):
        find(socket_io, f"transport.reconnect.{name}", keep="lost<=0", progress=False)


def test_runs_are_limited() -> None:
    value, _ = search(lambda x, seed: x, "m<=42", limit=21)
    assert 30 <= value <= 42


def test_the_best_value_and_those_like_it() -> None:
    value, said = search(lambda x, seed: (x - 30) ** 2, best="m", low=0.0)
    assert value == pytest.approx(30, abs=2)
    assert said.startswith(f"m is best with x = {value:.4g}: m is ")
    value, said = search(lambda x, seed: (x - 30) ** 2, "n>=60", best="m")
    assert value == pytest.approx(60, abs=2)
    assert search(lambda x, seed: x, best="delivered")[0] == 100  # more is better
    _, said = search(lambda x, seed: (x + 40 * seed) % 7, best="m", choices={1: 1, 2: 2, 3: 3})
    assert "3 seeds can't tell it apart from " in said
    _, said = search(lambda x, seed: 5.0, best="m")
    assert "can't tell it apart from values from 1 to 100." in said
    _, said = search(lambda x, seed: inf, best="m")
    assert said == "m is never finite with x (1 to 100); take another metric."
    value, said = search(lambda x, seed: x, "n>=200", best="m")
    assert (value, said[-44:]) == (None, "keeps n ≥ 200; the closest is 100: n is 100.")


def test_choices_that_keep_a_bound() -> None:
    value, said = search(lambda x, seed: x, "m<=2", choices={1: 1, 2: 2, 3: 3})
    assert (value, said) == (1, "m ≤ 2 is kept with x = 1, 2; with 1 m is 1.")
    assert search(lambda x, seed: x, "m<=0", choices={1: 1, 2: 2})[0] is None


def test_a_metric_without_a_value() -> None:
    with pytest.raises(
        SettingsError, match=r"latency_p50 has no value in this scenario, as no message is due; take"
    ):
        check_has_values("latency_p50", [{"latency_p50": None}])
    with pytest.raises(SettingsError, match=r"^mine has no value in this scenario; take another$"):
        check_has_values("mine", [{"mine": None}, {"mine": None}])
    check_has_values("mine", [{"mine": 1}, {"mine": None}])


# With runs


@pytest.mark.slow
def test_a_herd_needs_its_size_over_the_accept_rate() -> None:
    """40 people within 4 s: the closed form N/μ says 10 a second, and bisection by hand the same."""
    found = quietly("server.accept_rate=2:200", keep="last_back<=4")
    assert found.value == pytest.approx(40 / 4, rel=0.02)
    assert found.toml == f"[server]\naccept_rate = {found.value}\n"
    assert found.scenario == HERD.replace(server=HERD.server.replace(accept_rate=found.value))
    assert Scenario.from_toml(HERD.to_toml()) == HERD
    low, high = 2.0, 200.0
    while high - low > 0.05:
        middle = (low + high) / 2
        scenario = HERD.replace(server=HERD.server.replace(accept_rate=middle), seed=1)
        kept = (run(scenario, sample=0).metrics["last_back"] or inf) <= 4
        low, high = (low, middle) if kept else (middle, high)
    assert found.value == pytest.approx(high, rel=0.02)
    row = found.runs[(found.runs["server.accept_rate"] == found.value) & (found.runs["seed"] == 2)]
    assert found.scenario is not None
    assert row["last_back"].item() == run(found.scenario.replace(seed=2), sample=0).metrics["last_back"]
    assert found.kept[found.value]
    assert str(found) == found.answer
    assert found.toml in found._repr_html_()
    assert repr(found) == found.answer


@pytest.mark.slow
def test_two_processes_find_the_same() -> None:
    alone = quietly("server.accept_rate=2:200", keep="last_back<=4", runs=20)
    with processes(2) as executor:
        together = quietly("server.accept_rate=2:200", keep="last_back<=4", runs=20, executor=executor)
    assert together.answer == alone.answer
    assert_frame_equal(together.runs, alone.runs)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_dask_finds_the_same(dask: Any) -> None:
    alone = quietly("server.accept_rate=2:200", keep="last_back<=4", runs=14)
    spread = quietly("server.accept_rate=2:200", keep="last_back<=4", runs=14, executor=dask)
    assert spread.answer == alone.answer
    assert_frame_equal(spread.runs, alone.runs)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({}, "keep: give a bound, such as attempts_per_second_max<=2000, or best= a metric"),
        ({"keep": "lsot<=1"}, r"there is no 'lsot' \(did you mean 'lost'\?\)"),
        ({"best": "lsot"}, r"there is no 'lsot' \(did you mean 'lost'\?\)"),
        ({"keep": "latency_p99<=1"}, "latency_p99 has no value in this scenario, as no message is due"),
        ({"keep": "lost<=1", "world": "mars"}, "world: there is no 'mars'"),
        ({"keep": "lost<=1", "runs": 9}, "runs: 5 values with 2 seeds need 10, got 9"),
        ({"keep": "lost<=1", "seeds": []}, "seeds: give at least one"),
    ],
)
def test_what_cant_be_found(more: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        quietly("people.count=1:9", **more)


def test_a_run_that_fails_is_named() -> None:
    with pytest.raises(SettingsError, match=r"with people.count=9, seed 1: "):
        Trials(
            HERD, Setting("people.count", 1, 9), [1], limit=9, executor=None, world="mars", bar=_Bar()
        ).run([9])


class _Bar:
    def update(self) -> None: ...


def test_a_setting_in_a_list_is_shown_with_its_entry() -> None:
    trials = Trials(
        HERD, Setting("faults[0].at", 1, 9), [1], limit=9, executor=None, world="model", bar=_Bar()
    )
    assert trials.toml(2.5) == '[[faults]]\nkind = "connection_reset"\nat = 2.5\n'


def test_entries_of_lists_as_toml() -> None:
    """The TOML has all that the entry had, and can be read again."""
    text = """
    transport.reconnect.schedule = [[1.0, 2.0], [3.0, 4.0]]
    [[people.groups]]
    name = "a"
    share = 0.25
    transport.reconnect.base_delay = 3.0
    [[faults]]
    kind = "connection_reset"
    at = 10.0
    [[faults]]
    kind = "server_down"
    at = 5.0
    duration = 4.0
    """
    scenario = Scenario.from_toml(text)
    given = {"faults[1].at": 5.0, "duration": scenario.duration, "people.groups[0].share": 0.25}
    written = as_toml(given, scenario)
    assert "[[faults]]  # in the place of faults[1]\n" in written
    read = Scenario.from_toml(written)
    assert (read.faults, read.people.groups) == (scenario.faults[1:], scenario.people.groups)
    row = as_toml({"transport.reconnect.schedule[1][0]": 3.0}, scenario)
    assert Scenario.from_toml(row).transport == scenario.transport
