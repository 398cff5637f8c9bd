"""The explorers, without a page: controls change the plot, and invalid settings are reported."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest
from msgspec import structs

from chatlab.errors import SettingsError
from chatlab.experiment.run import Run
from chatlab.experiment.worlds.runner import run
from chatlab.plots.style import figure_of, new_axes
from chatlab.studies.read_cost import read
from chatlab.widgets.explorers import (
    Explorer,
    explore_backoff,
    explore_heartbeat,
    explore_herd,
    explore_polling,
    explore_transports,
)
from chatlab.widgets.explorers.explorer import Answer
from chatlab.widgets.picture import Picture
from chatlab.widgets.slider import Slider
from tests.sizes import rows
from tests.widgets.comms import PATIENCE

EXPLORERS = [explore_backoff, explore_heartbeat, explore_herd, explore_polling, explore_transports]


def answered(explorer: Explorer) -> Explorer:
    assert explorer.wait(PATIENCE)
    return explorer


@pytest.mark.slow
@pytest.mark.parametrize("make", EXPLORERS)
def test_each_states_its_question_and_answers_it_in_a_plot_and_in_words(make: Callable[[], Explorer]) -> None:
    explorer = answered(make())
    assert explorer.question.endswith("?")
    assert explorer.picture.png.startswith(b"\x89PNG")
    assert explorer.picture.alt
    assert not explorer.words.value.startswith(("These settings", "This couldn't"))
    figure = explorer._answer(**explorer.values).figure
    figure.draw_without_rendering()
    titles = [ax._left_title for ax in figure.axes]  # type: ignore[attr-defined]
    assert [each.get_text() for each in titles if each.get_window_extent().x1 > figure.bbox.x1] == []


@pytest.mark.sampled(2)
@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "control", "value"),
    [
        (explore_backoff, "outage", 10.0),
        (explore_heartbeat, "interval", 90.0),
        (explore_herd, "systems", ("Phoenix",)),
        (explore_polling, "interval", 10.0),
        (explore_transports, "outage", 20.0),
    ],
    ids=["backoff", "heartbeat", "herd", "polling", "transports"],
)
def test_a_control_changes_the_plot(make: Callable[[], Explorer], control: str, value: Any) -> None:
    explorer = answered(make())
    picture, words = explorer.picture.png, explorer.picture.alt
    explorer.controls[control].value = value
    answered(explorer)
    assert explorer.picture.png != picture
    assert explorer.picture.alt != words


@pytest.mark.proof
def test_words_are_whole_sentences_at_the_ends_too() -> None:
    backoff = answered(explore_backoff())
    backoff.controls["max_delay"].value = 1.0
    assert "the tightest herd is yours, with " in answered(backoff).words.value
    heartbeat = answered(explore_heartbeat())
    assert re.search(
        r", the latest of 1,0\d\d simulated pongs takes 0\.\d+ s: by the closed form", heartbeat.words.value
    )
    assert heartbeat.words.value.endswith(" taken for dead about every 47,500,000 years.")
    heartbeat.controls["loss"].value = 0.001
    assert answered(heartbeat).words.value.endswith(" taken for dead less than once in a billion years.")
    heartbeat.controls["loss"].value = 20.0
    heartbeat.controls["timeout"].value = 1.0
    late = r", \d+ of 1,0\d\d simulated pongs come too late: .* for dead about every \d(\.\d+)? minutes\.$"
    assert re.search(late, answered(heartbeat).words.value)
    heartbeat.controls["loss"].value = 0.0
    assert answered(heartbeat).words.value.endswith("Nothing is lost, so there are no false alarms.")
    words = answered(explore_transports()).words.value
    assert "for 36 s: WebSocket is quickest with " in words
    assert words.endswith(" s and makes the fewest requests; no messages were lost.")


@pytest.mark.slow
def test_words_do_without_a_median_that_is_infinite(monkeypatch: pytest.MonkeyPatch) -> None:
    def simulate(*arguments: Any, **options: Any) -> Run:
        result = run(*arguments, **options)
        away = {"latency_p50": math.inf, "latency_p95": math.inf, "undelivered": 1, "owed": 1}
        return structs.replace(result, metrics=result.metrics | away)

    monkeypatch.setattr("chatlab.widgets.explorers.transports.run", simulate)
    explorer = explore_transports()
    explorer.controls["delay"].value = 0.0789
    words = answered(explorer).words.value
    assert "shows too few messages for a median" in words
    assert "inf" not in words


@pytest.mark.slow
def test_the_text_mentions_systems_that_are_not_drawn() -> None:
    explorer = answered(explore_backoff())
    assert "are drawn" not in explorer.words.value
    systems = explorer.controls["systems"]
    systems.value = systems.options[:7]
    assert answered(explorer).words.value.endswith(" Of 7 systems, the first 5 are drawn.")


@pytest.mark.slow
def test_a_heartbeat_slower_than_the_proxy_is_seen_to_be_cut() -> None:
    explorer = answered(explore_heartbeat())
    assert "never cuts it" in explorer.picture.alt
    explorer.controls["interval"].value = 100.0
    assert "cuts an idle connection 4 times" in answered(explorer).picture.alt


@pytest.mark.slow
def test_a_pong_is_awaited_no_longer_than_until_the_next_heartbeat() -> None:
    explorer = answered(explore_heartbeat())
    assert "noticed after 10 to 40 s" in explorer.picture.alt
    explorer.controls["interval"].value = 5.0
    assert "noticed after 5 to 10 s" in answered(explorer).picture.alt


@pytest.mark.slow
@pytest.mark.parametrize("make", rows(EXPLORERS, EXPLORERS[0]))
def test_a_plot_has_no_artists_of_earlier_ones(make: Callable[[], Explorer]) -> None:
    explorer = answered(make())
    picture, values = explorer.picture.png, explorer.values
    for end in ("low", "high"):
        for control in explorer.controls.values():
            if isinstance(control, Slider):
                control.value = getattr(control, end)
        assert answered(explorer).picture.png != picture
    for name, value in values.items():
        explorer.controls[name].value = value
    assert answered(explorer).picture.png == picture


@pytest.mark.sampled(3)
@pytest.mark.slow
@pytest.mark.parametrize("make", rows(EXPLORERS, *EXPLORERS[:-1]))
@pytest.mark.parametrize("end", rows(["low", "high"], "low"))
def test_the_ends_of_every_slider_have_a_plot(make: Callable[[], Explorer], end: str) -> None:
    explorer = answered(make())
    for control in explorer.controls.values():
        if isinstance(control, Slider):
            control.value = getattr(control, end)
    words = answered(explorer).words.value
    assert not words.startswith(("These settings", "This couldn't")), words


@pytest.mark.slow
def test_runs_that_a_slider_does_not_affect_are_not_simulated_again(monkeypatch: pytest.MonkeyPatch) -> None:
    explorer = answered(explore_heartbeat())
    simulate = Mock(side_effect=run)
    monkeypatch.setattr("chatlab.widgets.explorers.heartbeat.run", simulate)
    monkeypatch.setattr("chatlab.studies.late_pongs.run", simulate)
    people = []
    for name, value in (("loss", 3.21), ("idle", 54.321), ("interval", 43.21)):
        explorer.controls[name].value = value
        answered(explorer)
        people.append(sorted(call.args[0].people.count for call in simulate.call_args_list))
        simulate.reset_mock()
    assert people == [[50], [1, 1], [1, 100]]


@pytest.mark.slow
def test_transports_without_an_interval_stay_when_that_of_short_polling_moves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    explorer = answered(explore_transports())
    simulate = Mock(side_effect=run)
    monkeypatch.setattr("chatlab.widgets.explorers.transports.run", simulate)
    simulated = []
    for name, value in (("interval", 4.321), ("delay", 0.0567)):
        explorer.controls[name].value = value
        answered(explorer)
        simulated.append({type(call.args[0].transport).__name__ for call in simulate.call_args_list})
        simulate.reset_mock()
    assert simulated[0] == {"ShortPollingSettings"}
    assert len(simulated[1]) == 4


@pytest.mark.slow
def test_each_way_of_polling_stays_when_the_other_s_slider_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    explorer = answered(explore_polling())
    simulate = Mock(side_effect=read)
    monkeypatch.setattr("chatlab.widgets.explorers.polling.read", simulate)
    simulated = []
    for name, value in (("interval", 4.321), ("hold", 32.1), ("rate", 0.321)):
        explorer.controls[name].value = value
        answered(explorer)
        simulated.append([type(call.args[0]).__name__ for call in simulate.call_args_list])
        simulate.reset_mock()
    short, long = "ShortPollingSettings", "LongPollingSettings"
    assert simulated == [[short], [long], [short, long]]


class Slow:
    """An answer that waits to be released, and records its arguments."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.begun = threading.Semaphore(0)
        self.may_go_on = threading.Semaphore(0)

    def __call__(self, number: float) -> Answer:
        self.asked.append(number)
        self.begun.release()
        assert self.may_go_on.acquire(timeout=PATIENCE)
        if number > 90:
            raise SettingsError("number: <b>too large</b>")
        if number < 5:
            raise ZeroDivisionError("oops")
        return Answer(figure_of(new_axes()), f"It is {number:g}")

    def explorer(self) -> Explorer:
        return Explorer("How many?", {"number": Slider("Number", 10.0, 0.0, 100.0)}, self)


