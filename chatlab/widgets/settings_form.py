"""Form for the settings of a transport."""

from __future__ import annotations

import html
import re
from typing import Any

import ipywidgets as widgets
import msgspec

from chatlab.dialects import dialect_names
from chatlab.errors import SettingsError
from chatlab.live.client.kinds import FALLBACK, KINDS, TITLES, kind_of, make_config
from chatlab.presets import PRESETS
from chatlab.settings import (
    JITTERS,
    OVERFLOWS,
    AnyConfig,
    FallbackConfig,
    HeartbeatConfig,
    LongPollingConfig,
    ShortPollingConfig,
    SSEConfig,
    TransportConfig,
)
from chatlab.widgets.credentials import Credentials
from chatlab.widgets.hidden_field import HiddenField, UrlField
from chatlab.widgets.unused_changes import UnusedChanges

CUSTOM = "custom"
FORMULA = ("base_delay", "backoff_multiplier")
"""Settings of the backoff formula that have no effect with a schedule."""
SHOWN = 6
"""Maximum number of delays of a schedule that are shown."""

HEARTBEAT_FIELDS = {"interval": "heartbeat", "timeout": "pong"}
"""Names in the form for heartbeat settings whose own names belong to other fields."""
ONLY_SOME = {
    "heartbeat": "heartbeat",
    "pong": "heartbeat",
    "idle_timeout": "idle_timeout",
    "timeout": "timeout",
    "interval": "interval",
}
"""The fields that not every transport has, with the settings that they belong to."""
REWORDINGS = [
    (re.compile(pattern), wording)
    for pattern, wording in (
        (r"(?<![\d.])(\d+)\.0(?![\d.])", r"\1"),
        (r"starts with \w+:// or \w+://", "starts with ws://, wss://, http:// or https://"),
    )
]
"""Rewordings of error messages for the form, in which every transport accepts any URL of a server."""

_SHORT = {"description_width": "auto"}
_LABEL = {"description_width": "11em"}
_FIELD = {"width": "20.5em"}


