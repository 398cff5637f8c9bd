"""Base of the explorers: a question, controls, and a plot that follows them."""

from __future__ import annotations

import base64
import html
import re
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import ipywidgets as widgets
from matplotlib.figure import Figure
from msgspec import Struct

from chatlab.errors import SettingsError
from chatlab.live.loggers import get_logger
from chatlab.widgets.picture import Picture

_log = get_logger(__name__)
_DRAWING = ThreadPoolExecutor(max_workers=1, thread_name_prefix="chatlab-explorers")

STYLE = {"description_width": "11em"}
FIELD = {"width": "26em"}


class Answer(Struct, frozen=True):
    """The result of an explorer: a figure, and its meaning in words."""

    figure: Figure
    words: str


class Explorer(widgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """A `question`, `controls` by name, and a plot.

    `answer` is called with the controls' values as keyword arguments, on a background thread. Of changes in
    quick succession, only the latest is drawn.

    If settings are invalid, the plot stays and the error is shown below it.
    """

    def __init__(
        self, question: str, controls: Mapping[str, Any], answer: Callable[..., Answer], *more: widgets.Widget
    ) -> None:
        self.question = question
        self.controls = dict(controls)
        self._answer = answer
        self._guard = threading.Lock()
        self._context = copy_context()  # ipykernel 7.0 looks up the cell in it
        self._waiting = False
        self._idle = threading.Event()
        self.picture = Picture(name=_file_name(question))
        self.words = widgets.HTML()
        self.words.add_class("chatlab-words")
        heading = widgets.HTML(f"<h3 class='chatlab-question'>{html.escape(question)}</h3>")
        fields = widgets.HBox(
            list(self.controls.values()),
            layout=widgets.Layout(flex_flow="row wrap", align_items="flex-start"),
        )
        super().__init__([heading, fields, *more, self.picture, self.words])
        self.add_class("chatlab-explorer")
        for control in self.controls.values():
            control.observe(self._changed, "value")
        self._changed()

    @property
    def values(self) -> dict[str, Any]:
        """The controls' values by name."""
        return {name: control.value for name, control in self.controls.items()}

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the plot shows the controls' values; return False after `timeout` seconds."""
        return self._idle.wait(timeout)

    def show(self, answer: Answer) -> None:
        """Show an answer; from any thread."""
        self.picture.show(answer.figure, answer.words, busy=self._waiting)
        self.words.value = html.escape(answer.words)

    def say(self, words: str) -> None:
        """Show a text in place of the answer's words, and keep the plot."""
        self.picture.busy = self._waiting
        self.words.value = html.escape(words)

    def _changed(self, _change: object = None) -> None:
        with self._guard:
            self._idle.clear()
            wanted, self._waiting = not self._waiting, True
        if wanted:
            self.picture.busy = True
            _DRAWING.submit(self._context.run, self._draw)

    def _draw(self) -> None:
        with self._guard:
            self._waiting = False
        try:
            self.show(self._answer(**self.values))
        except SettingsError as error:
            self.say(f"These settings can't be used: {error}")
        except Exception as error:
            _log.exception("an explorer couldn't draw")
            self.say(f"This couldn't be drawn: {type(error).__name__}: {error}")
        with self._guard:
            if not self._waiting:
                self._idle.set()

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """Add the question, plot and words, which a saved notebook shows without a kernel."""
        bundle: dict[str, Any] = super()._repr_mimebundle_(**kwargs)
        self.wait(10.0)
        bundle["text/plain"] = f"{self.question}\n{self.picture.alt}"
        if self.picture.png:
            bundle["image/png"] = base64.b64encode(self.picture.png).decode("ascii")
        return bundle


def _file_name(question: str) -> str:
    """Return a name for a file with the question's plot: its words, joined by hyphens."""
    return "-".join(re.findall(r"\w+", question.lower())) or "plot"


def choice(label: str, options: list[str], value: str) -> widgets.Widget:
    """Return a menu for one of several options."""
    return widgets.Dropdown(options=options, value=value, description=label, style=STYLE, layout=FIELD)


def choices(label: str, options: list[str], value: list[str]) -> widgets.Widget:
    """Return a list for any number of several options."""
    return widgets.SelectMultiple(
        options=options,
        value=value,
        rows=6,
        description=f"{label} (Ctrl adds)",
        style=STYLE,
        layout=FIELD,
    )