def test_of_many_changes_only_the_latest_is_drawn() -> None:
    slow = Slow()
    explorer = slow.explorer()
    assert slow.begun.acquire(timeout=PATIENCE)
    for value in range(20, 60):
        explorer.controls["number"].value = float(value)
    assert not explorer.wait(0)
    slow.may_go_on.release(2)
    answered(explorer)
    assert slow.asked == [10.0, 59.0]
    assert explorer.words.value == explorer.picture.alt == "It is 59"


def test_the_plot_is_busy_until_it_shows_the_controls_values() -> None:
    slow = Slow()
    slow.may_go_on.release()
    explorer = answered(slow.explorer())
    assert not explorer.picture.busy
    assert slow.begun.acquire(timeout=PATIENCE)
    explorer.controls["number"].value = 20.0
    assert slow.begun.acquire(timeout=PATIENCE)
    assert explorer.picture.busy
    explorer.controls["number"].value = 99.0  # which is refused
    slow.may_go_on.release(2)
    answered(explorer)
    assert not explorer.picture.busy


@pytest.mark.slow
def test_the_busiest_chat_of_the_transports_explorer_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    simulate = Mock(side_effect=run)
    monkeypatch.setattr("chatlab.widgets.explorers.transports.run", simulate)
    explorer = explore_transports()
    for control in explorer.controls.values():
        control.value = control.high
    answered(explorer)
    scenario = simulate.call_args_list[-1].args[0]
    people, seconds = scenario.people, scenario.duration
    assert people.count**2 * people.send_rate * seconds < 4_000  # deliveries, 0.1 ms each at most
    assert (explorer.controls["outage"].high, scenario.faults[0].duration) == (30.0, 30.0)
    assert seconds > scenario.faults[0].end_at + 25.0  # of that, the seconds until the slowest is back


