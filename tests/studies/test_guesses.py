"""A guess is judged beside the answer."""

from __future__ import annotations

from math import inf

import pytest

from chatlab.errors import SettingsError
from chatlab.studies import ChoiceQuestion, NotANumber, NumberQuestion
from chatlab.studies.guesses import shown_number


@pytest.mark.parametrize(
    ("guess", "shown", "right", "words"),
    [
        ("5", "5 s", True, "Right, within 0.6 s."),
        (5.04, "5.04 s", True, "Right."),
        ("5,64 s", "5.64 s", True, "Right, within 0.6 s."),
        ("5.65", "5.65 s", False, "The answer is 5.04 s, 0.61 less than your guess."),
        ("4", "4 s", False, "The answer is 5.04 s, 1.04 more than your guess."),
        ("-1", "-1 s", False, "The answer is 5.04 s, 6.04 more than your guess."),
        ("0", "0 s", False, "The answer is 5.04 s, 5.04 more than your guess."),
        ("500 ms", "0.5 s", False, "The answer is 10 times your guess."),
        ("1 min", "60 s", False, "Your guess is 12 times the answer."),
        ("never", "never", False, "It does come to an end."),
    ],
)
def test_a_number(guess: object, shown: str, right: bool, words: str) -> None:
    judged = NumberQuestion(5.04, "s", within=0.6).judge(guess)
    assert judged[:4] == (shown, "5.04 s", right, words)
    assert judged.sizes is not None
    assert judged.sizes[1] == 5.04


def test_what_is_near_enough_by_itself() -> None:
    assert NumberQuestion(100.0, "%").judge("95").right
    assert NumberQuestion(10.0, within=0.5).judge("9.5").right
    assert NumberQuestion(0.3, within=0.1).judge("0.2").right, "though floats round"
    assert NumberQuestion(100.0, "%").judge("95").words == "Right, within 5%."
    assert not NumberQuestion(100.0).judge("94.9").right
    whole = NumberQuestion(7, "times", whole=True)
    assert whole.judge("7.0").words == "Right."
    assert not whole.judge("6").right
    with pytest.raises(NotANumber, match=r"'6\.3' isn't a whole number"):
        whole.judge("6.3")


def test_one_of_a_unit_is_in_the_singular() -> None:
    assert NumberQuestion(2, "times").judge("1").guess == "1 time"
    assert NumberQuestion(2, "times").judge("2").guess == "2 times"
    assert NumberQuestion(2, "s").judge("1").guess == "1 s"


def test_an_answer_that_never_comes() -> None:
    question = NumberQuestion(inf, "s")
    assert question.judge("never").right
    judged = question.judge("60")
    assert (judged.answer, judged.right, judged.words) == ("never", False, "It never comes to an end.")
    assert question.judge(inf).right


def test_a_choice() -> None:
    question = ChoiceQuestion("SSE", ["WebSocket", "SSE"])
    assert question.judge(" sse ") == ("SSE", "SSE", True, "Right.", None)
    assert question.judge("WebSocket").words == "It is: SSE."
    for guess in ("", "polling", None, ["SSE"], 3):
        with pytest.raises(SettingsError, match=r"^choose one of WebSocket, SSE, got "):
            question.judge(guess)


def test_a_question_is_checked() -> None:
    with pytest.raises(SettingsError, match=r"^answer: give one of the options, a, b, got 'c'$"):
        ChoiceQuestion("c", ["a", "b"])
    with pytest.raises(NotANumber, match="None is of the type NoneType"):
        NumberQuestion(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0.0, "0"), (1234.5, "1,234"), (12.34, "12.3"), (0.04, "0.04"), (1e7, "10,000,000"), (-2.0, "-2")],
)
def test_shown_numbers(number: float, shown: str) -> None:
    assert shown_number(number) == shown
