"""Slow motion: a conversation in the wire world, paced or stepped, in the views of the panel.

The run is computed before it is shown. What a person does while they watch it, such as to send a message or
to inject a fault, is added to the scenario at that time, and the run is computed again. The same scenario
gives the same steps, so all that was shown before stays as it is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from html import escape
from math import floor
from typing import Any

import ipywidgets as widgets

from chatlab.conversation import explain
from chatlab.errors import SettingsError
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.sim.faults import Fault
from chatlab.sim.faults.phrases import phrase_of, read_faults
from chatlab.widgets.acts import with_faults, with_text, without_faults
from chatlab.widgets.collapsible import Collapsible
from chatlab.widgets.controls import button
from chatlab.widgets.fault_controls import FaultControls
from chatlab.widgets.named_box import NamedBox
from chatlab.widgets.paced_clock import PacedClock
from chatlab.widgets.pacing import PacedWidget
from chatlab.widgets.playback import INSTANT, Playback
from chatlab.widgets.playback_views import PlaybackViews, latest_in_words
from chatlab.widgets.slider import Slider

RATES = {"1×": 1.0, "0.1×": 0.1, "0.01×": 0.01}
"""Speeds to choose from, in seconds of the scenario in each second."""
TICK = 0.25
"""Maximum seconds between two updates of the time while it runs."""
MILLISECOND = 0.001

_RUNNING = ThreadPoolExecutor(max_workers=1, thread_name_prefix="chatlab-slow-motion")


class SlowMotion(NamedBox):
    """A scenario in the wire world, as one `person` sees it: by default the first.

    Time in it runs at 1, 0.1 or 0.01 seconds in each second, stands still, steps to the next frame, or jumps.
    The views are those of the panel. Texts and faults are added to the `scenario` at the present time, and
    the run is computed again, which takes as long as `run(scenario, "wire")`.

    A new one of the same `name` replaces the old one, so a cell can be run again.

    Errors: `SettingsError` if the wire world can't run the scenario, or there is no such person.
    """

    def __init__(self, scenario: Scenario, person: str | None = None, *, name: str = "slow motion") -> None:
        names = scenario.people.names
        person = names[0] if person is None else person
        if person not in names:
            raise SettingsError(f"person: choose from {', '.join(names[:5])}, got {person!r}")
        self._sample = names.index(person) + 1
        self._playback = Playback(self._run(scenario), person)
        self._take_name(name)
        self.scenario = scenario
        self.person = person
        self._clock = PacedClock(scenario.duration)
        self._guard = threading.Lock()
        self._pending = 0
        self._resuming = False
        self._complaint = ""
        self.next_flush_at = 0.0  # for the pacer, which calls `flush`
        self.context = copy_context()

        self._views = views = PlaybackViews()
        self.messages, self.frames, self.badge = views.messages, views.frames, views.badge
        self.timeline, self.picture = views.timeline, views.picture
        self.messages.on_send(self._send_text)
        self.messages.on_retry(self._retry)
        self._running = button("Resume", self._toggle, "primary")
        self.rate = widgets.Dropdown(
            options=RATES,
            value=1.0,
            description="Speed",
            style={"description_width": "auto"},
            layout=widgets.Layout(width="9em"),
        )
        self.rate.observe(self._rate_chosen, "value")
        self.time = Slider("Time (s)", 0.0, 0.0, scenario.duration)
        self._time = 0.0
        self.time.observe(self._time_chosen, "value")
        self.words = widgets.HTML()
        for style in ("chatlab-note", "chatlab-wide"):
            self.words.add_class(style)
        self.controls = FaultControls(self.play, self.end_faults, reporting=self._reporting)
        row = widgets.Layout(flex_flow="row wrap", align_items="center")
        watched = widgets.Box([self.picture], layout=widgets.Layout(flex="3 1 400px", min_width="0"))
        said = widgets.Box([self.messages], layout=widgets.Layout(flex="2 1 300px", min_width="260px"))
        super().__init__(
            [
                widgets.HBox(
                    [
                        self._running,
                        button("Back", self.back),
                        button("Next", self.next),
                        self.rate,
                        self.time,
                    ],
                    layout=row,
                ),
                self.badge,
                self.words,
                widgets.HBox([watched, said], layout=widgets.Layout(flex_flow="row wrap")),
                self.timeline,
                self.controls.view,
                Collapsible("Frames", self.frames).view,
            ]
        )
        self.add_class("chatlab-panel")
        self.add_class("chatlab-slow-motion")
        self._wake()

    # Time

    @property
    def now(self) -> float:
        """The present time in the scenario, in seconds."""
        return self._clock.now

    def resume(self) -> None:
        """Start time; from the beginning if it has ended."""
        if self.now >= self._clock.end:
            self.jump(0.0)
        self._clock.resume()
        self._wake()

    def pause(self) -> None:
        """Stop time."""
        self._clock.pause()
        self._wake()

    def next(self) -> None:
        """Stop at the next moment: the person sends or receives a frame, or a fault begins or ends."""
        self._step(self._playback.following)

    def back(self) -> None:
        """Stop at the moment before this one."""
        self._step(self._playback.preceding)

    def jump(self, at: float) -> None:
        """Jump to a time in seconds, forward or back."""
        self._complaint = ""
        self._clock.jump(at)
        self._wake()

    def _step(self, moment: Callable[[float], float]) -> None:
        self._clock.pause()
        self.jump(moment(self.now))

    def _toggle(self) -> None:
        if self._clock.running:
            self.pause()
        else:
            self.resume()

    def _rate_chosen(self, change: Any) -> None:
        self._clock.rate = change["new"]
        self._wake()

    def _time_chosen(self, change: Any) -> None:
        if change["new"] != self._time:  # not by `flush`
            self.jump(change["new"])

    # Actions

    def send(self, text: str) -> None:
        """Send a message as the person.

        Errors: `SettingsError` for a text that a scenario can't have, or at the end of the run.
        """
        self._act(lambda scenario, at: with_text(scenario, at, self.person, text))

    def play(self, faults: str | Sequence[Fault]) -> None:
        """Inject faults such as "down at 10 for 5" or `[ServerDown(at=10, duration=5)]`, in seconds from now.

        Errors: `SettingsError` for a fault that can't be read, or at the end of the run.
        """
        script = read_faults(faults) if isinstance(faults, str) else list(faults)
        self._act(lambda scenario, at: with_faults(scenario, at, script))

    def end_faults(self) -> None:
        """End all faults, and cancel those to come. Errors: `SettingsError` at the end of the run."""
        self._act(without_faults)

    def _act(self, change: Callable[[Scenario, float], Scenario]) -> None:
        """Change the scenario from the next millisecond on, and compute the run again in the background."""
        with self._guard:
            at = (floor((self.now + INSTANT) / MILLISECOND) + 1) * MILLISECOND
            if at >= self._clock.end:
                raise SettingsError("the conversation is over: go back to an earlier time")
            at = round(at, 3)
            self.scenario = scenario = change(self.scenario, at)
            self._resuming = self._resuming or self._clock.running
            self._clock.pause()
            self._pending += 1
        self._complaint = ""
        self._wake()
        _RUNNING.submit(self.context.copy().run, self._run_again, scenario, at)

    def _run_again(self, scenario: Scenario, at: float) -> None:
        try:
            playback = Playback(self._run(scenario), self.person)
        except Exception as error:
            self.scenario = self._playback.run.scenario
            self._complaint = f"Not done: {explain(error)}."
        else:
            self._playback = playback
            self._clock.jump(max(at, self.now))
        with self._guard:
            self._pending -= 1
            if not self._pending and self._resuming:
                self._resuming = False
                self._clock.resume()
        self._wake()

    def _run(self, scenario: Scenario) -> Run:
        return run(scenario, "wire", sample=self._sample)

    def _send_text(self, text: str) -> None:
        with self._reporting("Not sent"):
            self.send(text)

    def _retry(self, key: str) -> None:
        if key in (rows := self._playback.messages(self.now)):
            self._send_text(rows[key]["text"])

    @contextmanager
    def _reporting(self, what: str) -> Iterator[None]:
        """Show an error below the controls and suppress it: an exception of a button is shown nowhere."""
        try:
            yield
        except (Exception, SystemExit) as error:
            self._complaint = f"{what}: {explain(error)}."
            self._wake()

    # Views, on the pacer's thread

    def _wake(self) -> None:
        PacedWidget.pacer.wake(self)

    def flush(self) -> float | None:
        """Show the present time; return the seconds until the views change, or None while time stands."""
        if self.comm is None:  # closed
            return None
        playback, now = self._playback, self._clock.now
        rate = self._clock.rate if self._clock.running else 0.0
        self._show_faults(playback, now)
        self._views.show(playback, now, rate)
        self._running.description = "Pause" if rate or self._resuming else "Resume"
        self._time = round(now, 3)
        self.time.value = self._time
        words = self._complaint or ("Computing …" if self._pending else playback.words(now))
        self.words.value = escape(words)
        return min((playback.following(now) - now) / rate, TICK) if rate else None

    def _show_faults(self, playback: Playback, now: float) -> None:
        faults = [fault for fault in playback.run.scenario.faults if fault.ends_at(1) > now + INSTANT]
        texts = [phrase_of(fault, duration=False) for fault in faults if fault.at <= now + INSTANT]
        words = f"Under way: {'; '.join(texts)}." if texts else "No fault is under way."
        self.controls.show(words, any_left=bool(faults))

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """Add the latest frames as text, which a saved notebook shows without a kernel."""
        bundle: dict[str, Any] = super()._repr_mimebundle_(**kwargs)
        lines = latest_in_words(self._playback.lines(self.now))
        bundle["text/plain"] = "\n".join([f"Slow motion of {self.person}, at {self.now:.3f} s", *lines])
        return bundle

    def close(self) -> None:
        """Stop time, and remove the views."""
        if self.comm is None:
            return
        self._clock.pause()
        self._close_parts(self.frames)
