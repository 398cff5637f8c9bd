"""Presets by name in a scenario's tables: `transport = { preset = "socket.io" }`.

A table with a preset becomes the same table with the preset's settings, spelled out. Fields beside `preset`
replace the preset's own. A scenario has no field for the name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias, get_args

from chatlab.errors import SettingsError
from chatlab.experiment.toml import to_plain, to_whole
from chatlab.presets import Preset, preset
from chatlab.settings import Settings
from chatlab.sim.transport_settings import FallbackSettings, OneTransport, WebSocketSettings

PRESET = "preset"
"""The key of a preset's name in a table."""
FIELDS = ("reconnect", "connect_timeout", "heartbeat")
"""The fields that a preset sets, those that it doesn't document to their defaults."""

Table: TypeAlias = dict[str, Any]

_KIND = "kind"


def _tag(kind: type[Settings]) -> str:
    return str(kind.__struct_config__.tag)


_USUAL = WebSocketSettings()
_WEBSOCKET, _FALLBACK = _tag(WebSocketSettings), _tag(FallbackSettings)
_SINGLE = [_tag(kind) for kind in get_args(OneTransport)]


def find_preset(name: object, where: str) -> Preset:
    """Return a preset, or the one of that name.

    Errors: `SettingsError` as of `preset`, naming the setting `where`.
    """
    try:
        return name if isinstance(name, Preset) else preset(name)
    except SettingsError as error:
        raise SettingsError(f"{where}: {error}") from None


def spell_out(table: Any, where: str, base: Settings = _USUAL) -> Any:
    """Return a transport's table with the settings of its preset, and of the presets of its inner transports.

    A table without `kind` has the kind of `base`. A preset beside a fallback is that of each inner transport.
    A value that isn't the table of a transport with presets is returned as it is.

    Errors: `SettingsError` if there is no such preset.
    """
    if not isinstance(table, dict):
        return table
    kind = table.get(_KIND, _tag(type(base)))
    if kind == _FALLBACK:
        return _spell_out_inner(table, where, base)
    if kind not in _SINGLE or PRESET not in table:
        return table
    fields = _fields(find_preset(table[PRESET], f"{where}.{PRESET}"), kind)
    beside = {key: value for key, value in table.items() if key != PRESET}
    return fields | {key: _merged(fields.get(key), value) for key, value in beside.items()}


def _spell_out_inner(table: Table, where: str, base: Settings) -> Table:
    """Return a fallback's table with the settings of presets."""
    inner = table.get("transports")
    if PRESET in table:
        system = find_preset(table[PRESET], f"{where}.{PRESET}")
        if inner is None:
            usual = base if isinstance(base, FallbackSettings) else FallbackSettings()
            inner = [_without_fields(to_plain(each)) for each in usual.transports]
        if isinstance(inner, list):
            inner = [{PRESET: system} | each if isinstance(each, dict) else each for each in inner]
    if isinstance(inner, list):
        inner = [spell_out(each, f"{where}.transports[{number}]") for number, each in enumerate(inner)]
    rest = {key: value for key, value in table.items() if key not in (PRESET, "transports")}
    return rest if inner is None else rest | {"transports": inner}


def change_preset(table: Table, settings: Settings | None, preset: Preset, where: str) -> None:
    """Replace what a preset sets in the table of a transport, which has these settings now.

    Without settings the preset's name is added, since the transport's kind isn't known yet.
    """
    if settings is not None:
        if isinstance(inner := table.get("transports"), list):
            table["transports"] = [_without_fields(each) for each in inner]
        changed = spell_out(_without_fields(table) | {PRESET: preset}, where, settings)
    else:
        changed = _without_fields(table) | {PRESET: preset}
    table.clear()
    table.update(changed)


def _without_fields(table: Table) -> Table:
    return {key: value for key, value in table.items() if key not in FIELDS}


def _fields(system: Preset, kind: object) -> Table:
    """Return the settings of a preset for a transport of a kind; only WebSockets have a heartbeat."""
    fields: Table = {"reconnect": to_whole(system.reconnect)}
    if system.connect_timeout is not None:
        fields["connect_timeout"] = system.connect_timeout
    if kind == _WEBSOCKET and system.heartbeat is not None:
        fields["heartbeat"] = to_whole(system.heartbeat)
    return fields


def _merged(base: Any, value: Any) -> Any:
    """Return a table merged into another; anything else replaces it."""
    if isinstance(base, Mapping) and isinstance(value, Mapping):
        return base | {key: _merged(base.get(key), item) for key, item in value.items()}  # type: ignore[operator]
    return value
