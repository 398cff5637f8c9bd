"""The panel's experiments: the live run as a scenario, the same with a crowd, and a sequence diagram."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from contextvars import copy_context

import ipywidgets as widgets
from matplotlib.axes import Axes
from msgspec.structs import replace

from chatlab.errors import SettingsError
from chatlab.experiment.run import Run
from chatlab.experiment.worlds.runner import run
from chatlab.plots.run import plot_run
from chatlab.plots.sequence import plot_latest
from chatlab.plots.sequence_lines import sequence
from chatlab.plots.style import figure_of
from chatlab.studies.live_record import LiveRecord
from chatlab.studies.recorded import RecordedScenario, fault_spans, faults_of, scenario_of
from chatlab.widgets.controls import button
from chatlab.widgets.listing import Listing
from chatlab.widgets.picture import Picture

CROWDS = (100, 1_000, 10_000)
"""Numbers of people to choose from."""
NOTHING = "nothing has happened yet: connect first, or send a message"
PATIENCE = 2.0
"""Seconds to wait for the first recorded step of a transport."""

_RUNNING = ThreadPoolExecutor(max_workers=1, thread_name_prefix="chatlab-experiments")


class PanelExperiment:
    """Buttons that make an experiment of a panel's live run.

    `record` returns the record of the transport in use, or None. `reporting` is a context manager around
    each action of a person, which reports errors. `chooser` is a control before the buttons, which chooses
    the record.
    """

    def __init__(
        self,
        record: Callable[[], LiveRecord | None],
        reporting: Callable[[str], AbstractContextManager[object]],
        *chooser: widgets.Widget,
    ) -> None:
        self._record = record
        self._reporting = reporting
        self._context = copy_context()  # ipykernel 7.0 looks up the cell in it
        self.texts = widgets.Checkbox(
            value=False,
            description="with texts",
            indent=False,
            layout=widgets.Layout(width="auto", margin="2px 16px 2px 2px"),
        )
        self.people = widgets.Dropdown(
            options=[(f"{count:,} people", count) for count in CROWDS],
            value=1_000,
            description="Crowd",
            style={"description_width": "auto"},
            layout=widgets.Layout(width="14em"),
        )
        self.as_scenario = button("As a scenario", self._show_scenario)
        self.simulate = button("Simulate", self._show_crowd)
        self.sequence = button("Sequence diagram", self._show_sequence)
        self.listing = Listing()
        self.picture = Picture()
        self.words = widgets.HTML()
        self.words.add_class("chatlab-words")
        for shown in (self.listing, self.picture, self.words):
            shown.layout.display = "none"
        row = widgets.Layout(flex_flow="row wrap", align_items="center")
        self.view = widgets.VBox(
            [
                widgets.HBox(
                    [*chooser, self.as_scenario, self.texts, self.people, self.simulate, self.sequence],
                    layout=row,
                ),
                self.listing,
                self.picture,
                self.words,
            ]
        )

    def scenario(self, *, texts: bool = False) -> RecordedScenario:
        """Return the live run of the transport in use as a scenario. Errors: `SettingsError`."""
        return scenario_of(self._recorded(), texts=texts)

    def crowd(self, people: int) -> Run:
        """Return a run of the model in which `people` have the same settings and faults.

        Errors: `SettingsError`.
        """
        return run(self.scenario().with_people(people))

    def plot_sequence(self) -> Axes:
        """Draw the latest frames between the transport in use and its server. Errors: `SettingsError`."""
        return plot_record(self._recorded())

    def _recorded(self) -> LiveRecord:
        record = self._record()
        deadline = time.monotonic() + PATIENCE
        while record is not None and record.began_at is None and time.monotonic() < deadline:
            time.sleep(0.01)  # The transport's loop is about to record what was just asked for.
        if record is None or record.began_at is None:
            raise SettingsError(NOTHING)
        return record

    def _show_scenario(self) -> None:
        with self._reporting("No scenario"):
            made = self.scenario(texts=self.texts.value)
            self.listing.show({"TOML": (made.toml, "scenario.toml"), "Python": (made.python, "scenario.py")})
            self._display(self.listing)

    def _show_crowd(self) -> None:
        with self._reporting("Not simulated"):
            scenario = self.scenario().with_people(self.people.value)
            self.simulate.disabled = True
            _RUNNING.submit(self._context.copy().run, self._simulate, scenario)

    def _simulate(self, scenario: object) -> None:
        try:
            with self._reporting("Not simulated"):
                result = run(scenario)  # type: ignore[arg-type]
                self._picture(plot_run(result, "crowd"), result.answer)
        finally:
            self.simulate.disabled = False

    def _show_sequence(self) -> None:
        with self._reporting("No sequence diagram"):
            self._picture(self.plot_sequence(), "")

    def _picture(self, axes: Axes, words: str) -> None:
        self.picture.show(figure_of(axes), words or "The latest frames between client and server, in order")
        self.words.value = words
        self._display(self.picture, self.words)

    def _display(self, *shown: widgets.Widget) -> None:
        for widget in (self.listing, self.picture, self.words):
            widget.layout.display = None if widget in shown else "none"


def plot_record(record: LiveRecord) -> Axes:
    """Draw the latest frames of a record, with times since its first action.

    Errors: `SettingsError` if nothing has happened yet.
    """
    if (origin := record.began_at) is None:
        raise SettingsError(NOTHING)
    lines = [replace(line, at=line.at - origin) for line in sequence(record.steps)]
    end = time.monotonic() - origin
    until = lines[-1].at if lines else 0.0
    begun = [fault for fault in fault_spans(faults_of(record, origin)) if fault.start <= until]
    return plot_latest(lines, record.config.sender, begun, end=end)
