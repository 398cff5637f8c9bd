"""A question keeps its answer until a person has guessed."""

from __future__ import annotations

import json
import threading
from functools import partial
from typing import Any

import ipywidgets
import pytest
from matplotlib.figure import Figure

from chatlab.errors import SettingsError
from chatlab.plots.style import new_axes
from chatlab.studies import PREDICTIONS
from chatlab.widgets.guesses import MOST_CHARS, Guess, guess_choice, guess_number, guess_seconds, predict
from tests.widgets.comms import PATIENCE, View


def state() -> str:
    return json.dumps(ipywidgets.Widget.get_manager_state(drop_defaults=False), default=str)


def snapshot(guess: Guess[Any]) -> dict[str, Any]:
    assert guess.wait(PATIENCE)
    return guess.form._snapshot()


def test_the_answer_is_not_in_the_page_before_the_guess() -> None:
    guess = guess_seconds("How long at worst?", 43.25)
    assert "43.25" not in state() + json.dumps(snapshot(guess)) + repr(guess) + guess.form.transcript()
    View(guess.form).say(type="guess", text="40")
    shown = snapshot(guess)
    assert shown["state"] == "answered"
    assert shown["judged"] == {
        "guess": "40 s",
        "answer": "43.2 s",
        "right": False,
        "words": "The answer is 43.2 s, 3.25 more than your guess.",
        "sizes": [pytest.approx(40 / 43.25), 1.0],
    }
    assert "43.2" not in state(), "what is saved with the notebook"
    assert guess.form.transcript().splitlines()[1:3] == ["Your guess: 40 s", "The answer: 43.2 s"]
    assert guess._repr_mimebundle_()["text/plain"] == guess.form.transcript()


def test_a_guess_that_can_not_be_read_is_answered_in_words_and_asked_again() -> None:
    computed: list[int] = []

    def answer() -> float:
        computed.append(1)
        return 5.0

    guess = guess_number("How many?", answer, "attempts", whole=True)
    for text in ("", "soon", "6.3", "5 to 6", "</script><script>alert(1)</script>"):
        View(guess.form).say(type="guess", text=text)
        shown = snapshot(guess)
        assert shown["state"] == "asking"
        assert " number" in shown["complaint"]
        assert shown["complaint"].endswith(".")
    assert (computed, guess.judged) == ([], None), "nothing is computed for it"
    View(guess.form).say(type="guess", text="x" * (MOST_CHARS + 1))
    View(guess.form).say(type="guess", text=["5"])
    guess.take({5: 5})
    guess.take("5 attempts")
    assert snapshot(guess)["judged"]["right"]
    guess.take("7")
    assert snapshot(guess)["judged"]["guess"] == "5 attempts", "it was answered"
    View(guess.form).say(type="again")
    assert (guess.judged, snapshot(guess)["state"]) == (None, "asking")
    guess.take("7")
    assert snapshot(guess)["judged"]["guess"] == "7 attempts"
    assert computed == [1], "computed once"


def test_a_choice() -> None:
    guess = guess_choice("Which is quicker?", lambda: "SSE", ["WebSocket", "SSE"])
    guess.take("polling")
    assert snapshot(guess)["complaint"].startswith("Choose one of WebSocket, SSE")
    guess.take("SSE")
    assert snapshot(guess)["judged"]["right"]
    assert snapshot(guess)["judged"]["sizes"] is None
    assert guess.form.transcript().splitlines()[1:3] == ["- WebSocket", "- SSE"]


def test_a_question_that_can_not_be_asked() -> None:
    with pytest.raises(SettingsError, match="options"):
        guess_choice("Which?", "SSE", [])
    with pytest.raises(SettingsError, match="answer: give one of the options"):
        guess_choice("Which?", "SSE", ["WebSocket"])


def test_while_the_answer_is_computed_nothing_else_is_taken() -> None:
    go_on = threading.Event()

    def answer() -> float:
        go_on.wait(PATIENCE)
        return 5.0

    guess = guess_seconds("How long?", answer)
    guess.take("4")
    guess.take("5")
    guess.again()
    assert guess.form._snapshot()["state"] == "computing"
    go_on.set()
    assert snapshot(guess)["judged"]["guess"] == "4 s"


@pytest.mark.parametrize("answer", [lambda: 5.0, lambda: 1 / 0], ids=["answered", "complained"])
def test_a_person_may_go_on_as_soon_as_the_outcome_is_shown(
    answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    guess = guess_seconds("How long?", answer)
    show = guess.form.show
    threads: list[threading.Thread] = []

    def go_on_at_once(state: str, **outcome: Any) -> None:
        show(state, **outcome)
        if state != "computing" and not threads:
            again = state == "answered"
            threads.append(threading.Thread(target=guess.again if again else partial(guess.take, "6")))
            threads[0].start()
            threads[0].join(0.1)  # An action that is dropped is dropped by now.

    monkeypatch.setattr(guess.form, "show", go_on_at_once)
    states: list[str] = []
    monkeypatch.setattr(guess.form, "_changed", lambda: states.append(guess.form._state))
    guess.take("4")
    assert guess.wait(PATIENCE)
    threads[0].join(PATIENCE)
    assert states[2:3] == ["asking" if states[1] == "answered" else "computing"]


@pytest.mark.parametrize("answer", [lambda: 1 / 0, lambda: None, "soon"], ids=["raises", "none", "text"])
def test_an_answer_that_can_not_be_computed(answer: Any) -> None:
    guess = guess_seconds("How long?", answer)
    guess.take("5")
    shown = snapshot(guess)
    assert shown["complaint"].startswith("The answer couldn't be computed: ")
    assert shown["state"] == "asking"


def test_a_plot_is_shown_with_the_answer() -> None:
    drawn: list[int] = []

    def plot() -> Any:
        drawn.append(1)
        axes = new_axes()
        return axes if len(drawn) == 1 else axes.get_figure(root=True)

    guess = guess_seconds("How long?", float("inf"), plot=plot)
    assert guess.picture.layout.display == "none"
    guess.take("never")
    assert snapshot(guess)["judged"]["sizes"] == [None, None]
    assert guess.picture.png.startswith(b"\x89PNG")
    assert guess.picture.layout.display is None
    guess.again()
    assert guess.picture.layout.display == "none"
    guess.take("3")
    assert snapshot(guess)["judged"]["sizes"] == [1.0, None]
    assert len(drawn) == 2
    assert isinstance(plot(), Figure)


@pytest.mark.parametrize(
    ("answer", "text", "sizes"), [(-5, "3", None), (0, "0", [0.0, 0.0]), (10, "20", [1.0, 0.5])]
)
def test_bars(answer: float, text: str, sizes: list[float] | None) -> None:
    guess = guess_number("How many?", answer)
    guess.take(text)
    assert snapshot(guess)["judged"]["sizes"] == sizes


@pytest.mark.parametrize("name", PREDICTIONS)
def test_a_notebooks_prediction_is_right_if_it_is_the_answer(name: str) -> None:
    guess = predict(name)
    guess.take(PREDICTIONS[name].answer)
    assert guess.wait(PATIENCE)
    assert guess.judged
    assert guess.judged.right


def test_an_unknown_prediction_is_named() -> None:
    with pytest.raises(SettingsError, match=r"no 'strat' \(did you mean 'start'\?\); choose one of start"):
        predict("strat")
