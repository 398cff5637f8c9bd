"""A question that takes a person's guess before it shows the answer, and puts the two side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import isfinite
from typing import Any, Generic, TypeVar

import ipywidgets as widgets
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from chatlab.errors import SettingsError
from chatlab.live.loggers import get_logger
from chatlab.plots.style import figure_of
from chatlab.studies.guesses import ChoiceQuestion, Judged, NumberQuestion, Question, complaint
from chatlab.studies.predictions import PREDICTIONS
from chatlab.text import unknown_name, visible_line
from chatlab.widgets import assets
from chatlab.widgets.pacing import Message, SnapshotWidget
from chatlab.widgets.picture import Picture
from chatlab.widgets.text import encodable

__all__ = ["Guess", "guess_choice", "guess_number", "guess_seconds", "predict"]

MOST_CHARS = 1_000
"""Maximum characters of a guess that a page may send."""

_log = get_logger(__name__)
_ANSWERING = ThreadPoolExecutor(max_workers=1, thread_name_prefix="chatlab-guesses")

T = TypeVar("T")


class GuessForm(SnapshotWidget):
    """The view of a question: a field or buttons for the guess, then the guess beside the answer.

    Neither guess nor answer is part of the synced state: nothing is saved that was typed, and nobody finds
    the answer in the page. The page sends `{type: "guess", text}`, and `{type: "again"}` to guess anew.
    """

    _esm = assets.module("guess.js")

    def __init__(self, question: str, options: Sequence[str], unit: str) -> None:
        self._question = str(encodable(question))
        self._options = [str(encodable(option)) for option in options]
        self._unit = str(encodable(unit))
        self._state = "asking"
        self._complaint = ""
        self._judged: Judged | None = None
        self.on_guess: Callable[[str], object] = lambda text: None
        self.on_again: Callable[[], object] = lambda: None
        super().__init__()

    def show(self, state: str, *, complaint: str = "", judged: Judged | None = None) -> None:
        """Show the state "asking", "computing" or "answered", a complaint, and the judged guess."""
        self._state, self._complaint, self._judged = state, complaint, judged
        self._changed()

    def transcript(self) -> str:
        """Return the question, and the guess with the answer if both are there."""
        one = self._judged
        lines = [self._question, *(f"- {option}" for option in self._options)]
        if one is not None:
            lines += [f"Your guess: {one.guess}", f"The answer: {one.answer}", one.words]
        return "\n".join(map(visible_line, lines))

    def _snapshot(self) -> Message:
        judged = None
        if self._judged is not None:
            judged = {name: getattr(self._judged, name) for name in ("guess", "answer", "right", "words")}
            judged["sizes"] = _drawn(self._judged.sizes)
        return {
            "type": "guess",
            "question": self._question,
            "options": self._options,
            "unit": self._unit,
            "state": self._state,
            "complaint": str(encodable(self._complaint)),
            "judged": judged,
        }

    def _answer(self, message: Message) -> None:
        match message:
            case {"type": "guess", "text": str(text)} if len(text) <= MOST_CHARS:
                self.on_guess(text)
            case {"type": "again"}:
                self.on_again()
            case _:
                super()._answer(message)


class Guess(widgets.VBox, Generic[T]):  # type: ignore[misc]  # ipywidgets has no types
    """A question that shows its answer once a person has guessed.

    `answer` is the answer, or a function that computes it, which is called on a background thread after the
    first guess that can be read. `ask` makes the question of it. `plot` draws what is shown below the answer.
    """

    def __init__(
        self,
        question: str,
        answer: T | Callable[[], T],
        ask: Callable[[T], Question],
        *,
        options: Sequence[str] = (),
        unit: str = "",
        check: Callable[[object], object] = lambda guess: None,
        plot: Callable[[], Axes | Figure] | None = None,
    ) -> None:
        self._given = answer
        self._ask = ask
        self._check = check
        self._plot = plot
        self._known: Question | None = None
        self._guard = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()
        self.judged: Judged | None = None
        """The guess beside the answer; None before a guess."""
        self.form = GuessForm(question, options, unit)
        self.picture = Picture()
        self.picture.layout.display = "none"
        super().__init__([self.form, self.picture])
        self.add_class("chatlab-guess")
        self.form.on_guess = self.take
        self.form.on_again = self.again

    def take(self, guess: object) -> None:
        """Take a guess, and show the answer soon; a complaint in words if it can't be read."""
        with self._guard:
            if self.judged is not None or not self._idle.is_set():
                return
            try:
                self._check(guess)
            except ValueError as error:
                self.form.show("asking", complaint=complaint(error))
                return
            self._idle.clear()
        self.form.show("computing")
        _ANSWERING.submit(self.form.context.copy().run, self._judge, guess)

    def again(self) -> None:
        """Ask once more, and hide the answer."""
        with self._guard:
            if not self._idle.is_set():
                return
            self.judged = None
        self.picture.layout.display = "none"
        self.form.show("asking")

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until a guess that was taken is judged; return False after `timeout` seconds."""
        return self._idle.wait(timeout)

    def _judge(self, guess: object) -> None:
        complaint, judged = "", None
        try:
            if self._known is None:
                given: Any = self._given
                self._known = self._ask(given() if callable(given) else given)
            judged = self._known.judge(guess)
            self._draw()
        except Exception as error:
            _log.exception("a question's answer couldn't be computed")
            complaint, judged = f"The answer couldn't be computed: {type(error).__name__}: {error}", None
        with self._guard:  # A person who sees the answer may ask for the next guess at once.
            self.judged = judged
            self.form.show("answered" if judged else "asking", complaint=complaint, judged=judged)
            self._idle.set()

    def _draw(self) -> None:
        if self._plot is not None:
            drawn = self._plot()
            figure = drawn if isinstance(drawn, Figure) else figure_of(drawn)
            self.picture.show(figure, "The answer as a plot")
            self.picture.layout.display = None

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = super()._repr_mimebundle_(**kwargs)
        bundle["text/plain"] = self.form.transcript()
        return bundle


def guess_number(
    question: str,
    answer: float | Callable[[], float],
    unit: str = "",
    *,
    within: float | None = None,
    whole: bool = False,
    plot: Callable[[], Axes | Figure] | None = None,
) -> Guess[float]:
    """Return a question for a number of `unit`s. The answer may be a function, called after the guess.

    A guess may be typed as "10", "10,5 s" or "1,000 ms". It is right if it is off by at most `within`: by
    default by 5 % of the answer, or by nothing if `whole`. `plot` draws a figure to show with the answer.
    """

    def ask(number: float) -> NumberQuestion:
        return NumberQuestion(number, unit, within=within, whole=whole)

    check = NumberQuestion(0.0, unit, whole=whole).judge
    return Guess(question, answer, ask, unit=unit, check=check, plot=plot)


def guess_seconds(
    question: str,
    answer: float | Callable[[], float],
    *,
    within: float | None = None,
    plot: Callable[[], Axes | Figure] | None = None,
) -> Guess[float]:
    """Return a question for a number of seconds, as `guess_number` does; the answer may be infinite."""
    return guess_number(question, answer, "s", within=within, plot=plot)


def guess_choice(
    question: str,
    answer: str | Callable[[], str],
    options: Sequence[str],
    *,
    plot: Callable[[], Axes | Figure] | None = None,
) -> Guess[str]:
    """Return a question with several options. The answer may be a function, called after the guess.

    Errors: `SettingsError` if there are no options, or an answer that is given isn't one of them.
    """
    if not options:
        raise SettingsError("options: give two or more")
    first = answer if isinstance(answer, str) else options[0]
    check = ChoiceQuestion(first, options).judge
    return Guess(
        question,
        answer,
        lambda option: ChoiceQuestion(option, options),
        options=options,
        check=check,
        plot=plot,
    )


def predict(notebook: str) -> Guess[Any]:
    """Return the question of a notebook of chatlab's, by its name in `PREDICTIONS`.

    Errors: `SettingsError` if there is none.
    """
    found = PREDICTIONS.get(notebook)
    if found is None:
        raise SettingsError(f"prediction: {unknown_name(notebook, PREDICTIONS)}")
    if isinstance(found.answer, str):
        return guess_choice(found.question, found.answer, found.options)
    return guess_number(found.question, found.answer, found.unit, within=found.within)


def _drawn(sizes: tuple[float, float] | None) -> list[float | None] | None:
    """Return the sizes as lengths of bars from 0 to 1, None for an infinite one; None: there are no bars."""
    if sizes is None or min(sizes) < 0:
        return None
    most = max((size for size in sizes if isfinite(size)), default=0.0)
    return [size / most if isfinite(size) and most else 0.0 if isfinite(size) else None for size in sizes]