class SettingsForm:
    """Fields for a transport's settings. `address_fields` shows the address, `other_fields` the rest.

    The fields accept any number; `config()` validates them. Fields that the chosen transport doesn't have are
    hidden. `changes` names the fields whose values aren't in use yet.
    """

    def __init__(self, given: AnyConfig) -> None:
        config = given.first if isinstance(given, FallbackConfig) else given
        self._given = given
        self._kept: dict[str, Any] = {}
        for one in reversed(given.transports if isinstance(given, FallbackConfig) else [config]):
            self._kept |= _fields(one)
        self.transport = widgets.Dropdown(
            options=[(title, name) for name, title in TITLES.items()],
            value=kind_of(given),
            description="Transport",
            style=_SHORT,
            layout=widgets.Layout(width="14em"),
        )
        self.url = UrlField("URL", config.url)
        self.credentials = Credentials(config.headers, config.url)
        self.room = _text("Room", config.room, "11em")
        self.sender = _text("Name", config.sender, "11em")
        # A dialect of the user's own is also chosen by name; the object is not synced.
        self._dialects: dict[str, Any] = {name: name for name in dialect_names()} | {
            config.dialect_name: config.dialect
        }
        self.dialect = _choice("Dialect", sorted(self._dialects), config.dialect_name)
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
            "heartbeat": _seconds("Heartbeat every (s)", heartbeat.interval),
            "pong": _seconds("Pong within (s)", heartbeat.timeout),
            "idle_timeout": _seconds("SSE silent for (s)", self._default(SSEConfig, "idle_timeout")),
            "timeout": _seconds("Long poll waits (s)", self._default(LongPollingConfig, "timeout")),
            "interval": _seconds("Short poll every (s)", self._default(ShortPollingConfig, "interval")),
            "connect_timeout": _seconds("Connect within (s)", config.connect_timeout),
            "max_size": _number("Outbox holds", outbox.max_size),
        }
        self.jitter = _choice("Jitter", list(JITTERS), reconnect.jitter)
        self.overflow = _choice("When it is full", list(OVERFLOWS), outbox.overflow)
        self.note = widgets.HTML()
        self.note.add_class("chatlab-note")
        self._follow(reconnect.schedule)
        self._hide_others()
        self.preset.observe(self._apply_preset, "value")
        self.transport.observe(self._apply_transport, "value")
        numbers = self.numbers
        self.address_fields = widgets.HBox(
            [self.transport, self.url, self.room, self.sender], layout=widgets.Layout(flex_flow="row wrap")
        )
        columns = (
            [self.preset, self.note, self.jitter],
            ["base_delay", "max_delay", "backoff_multiplier", "max_attempts"],
            [self.dialect, self.credentials.token, self.credentials.headers, "max_size", self.overflow],
            ["connect_timeout", "heartbeat", "pong", "idle_timeout", "timeout", "interval"],
        )
        fields = [[numbers[field] if isinstance(field, str) else field for field in part] for part in columns]
        self.other_fields = widgets.HBox(
            [widgets.VBox(fields[0] + fields[1]), widgets.VBox(fields[2] + fields[3])],
            layout=widgets.Layout(flex_flow="row wrap"),
        )
        self._fields = {
            "transport": self.transport,
            "url": self.url,
            "room": self.room,
            "sender": self.sender,
            "preset": self.preset,
            "jitter": self.jitter,
            **numbers,
            "dialect": self.dialect,
            "token": self.credentials.token,
            "headers": self.credentials.headers,
            "overflow": self.overflow,
        }
        self.changes = UnusedChanges(self._fields, self._values)

    def _values(self) -> dict[str, object]:
        """Return the values of the fields that have an effect, without validating them."""
        values = {
            name: field.comparable if isinstance(field, HiddenField) else field.value
            for name, field in self._fields.items()
            if not getattr(field, "disabled", False) and field.layout.display != "none"
        }
        return values | {"preset": self._schedule}

    def used(self) -> None:
        """Note that a connection uses the present values."""
        self.credentials.used_for(self.url.value)
        self.changes.used()

    def _default(self, config: type[TransportConfig], name: str) -> float:
        """Return a setting as it was given, or the transport's default if it wasn't."""
        defaults = {field.name: field.default for field in msgspec.structs.fields(config)}
        value: float = self._kept.get(name, defaults[name])
        return value

    def _apply_transport(self, change: Any) -> None:
        """Set the first delay to the chosen transport's default, from the original document."""
        self._hide_others()
        kind = KINDS.get(change["new"])
        if kind is not None and self.preset.value == CUSTOM:
            defaults = {field.name: field.default for field in msgspec.structs.fields(kind.config)}
            self.numbers["base_delay"].value = defaults["reconnect"].base_delay

    def _hide_others(self) -> None:
        """Hide the fields that only other transports have; a fallback has those of all its transports."""
        kinds = [KINDS[name] for name in self._kinds()]
        own = {name for kind in kinds for name in kind.config.__struct_fields__}
        for name, setting in ONLY_SOME.items():
            self.numbers[name].layout.display = None if setting in own else "none"

    def _kinds(self) -> list[str]:
        """Return the names of the plain transports that the chosen one uses."""
        if self.transport.value != FALLBACK:
            return [self.transport.value]
        given = self._given
        return [kind_of(one) for one in given.transports] if isinstance(given, FallbackConfig) else [*KINDS]

    def _apply_preset(self, change: Any) -> None:
        if change["new"] == CUSTOM:
            self._follow(())
            return
        preset = PRESETS[change["new"]]
        reconnect = preset.reconnect
        self.jitter.value = reconnect.jitter
        for name in ("base_delay", "max_delay", "backoff_multiplier"):
            self.numbers[name].value = getattr(reconnect, name)
        self.numbers["max_attempts"].value = -1 if reconnect.max_attempts is None else reconnect.max_attempts
        self._follow(reconnect.schedule, preset.notes)

    def _follow(self, schedule: tuple[tuple[float, float], ...], notes: str = "") -> None:
        """Use a schedule and disable the formula's fields; an empty schedule enables them again."""
        self._schedule = schedule
        for field in (self.jitter, *(self.numbers[name] for name in FORMULA)):
            field.disabled = bool(schedule)
        longest = self.numbers["max_delay"].value
        delays = ", ".join(
            _delay_text(min(low, longest), min(high, longest)) for low, high in schedule[:SHOWN]
        ) + (", \u2026" if len(schedule) > SHOWN else "")
        self.note.value = html.escape(f"Waits {delays} s. {notes}" if schedule else notes)

    def config(self) -> AnyConfig:
        """Return the settings that the form shows.

        Errors: `SettingsError` naming the field by its label, and the permitted values.
        """
        try:
            return self._read()
        except SettingsError as error:
            raise SettingsError(self._reworded(str(error))) from None

    def _reworded(self, error: str) -> str:
        where, mark, what = error.partition(": ")
        owner, _, name = where.rpartition(".")
        if owner == HeartbeatConfig.__name__:
            name = HEARTBEAT_FIELDS.get(name, name)
        fields = {**self.numbers, "url": self.url, "room": self.room, "sender": self.sender}
        if name in fields:
            where = fields[name].description
        for pattern, wording in REWORDINGS:
            what = pattern.sub(wording, what)
        if name == "max_attempts":
            what = what.replace("at least 0", "at least 0, or -1 for no limit")
        return where + mark + what

    def _read(self) -> AnyConfig:
        values = {name: field.value for name, field in self.numbers.items()}
        attempts = values["max_attempts"]
        kept = self._kept
        shown = {
            "room": self.room.value.strip(),
            "sender": self.sender.value.strip(),
            "dialect": self._dialects[self.dialect.value],
            "reconnect": kept["reconnect"].replace(
                base_delay=values["base_delay"],
                max_delay=values["max_delay"],
                backoff_multiplier=values["backoff_multiplier"],
                max_attempts=None if attempts == -1 else attempts,
                jitter=self.jitter.value,
                schedule=self._schedule,
            ),
            "error_delay": values["base_delay"],
            "outbox": kept["outbox"].replace(max_size=values["max_size"], overflow=self.overflow.value),
        }
        shown |= {name: values[name] for name in ("connect_timeout", "idle_timeout", "timeout", "interval")}
        if "websocket" in self._kinds():
            shown["heartbeat"] = kept.get("heartbeat", HeartbeatConfig()).replace(
                interval=values["heartbeat"], timeout=values["pong"]
            )
        kind, url, given = self.transport.value, str.__str__(self.url.value).strip(), self._given
        headers = self.credentials.read(url)
        if headers != kept["headers"]:  # Otherwise each of a fallback's transports keeps its own.
            shown["headers"] = headers
        if kind != FALLBACK or not isinstance(given, FallbackConfig):
            return make_config(kind, url, **kept | shown)
        here = url == str.__str__(given.first.url)  # Each transport may have its own address.
        return given.replace(
            transports=tuple(
                make_config(kind_of(one), str.__str__(one.url) if here else url, **_fields(one) | shown)
                for one in given.transports
            )
        )


def _fields(config: TransportConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in config.__struct_fields__ if name != "url"}


def _delay_text(low: float, high: float) -> str:
    return f"{low:.3g}" if low == high else f"{low:.3g}\u2013{high:.3g}"


def _text(label: str, value: str, width: str) -> widgets.Text:
    return widgets.Text(value=value, description=label, style=_SHORT, layout=widgets.Layout(width=width))


def _choice(label: str, options: list[str], value: str) -> widgets.Dropdown:
    return widgets.Dropdown(options=options, value=value, description=label, style=_LABEL, layout=_FIELD)


def _seconds(label: str, value: float) -> widgets.FloatText:
    return widgets.FloatText(value=value, description=label, style=_LABEL, layout=_FIELD)


def _number(label: str, value: int) -> widgets.IntText:
    return widgets.IntText(value=value, description=label, style=_LABEL, layout=_FIELD)
