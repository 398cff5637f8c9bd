"""An exercise: a question that takes any answer without an exception, and gives hints, not its answer."""

from __future__ import annotations

import html
import re
from typing import Any

from msgspec import Struct

from chatlab.studies.guesses import Question, complaint, shown_number


class Feedback(Struct, frozen=True):
    """The verdict on an answer, in a sentence; `right` is None if there was no answer."""

    right: bool | None
    text: str

    def __str__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, **options: Any) -> dict[str, str]:
        """Return the text for a notebook."""
        mark = {True: "\u2713 ", False: "\u2717 ", None: ""}[self.right]
        shown = re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(self.text))
        return {"text/plain": f"{mark}{self.text}", "text/html": f"<p>{mark}{shown}</p>"}


class Exercise(Struct, frozen=True):
    """A question whose answer isn't shown.

    `mistakes` has the hint for a wrong number that a common mistake leads to; `hint` is for all others.
    """

    question: Question
    hint: str
    mistakes: dict[float, str] = {}

    def judge(self, answer: object) -> Feedback:
        """Return whether the answer is right, or a hint."""
        try:
            judged = self.question.judge(answer)
        except ValueError as error:
            return Feedback(False, complaint(error))
        if judged.right:
            return Feedback(True, f"Right: {judged.guess}.")
        if judged.sizes is None:
            return Feedback(False, f"Not quite: {judged.guess}. {self.hint}")
        number, right = judged.sizes
        hints = (hint for value, hint in self.mistakes.items() if abs(number - value) <= 0.02 * value)
        side = "negative" if number < 0 else "too small" if number < right else "too large"
        return Feedback(False, f"Not quite: {shown_number(number)} is {side}. {next(hints, self.hint)}")
