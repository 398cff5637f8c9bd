"""Controls that inject the faults of scenarios between the panel and its server."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from html import escape

import ipywidgets as widgets
from msgspec.structs import FieldInfo

from chatlab.experiment.fault_proxy import OWN_SERVER_FAULTS
from chatlab.settings.base import choices_of
from chatlab.sim.faults import Fault, Loss
from chatlab.sim.faults.phrases import KINDS, kind_name, lasts, settings_of
from chatlab.widgets.controls import button

SCRIPT = "down at 10 for 5; latency 0.3 at 20 for 10"
"""An example of a script."""
SAMPLES = {"bandwidth": "2000"}
"""Values that settings without a default begin with."""
LABELS = {"latency": "by (s)", "retry_after": "retry after (s)", "service_time": "per request (s)"}
"""Labels of settings whose names don't say their unit."""
UNITS = {"jitter": "s", "timeout": "s", "period": "s", "down": "s", "bandwidth": "bytes/s", "size": "bytes"}

_SHORT = {"description_width": "auto"}
_WRAP = {"flex_flow": "row wrap", "align_items": "center"}


class FaultControls:
    """A menu of faults with fields for their settings, a script, and the faults that are under way.

    `play` is called with the text of faults, `end` to end all of them. `own_server` says whether the server
    can take part. `reporting` is a context manager around each action of a person, which reports errors.
    """

    def __init__(
        self,
        play: Callable[[str], object],
        end: Callable[[], object],
        *,
        own_server: bool = True,
        reporting: Callable[[str], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._play = play
        self._end = end
        self._reporting = reporting
        offered = {
            kind_name(kind): kind
            for kind in KINDS.values()
            if kind is not Loss and (own_server or not issubclass(kind, OWN_SERVER_FAULTS))
        }
        self.kind = widgets.Dropdown(
            options=offered,
            description="Fault",
            style=_SHORT,
            layout=widgets.Layout(width="14em"),
        )
        self.inject = button("Inject", self._inject)
        self.ending = button("End all faults", self._ask_end)
        self.ending.disabled = True
        self.script = widgets.Text(
            description="Script",
            placeholder=SCRIPT,
            style=_SHORT,
            continuous_update=False,
            layout=widgets.Layout(width="28em", max_width="98%"),
        )
        self.playing = button("Play", self._play_script)
        self.under_way = widgets.HTML("No fault is under way.")
        self.under_way.add_class("chatlab-note")
        self._fields: dict[str, widgets.Text | widgets.Dropdown] = {}
        self._settings = widgets.HBox(layout=widgets.Layout(**_WRAP))
        self._show_settings()
        self.kind.observe(lambda _: self._show_settings(), "value")
        self.view = widgets.VBox(
            [
                widgets.HBox(
                    [self.kind, self._settings, self.inject, self.ending], layout=widgets.Layout(**_WRAP)
                ),
                widgets.HBox([self.script, self.playing, self.under_way], layout=widgets.Layout(**_WRAP)),
            ]
        )

    def _show_settings(self) -> None:
        """Show a field for each setting of the chosen kind."""
        kind: type[Fault] = self.kind.value
        fields = {field.name: _field(field) for field in settings_of(kind)}
        if lasts(kind):
            fields["for"] = _text("for (s)", "10", "until ended")
        before, self._fields = self._fields, fields
        self._settings.children = tuple(fields.values())
        for field in before.values():
            field.close()

    def phrase(self) -> str:
        """Return the chosen fault as a phrase."""
        words = [self.kind.value.__struct_config__.tag]
        for name, field in self._fields.items():
            if value := field.value.strip():
                words += [name, "_".join(value.split())]
        return " ".join(words)

    def show(self, under_way: str, *, any_left: bool) -> None:
        """Show the faults that are under way, and whether any is left to be ended."""
        self.under_way.value = escape(under_way)
        self.ending.disabled = not any_left

    def _inject(self) -> None:
        with self._reporting("Not injected"):
            self._play(self.phrase())

    def _play_script(self) -> None:
        with self._reporting("Not played"):
            self._play(self.script.value)

    def _ask_end(self) -> None:
        with self._reporting("Not ended"):
            self._end()


def _field(field: FieldInfo) -> widgets.Text | widgets.Dropdown:
    label = LABELS.get(field.name) or field.name + (f" ({UNITS[field.name]})" if field.name in UNITS else "")
    if choices := choices_of(field.type):
        return widgets.Dropdown(
            options=choices,
            value=field.default[0] if isinstance(field.default, tuple) else field.default,
            description=label,
            style=_SHORT,
            layout=widgets.Layout(width="11em"),
        )
    if field.required:
        return _text(label, SAMPLES.get(field.name, ""))
    return _text(label, "" if field.default is None else f"{field.default:g}", "none")


def _text(label: str, value: str, placeholder: str = "") -> widgets.Text:
    width = f"{max(8.0, 0.55 * len(label) + 5.5):.1f}em"
    return widgets.Text(
        value=value,
        placeholder=placeholder,
        description=label,
        style=_SHORT,
        layout=widgets.Layout(width=width),
    )