def test_an_error_is_reported_and_the_plot_stays() -> None:
    slow = Slow()
    slow.may_go_on.release(4)
    explorer = answered(slow.explorer())
    picture = explorer.picture.png
    explorer.controls["number"].value = 95.0
    said = answered(explorer).words.value
    assert said == "These settings can&#x27;t be used: number: &lt;b&gt;too large&lt;/b&gt;"
    explorer.controls["number"].value = 1.0
    assert "ZeroDivisionError: oops" in answered(explorer).words.value
    assert explorer.picture.png == picture
    explorer.controls["number"].value = 50.0
    assert answered(explorer).words.value == "It is 50"


@pytest.mark.slow
def test_a_saved_notebook_shows_question_plot_and_words() -> None:
    bundle = answered(explore_polling())._repr_mimebundle_()
    assert bundle["text/plain"].startswith("What does it cost to be quick?\nAt 0.2 messages")
    assert bundle["image/png"].startswith("iVBOR")
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_a_picture_is_an_image_with_a_text() -> None:
    picture = Picture()
    bundle = picture._repr_mimebundle_()
    assert bundle is not None
    assert "image/png" not in bundle[0]
    picture.show(figure_of(new_axes()), "a plot")
    bundle = picture._repr_mimebundle_()
    assert bundle is not None
    assert bundle[0]["text/plain"] == "a plot"
    assert bundle[0]["image/png"].startswith("iVBOR")
    assert picture.width == 500


