"""Kinds of exercises: each judges an answer of any type, and never raises."""

from __future__ import annotations

import html
from typing import Any

from msgspec import Struct

from chatlab.studies.given_numbers import NotANumber, quote_given, read_number
from chatlab.transports.eventstream import EventStreamParser


class Feedback(Struct, frozen=True):
    """The verdict on an answer, in a sentence; `right` is None if there was no answer."""

    right: bool | None
    text: str

    def __str__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, **options: Any) -> dict[str, str]:
        """Return the text for a notebook."""
        mark = {True: "\u2713 ", False: "\u2717 ", None: ""}[self.right]
        return {"text/plain": f"{mark}{self.text}", "text/html": f"<p>{mark}{html.escape(self.text)}</p>"}


class Quantity(Struct, frozen=True):
    """A question for a number from `low` to `high`, in `unit`.

    `mistakes` has the hint for a wrong number that a common mistake leads to; `hint` is for the others.
    """

    low: float
    high: float
    unit: str
    hint: str
    mistakes: dict[float, str] = {}

    def judge(self, answer: object) -> Feedback:
        """Return whether the number is right, or a hint."""
        try:
            number = read_number(answer, self.unit)
        except NotANumber as error:
            return Feedback(False, str(error))
        if self.low <= number <= self.high:
            return Feedback(True, f"Right: {number:g} {self.unit}.")
        if number < 0:
            return Feedback(False, f"Not quite: {number:g} {self.unit} is negative.")
        hints = (hint for value, hint in self.mistakes.items() if abs(number - value) <= 0.02 * value)
        side = "small" if number < self.low else "large"
        return Feedback(False, f"Not quite: {number:g} is too {side}. {next(hints, self.hint)}")


class Choice(Struct, frozen=True):
    """A question for one of a few words."""

    right: str
    words: tuple[str, ...]
    hint: str

    def judge(self, answer: object) -> Feedback:
        """Return whether the word is right, or a hint."""
        word = answer.strip().strip("\"'").lower() if isinstance(answer, str) else ""
        if word == self.right:
            return Feedback(True, f"Right: {word}.")
        if word in self.words:
            return Feedback(False, f"Not quite. {self.hint}")
        return Feedback(False, f"{quote_given(answer)} is none of {', '.join(map(repr, self.words))}.")


class Forgery(Struct, frozen=True):
    """A question for a text that forges an event of type `type` with data `data` in an event stream."""

    type: str
    data: str

    def judge(self, answer: object) -> Feedback:
        """Return whether a parser reads the forged event, or what it reads instead."""
        if not isinstance(answer, str):
            return Feedback(False, f"{quote_given(answer)} isn't a text. Write a string in quotes.")
        events = EventStreamParser().feed(f"data: {answer}\n\n".encode(errors="replace"))
        if any(event.type == self.type and event.data == self.data for event in events):
            return Feedback(True, f"Right: a reader gets the type {self.type} with the data {self.data}.")
        read = "; ".join(f"type {event.type}, data {quote_given(event.data)}" for event in events[:5])
        return Feedback(False, f"Not quite. A reader gets {read or 'no event'}. What ends an event?")


Exercise = Quantity | Choice | Forgery
