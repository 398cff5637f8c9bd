"""Questions that a person answers: a number as people write it, one of several choices, or a forged event.

question = NumberQuestion(5.04, "s", within=0.6)
question.judge("5,0 s").words          # "Right, within 0.6 s."
question.judge("five or six")          # SettingsError: give one number of seconds, such as 10 or 2.5 s …
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isfinite
from typing import NamedTuple

from chatlab.errors import SettingsError
from chatlab.studies.given_numbers import NotANumber, quote_given, read_number, singular
from chatlab.text import quoted
from chatlab.transports.eventstream import EventStreamParser

SHARE = 0.05
"""Part of the answer by which a guess of a number may be off, unless the question says otherwise."""


NEVER = frozenset(["never", "forever", "infinite", "infinity", "inf", "∞"])
"""Texts that mean an infinite number."""


class Judged(NamedTuple):
    """A guess beside the answer, both as texts, whether it is `right`, and a sentence about it.

    `sizes` are both as numbers, of a `NumberQuestion` only.
    """

    guess: str
    answer: str
    right: bool
    words: str
    sizes: tuple[float, float] | None = None


class NumberQuestion:
    """A question for a number of `unit`s, such as "s", "%", "bytes" or "attempts"; empty: it has none.

    A guess is right if it is off by at most `within`: by default by 5 % of the answer, or by nothing if
    `whole` (only whole numbers can be guessed). The answer may be infinite, which is "never".

    Errors: `NotANumber` if the answer isn't one.
    """

    def __init__(
        self, answer: float, unit: str = "", *, within: float | None = None, whole: bool = False
    ) -> None:
        self.answer = _read(answer, unit)
        self.unit = unit
        self.within = within if within is not None else 0.0 if whole else SHARE * abs(self.answer)
        self.whole = whole

    def judge(self, guess: object) -> Judged:
        """Judge a guess: a number, or a text such as "10", "10,5 s", "1,000" or "never".

        Errors: `NotANumber` saying what to write instead.
        """
        number = _read(guess, self.unit)
        if self.whole and isfinite(number) and number != round(number):
            raise NotANumber(f"{quote_given(guess)} isn't a whole number.")
        off = 0.0 if number == self.answer else abs(number - self.answer)
        right = off == 0 or off <= self.within * (1 + 1e-9) < inf
        shown = self.show(number), self.show(self.answer)
        return Judged(*shown, right, self._words(number, off, right), (number, self.answer))

    def show(self, number: float) -> str:
        """Return a number with its unit, as people read it."""
        unit = f"{'' if self.unit in ('', '%') else ' '}{singular(self.unit) if number == 1 else self.unit}"
        return f"{shown_number(number)}{unit if isfinite(number) else ''}"

    def _words(self, guess: float, off: float, right: bool) -> str:
        if right:
            return f"Right, within {self.show(self.within)}." if off else "Right."
        if off == inf:
            return "It does come to an end." if guess == inf else "It never comes to an end."
        if 0 < 2 * guess <= self.answer:
            return f"The answer is {shown_number(self.answer / guess, 2)} times your guess."
        if 0 < 2 * self.answer <= guess:
            return f"Your guess is {shown_number(guess / self.answer, 2)} times the answer."
        side = "more" if self.answer > guess else "less"
        return f"The answer is {self.show(self.answer)}, {shown_number(off)} {side} than your guess."


class ChoiceQuestion:
    """A question with several `options`, texts, of which `answer` is the right one.

    Errors: `SettingsError` if the answer isn't an option.
    """

    def __init__(self, answer: str, options: Sequence[str]) -> None:
        self.options = tuple(options)
        self.answer = answer
        if answer not in self.options:
            raise SettingsError(f"answer: give one of the options, {self._all()}, got {quoted(answer)}")

    def judge(self, guess: object) -> Judged:
        """Judge a guess: one of the options, in letters of any case, also in quotes.

        Errors: `SettingsError` naming the options.
        """
        known = {option.casefold(): option for option in self.options}
        option = known.get(guess.strip().strip("\"'").casefold()) if isinstance(guess, str) else None
        if option is None:
            raise SettingsError(f"choose one of {self._all()}, got {quote_given(guess)}")
        right = option == self.answer
        return Judged(option, self.answer, right, "Right." if right else f"It is: {self.answer}.")

    def _all(self) -> str:
        return ", ".join(self.options)


class ForgeryQuestion:
    """A question for a text that forges an event of that type with that `data` in an event stream."""

    def __init__(self, event_type: str, data: str) -> None:
        self.event = (event_type, data)

    def judge(self, guess: object) -> Judged:
        """Judge a guess: a text that a server writes into the data of an event.

        Errors: `SettingsError` if it isn't one.
        """
        if not isinstance(guess, str):
            raise SettingsError(f"{quote_given(guess)} isn't a text; write a string in quotes")
        stream = f"data: {guess}\n\n".encode(errors="replace")
        read = [(event.type, event.data) for event in EventStreamParser().feed(stream)]
        right = self.event in read
        answer = self._show([self.event])
        return Judged(self._show(read[:5]), answer, right, "Right." if right else f"It is: {answer}.")

    def _show(self, events: Sequence[tuple[str, str]]) -> str:
        shown = (f"type {event_type}, data {quote_given(data)}" for event_type, data in events)
        return f"a reader gets {'; '.join(shown) or 'no event'}"


Question = NumberQuestion | ChoiceQuestion | ForgeryQuestion


def complaint(error: ValueError) -> str:
    """Return what is wrong with a guess that can't be judged, as a sentence."""
    text = str(error)
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def shown_number(number: float, digits: int = 3) -> str:
    """Return a number with `digits` significant digits or more, and commas between thousands.

    An infinite one is "never".
    """
    if not isfinite(number):
        return "never"
    if abs(number) >= 10**digits or number == round(number):
        return f"{number:,.0f}"
    return f"{number:.{digits}g}"


def _read(given: object, unit: str) -> float:
    """Return a number, which may be infinite."""
    if given == inf or (isinstance(given, str) and given.strip().casefold().rstrip(".!") in NEVER):
        return inf
    return read_number(given, unit)
