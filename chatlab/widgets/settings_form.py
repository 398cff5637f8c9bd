"""The form in which a person sets a transport up."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets

from chatlab.dialects import DIALECTS
from chatlab.errors import SettingsError
from chatlab.presets import PRESETS
from chatlab.settings import (
    JITTERS,
    OVERFLOWS,
    HeartbeatConfig,
    TransportConfig,
    WebSocketConfig,
)

CUSTOM = "custom"
TRANSPORTS: dict[str, type[TransportConfig]] = {"WebSocket": WebSocketConfig}
"""The settings' class of each transport that a panel offers."""

_SHORT = {"description_width": "auto"}
_LABEL = {"description_width": "11em"}
_FIELD = widgets.Layout(width="20.5em")


class SettingsForm:
    """Fields for where to connect, and how: `where` and `how` are the widgets, `config()` reads them.

    Numbers are free to be wrong here; `config()` says what is wrong with them.
    """

    def __init__(self, config: TransportConfig) -> None:
        self._base = config
        self.transport = widgets.Dropdown(
            options=list(TRANSPORTS),
            description="Transport",
            style=_SHORT,
            layout=widgets.Layout(width="13em"),
        )
        self.url = _text("URL", config.url, "20em")
        self.room = _text("Room", config.room, "11em")
        self.sender = _text("Name", config.sender, "11em")
        self.dialect = _choice("Dialect", sorted(DIALECTS), config.dialect)
        self.preset = _choice("Backoff preset", [CUSTOM, *PRESETS], CUSTOM)
        reconnect, outbox = config.reconnect, config.outbox
        heartbeat = getattr(config, "heartbeat", HeartbeatConfig())
        self.numbers: dict[str, widgets.FloatText | widgets.IntText] = {
            "base_delay": _seconds("First delay (s)", reconnect.base_delay),
            "max_delay": _seconds("Longest delay (s)", reconnect.max_delay),
            "backoff_multiplier": _seconds("Multiplier", reconnect.backoff_multiplier),
            "max_attempts": _number(
                "Attempts (-1: ∞)", -1 if reconnect.max_attempts is None else reconnect.max_attempts
            ),
            "interval": _seconds("Heartbeat every (s)", heartbeat.interval),
            "timeout": _seconds("Pong within (s)", heartbeat.timeout),
            "connect_timeout": _seconds("Connect within (s)", config.connect_timeout),
            "max_size": _number("Outbox holds", outbox.max_size),
        }
        self.jitter = _choice("Jitter", list(JITTERS), reconnect.jitter)
        self.overflow = _choice("When it is full", list(OVERFLOWS), outbox.overflow)
        self._schedule = reconnect.schedule
        self.preset.observe(self._apply_preset, "value")
        numbers = self.numbers
        self.where = widgets.HBox(
            [self.transport, self.url, self.room, self.sender], layout=widgets.Layout(flex_flow="row wrap")
        )
        self.how = widgets.HBox(
            [
                widgets.VBox(
                    [self.preset, self.jitter]
                    + [
                        numbers[name]
                        for name in ("base_delay", "max_delay", "backoff_multiplier", "max_attempts")
                    ]
                ),
                widgets.VBox(
                    [self.dialect, self.overflow]
                    + [numbers[name] for name in ("max_size", "interval", "timeout", "connect_timeout")]
                ),
            ],
            layout=widgets.Layout(flex_flow="row wrap"),
        )

    def _apply_preset(self, change: Any) -> None:
        if change["new"] == CUSTOM:
            self._schedule = ()
            return
        reconnect = PRESETS[change["new"]].reconnect
        self.jitter.value = reconnect.jitter
        for name in ("base_delay", "max_delay", "backoff_multiplier"):
            self.numbers[name].value = getattr(reconnect, name)
        self.numbers["max_attempts"].value = -1 if reconnect.max_attempts is None else reconnect.max_attempts
        self._schedule = reconnect.schedule

    def config(self) -> TransportConfig:
        """Return the settings as they stand in the form.

        Errors: `SettingsError` naming the field and what it may be.
        """
        values = {name: field.value for name, field in self.numbers.items()}
        attempts = values["max_attempts"]
        base = self._base
        if not isinstance(base, WebSocketConfig):
            raise SettingsError(f"transport: the form can't hold a {type(base).__name__}")
        return base.replace(
            url=self.url.value.strip(),
            room=self.room.value.strip(),
            sender=self.sender.value.strip(),
            dialect=self.dialect.value,
            connect_timeout=values["connect_timeout"],
            reconnect=base.reconnect.replace(
                base_delay=values["base_delay"],
                max_delay=values["max_delay"],
                backoff_multiplier=values["backoff_multiplier"],
                max_attempts=None if attempts == -1 else attempts,
                jitter=self.jitter.value,
                schedule=self._schedule,
            ),
            heartbeat=base.heartbeat.replace(interval=values["interval"], timeout=values["timeout"]),
            outbox=base.outbox.replace(max_size=values["max_size"], overflow=self.overflow.value),
        )


def _text(label: str, value: str, width: str) -> widgets.Text:
    return widgets.Text(value=value, description=label, style=_SHORT, layout=widgets.Layout(width=width))


def _choice(label: str, options: list[str], value: str) -> widgets.Dropdown:
    return widgets.Dropdown(options=options, value=value, description=label, style=_LABEL, layout=_FIELD)


def _seconds(label: str, value: float) -> widgets.FloatText:
    return widgets.FloatText(value=value, description=label, style=_LABEL, layout=_FIELD)


def _number(label: str, value: int) -> widgets.IntText:
    return widgets.IntText(value=value, description=label, style=_LABEL, layout=_FIELD)