# The herd's simulation


def small_herd() -> Any:
    explorer = explore_herd()
    explorer.controls["people"].value = 1_000.0
    explorer.controls["systems"].value = ("seed", "full jitter")
    answered(explorer)
    return explorer


def finished(explorer: Any) -> Any:
    explorer._simulation.join(PATIENCE)
    assert not explorer._simulation.is_alive()
    return explorer


@pytest.mark.slow
def test_a_herd_is_simulated_on_demand_with_progress() -> None:
    explorer = small_herd()
    seen: list[float] = []
    disabled: set[bool] = set()

    def note(change: Any) -> None:
        seen.append(change["new"])
        disabled.add(explorer.simulate_button.disabled)

    explorer.progress.observe(note, "value")
    explorer.simulate_button.click()
    finished(explorer)
    assert disabled == {True}, "as long as it ran, however soon it ended"
    assert explorer.words.value.startswith("1,000 people with seed: ")
    assert seen == [*sorted(seen[:-1]), 0.0]
    assert len(seen) > 20
    assert seen[-2] == pytest.approx(1.0)
    assert not explorer.simulate_button.disabled
    assert explorer.stop_button.disabled


@pytest.mark.slow
def test_the_text_counts_the_half_of_a_herd_that_gives_up() -> None:
    explorer = small_herd()
    explorer.controls["systems"].value = ("SignalR",)
    answered(explorer)
    explorer.simulate_button.click()
    assert finished(explorer).words.value.endswith(" in one second; 500 are not back at the end.")


@pytest.mark.slow
def test_a_failed_simulation_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    explorer = small_herd()
    monkeypatch.setattr("chatlab.widgets.explorers.herd.run", Mock(side_effect=MemoryError("too many")))
    explorer.simulate_button.click()
    finished(explorer)
    assert explorer.words.value == "This couldn&#x27;t be simulated: MemoryError: too many"
    assert not explorer.simulate_button.disabled


@pytest.mark.slow
def test_a_simulation_can_be_stopped() -> None:
    explorer = small_herd()
    picture = explorer.picture.png
    explorer.progress.observe(lambda _change: explorer.stop_button.click(), "value")
    explorer.simulate_button.click()
    finished(explorer)
    assert explorer.words.value == "The simulation was stopped."
    assert explorer.picture.png == picture
    assert not explorer.simulate_button.disabled


@pytest.mark.slow
def test_without_a_system_there_is_nothing_to_simulate() -> None:
    explorer = small_herd()
    explorer.controls["systems"].value = ()
    assert "choose one or more" in answered(explorer).words.value
    explorer.simulate()
    assert "choose one or more" in finished(explorer).words.value


# Sliders


def test_a_slider_keeps_its_value_between_its_ends() -> None:
    number = Slider("Number", 10.0, 1.0, 100.0, "log")
    number.value = 1_000.0
    assert number.value == 100.0
    number.value = -1.0
    assert number.value == 1.0


def test_a_slider_tells_the_page_its_first_value() -> None:
    number = Slider("Number", 10.0, 1.0, 100.0)
    number.value = 33.3
    assert (number.default, number.value) == (10.0, 33.3)


@pytest.mark.parametrize(("low", "high", "scale"), [(1.0, 1.0, "linear"), (0.0, 5.0, "log")])
def test_a_slider_needs_a_range(low: float, high: float, scale: str) -> None:
    with pytest.raises(SettingsError, match="Number: give ends"):
        Slider("Number", 1.0, low, high, scale)
