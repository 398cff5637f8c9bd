"""The cells of a sweep: one for each combination of values and seeds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from math import prod
from typing import Any

import msgspec
import numpy as np

from chatlab.errors import SettingsError
from chatlab.experiment.preset_tables import PRESET, change_preset, find_preset
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.toml import NONE, from_plain, parse_toml, to_plain, to_whole
from chatlab.settings import Settings

Choices = Mapping[str, Any] | Iterable[Any]
"""The values of a setting. The keys of a mapping are their names in the table."""

MAX_RUNS = 100_000
"""Maximum number of runs of a sweep."""


class Cell(msgspec.Struct, frozen=True):
    """One run of a sweep: the name of each swept value in the table, and the scenario."""

    labels: tuple[Any, ...]
    scenario: Scenario


def cells_of(scenario: Scenario, over: Mapping[str, Choices], seeds: Iterable[int] | None) -> list[Cell]:
    """Return the cells of all combinations of values and seeds. Without `seeds` the scenario's own is used.

    Errors: `SettingsError` naming the path, and the choices.
    """
    if "seed" in over:
        raise SettingsError("seed: give it as seeds=, not in over=")
    axes = [_choices(path, choices) for path, choices in over.items()]
    numbers = [scenario.seed] if seeds is None else [_plain(seed) for seed in _limited(MAX_RUNS, seeds)]
    if not numbers:
        raise SettingsError("seeds: give at least one")
    if (runs := prod(map(len, axes)) * len(numbers)) > MAX_RUNS:
        raise SettingsError(_too_many(f"{runs:,} runs"))
    cells = []
    for choice in product(*axes):
        raw = to_plain(scenario)
        # A preset sets several fields, so others that are swept beside it come after it.
        for path, (_, value) in sorted(
            zip(over, choice, strict=True), key=lambda setting: not _is_preset(setting[0])
        ):
            _set_value(raw, scenario, path, value)
        labels = tuple(label for label, _ in choice)
        cells += [Cell(labels, from_plain(raw | {"seed": seed}, Scenario)) for seed in numbers]
    return cells


def _limited(limit: int, values: Iterable[Any]) -> Iterator[Any]:
    """Yield the values. Errors: `SettingsError` if there are more than `limit`, perhaps infinitely many."""
    for number, value in enumerate(values):
        if number >= limit:
            raise SettingsError(_too_many(f"more than {limit:,} values or seeds"))
        yield value


def _too_many(what: str) -> str:
    return f"the sweep has {what}; at most {MAX_RUNS:,} runs are allowed: take fewer values or seeds"


def _choices(path: str, choices: Choices) -> list[tuple[Any, Any]]:
    """Return the values of one setting with their names in the table."""
    if isinstance(choices, str) or not isinstance(choices, Iterable):
        raise SettingsError(f"{path}: give a list of values, got {choices!r}")
    if isinstance(choices, Mapping):
        named = [(str(name), _plain(value)) for name, value in choices.items()]
    else:
        named = [(_label(value), _plain(value)) for value in _limited(MAX_RUNS, choices)]
    if not named:
        raise SettingsError(f"{path}: give at least one value")
    if _is_preset(path):
        mapping = isinstance(choices, Mapping)
        found = [(name, find_preset(value, path)) for name, value in named]
        named = [(name if mapping else system.name, system) for name, system in found]
    return named


def _is_preset(path: str) -> bool:
    return path.rpartition(".")[2] == PRESET


def _plain(value: Any) -> Any:
    """Return a value as TOML represents it."""
    if isinstance(value, np.generic):
        return value.item()
    return NONE if value is None else to_whole(value)


def _label(value: Any) -> Any:
    value = to_plain(value) if isinstance(value, Settings | list | tuple) else _plain(value)
    return msgspec.json.encode(value).decode() if isinstance(value, dict | list) else value


def _set_value(raw: Any, settings: Any, path: str, value: Any) -> None:
    """Set the value at a path such as `faults[0].at`. It is validated later."""
    *parents, last = re.findall(r"[^.\[\]]+", path) or [""]
    where = ""
    for key in parents:
        settings, raw, where = _descend(settings, raw, key, where)
    if isinstance(raw, list):
        raw[_index(raw, last, where)] = value
    elif last == PRESET:
        change_preset(raw, settings, find_preset(value, path), path.removesuffix(f".{PRESET}"))
    else:
        raw[last] = value


def _descend(settings: Any, raw: Any, key: str, where: str) -> tuple[Any, Any, str]:
    if isinstance(raw, list):
        index = _index(raw, key, where)
        return settings[index] if index < len(settings or ()) else None, raw[index], f"{where}[{index}]"
    settings = getattr(settings, key, None)
    if not isinstance(raw.get(key), dict | list):  # It is missing because it is at its default. Keep its tag.
        raw[key] = to_plain(settings) if isinstance(settings, Settings | tuple) else {}
    return settings, raw[key], f"{where}.{key}".removeprefix(".")


def _index(raw: list[Any], key: str, where: str) -> int:
    if not key.isdecimal() or int(key) >= len(raw):
        choices = f"choose from [0] to [{len(raw) - 1}]" if raw else "the list is empty"
        raise SettingsError(f"{where}: there is no [{key}]; {choices}")
    return int(key)


# Choices as text


def read_choices(text: str) -> tuple[str, list[Any]]:
    """Return the path and the values of a text such as `people.count=100,1000`. The values are TOML.

    Texts need quotes only if they contain a comma, a bracket or a brace, as a shell removes them. So
    `transport.transports=[sse,long_polling]` is a list of two texts. Errors: `SettingsError`.
    """
    path, equals, values = text.partition("=")
    if not equals or not path.strip() or not values.strip():
        raise SettingsError(f"{text!r}: give a setting and its values, such as people.count=100,1000")
    try:
        choices: list[Any] = parse_toml(f"values = [{values}]")["values"]
    except SettingsError:
        choices = [_read_value(value) for value in _split(values)]
    return path.strip(), choices


def read_all_choices(texts: Iterable[str]) -> dict[str, list[Any]]:
    """Return the values of such texts by path. Errors: `SettingsError`, also if a path is repeated."""
    choices: dict[str, list[Any]] = {}
    for path, values in map(read_choices, texts):
        if path in choices:
            raise SettingsError(f"{path}: give all values in one argument, such as {path}=1,2")
        choices[path] = values
    return choices


def with_settings(scenario: Scenario, texts: Iterable[str]) -> Scenario:
    """Return the scenario with the settings of texts such as `people.count=5000`. The values are TOML.

    Errors: `SettingsError` naming the path.
    """
    raw = to_plain(scenario)
    for path, values in sorted(read_all_choices(texts).items(), key=lambda item: not _is_preset(item[0])):
        if len(values) > 1:
            raise SettingsError(f"{path}: give one value; chatlab sweep takes several")
        _set_value(raw, scenario, path, _plain(values[0]))
    return from_plain(raw, Scenario)


def _read_value(text: str) -> Any:
    """Return a value of TOML, or one in which texts have no quotes."""
    text = text.strip()
    try:
        return parse_toml(f"value = {text}")["value"]
    except SettingsError:
        pass
    if text[:1] == "[" and text[-1] == "]":
        return [_read_value(item) for item in _split(text[1:-1]) if item.strip()]
    pairs = (
        [item.partition("=") for item in _split(text[1:-1])] if text[:1] == "{" and text[-1] == "}" else []
    )
    if pairs and all(name.strip() and equals for name, equals, _ in pairs):
        return {name.strip(): _read_value(value) for name, _, value in pairs}
    return text


def _split(text: str) -> list[str]:
    """Return the parts of a text between commas that are in no quotes, brackets or braces."""
    parts, quote, depth = [""], "", 0
    for sign in text:
        if quote or sign in "\"'":
            quote = "" if sign == quote else quote or sign
        else:
            depth += (sign in "[{") - (sign in "]}")
        if sign == "," and not quote and not depth:
            parts.append("")
        else:
            parts[-1] += sign
    return parts
