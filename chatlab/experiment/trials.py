"""Trials of one setting: runs with a value of it, always with the same seeds, each made once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

import msgspec
from msgspec import Struct

from chatlab.errors import SettingsError
from chatlab.experiment.cells import cells_of, read_choices
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.sweep import Measure, Metrics, outcomes_of
from chatlab.experiment.toml import NONE, to_plain
from chatlab.settings import Settings

WIDE = 10.0
"""Ratio of the ends of a range from which its values are spread by ratios."""
_RANGE = re.compile(r"\s*([^:,\"\[\]{}]+):([^:,\"\[\]{}]+)\s*")


class Setting(Struct, frozen=True):
    """A setting, and its possible values: a range from `low` to `high`, or `choices` by their names."""

    path: str
    low: float = 0.0
    high: float = 0.0
    whole: bool = False
    choices: Mapping[Any, Any] | None = None

    @property
    def values(self) -> Mapping[Any, Any] | list[float]:
        """The choices, or the ends of the range."""
        return [self.low, self.high] if self.choices is None else self.choices

    @property
    def range(self) -> str:
        """The range, or the choices, in words."""
        if self.choices is not None:
            return ", ".join(map(show, self.choices))
        return f"{show(self.low)} to {show(self.high)}"


def read_setting(scenario: Scenario, vary: str | Mapping[str, Any]) -> Setting:
    """Return the setting of a text such as `people.count=1:60` or `transport.reconnect.jitter=full,equal`.

    In Python also of a mapping: `{"people.count": (1, 60)}`, or to a list or mapping of choices.

    Errors: `SettingsError`.
    """
    if isinstance(vary, str):
        path, equals, text = vary.partition("=")
        path = path.strip()
        if not equals or not path or not text.strip():
            raise SettingsError(
                f"vary: give a setting and its range, such as people.count=1:60; got {vary!r}"
            )
        if (match := _RANGE.fullmatch(text)) is None:
            values: Any = read_choices(vary)[1]
        else:
            values = tuple(map(_number, match.groups()))
    else:
        if len(vary) != 1:
            raise SettingsError(f"vary: give one setting, got {len(vary)}")
        ((path, values),) = vary.items()
    if not isinstance(values, tuple):
        return _choices(scenario, path, values)
    if len(values) != 2 or not all(isinstance(value, int | float) for value in values):
        raise SettingsError(
            f"vary: {path} needs a range of two numbers, or a list of choices; got {values!r}"
        )
    low, high = values
    if not low < high:
        raise SettingsError(
            f"vary: the range of {path} is empty; give the lower number first, got {low}:{high}"
        )
    cells_of(scenario, {path: [low, high]}, None)  # It raises the error that names the allowed values.
    return Setting(path, low, high, whole=_is_whole(scenario, path, low))


def _choices(scenario: Scenario, path: str, values: Any) -> Setting:
    cells = cells_of(scenario, {path: values}, [scenario.seed])
    named = (
        values
        if isinstance(values, Mapping)
        else {cell.labels[0]: value for cell, value in zip(cells, values, strict=True)}
    )
    return Setting(path, choices=dict(named))


def _number(text: str) -> float:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise SettingsError(f"vary: {text.strip()!r} is not a number; give a range such as 1:60") from None


def _is_whole(scenario: Scenario, path: str, low: float) -> bool:
    """Return whether a setting takes whole numbers only."""
    try:
        cells_of(scenario, {path: [int(low) + 0.5]}, None)
    except SettingsError:
        return isinstance(low, int)
    return False


class Trials:
    """Runs of a scenario with values of a setting, each with all `seeds`: `done` has those of each value.

    The same seeds give the same random numbers for each value, so that a difference is due to the value.
    """

    def __init__(
        self,
        scenario: Scenario,
        setting: Setting,
        seeds: Iterable[int],
        *,
        limit: int,
        executor: Executor | None,
        world: str,
        bar: Any,
        measure: Measure | None = None,
    ) -> None:
        self.scenario, self.setting = scenario, setting
        self.seeds = list(seeds)
        self.done: dict[Any, list[Metrics]] = {}
        self._limit, self._executor, self._world, self._bar, self._measure = (
            limit,
            executor,
            world,
            bar,
            measure,
        )
        if not self.seeds:
            raise SettingsError("seeds: give at least one")

    def room(self) -> int:
        """Return for how many further values runs are allowed."""
        return max(0, self._limit // len(self.seeds) - len(self.done))

    def run(self, values: Sequence[Any]) -> None:
        """Run those values that weren't run yet. Values are names if the setting has choices."""
        new = [value for value in dict.fromkeys(values) if value not in self.done]
        if not new:
            return
        choices = self.setting.choices
        wanted = new if choices is None else {str(name): choices[name] for name in new}
        cells = cells_of(self.scenario, {self.setting.path: wanted}, self.seeds)
        outcomes: list[Metrics | str | None] = [None] * len(cells)
        try:
            for number, outcome in outcomes_of(cells, self._executor, self._world, self._measure):
                outcomes[number] = outcome
                self._bar.update()
        finally:  # An interrupt ends the runs; values that have them all are kept.
            count = len(self.seeds)
            for number, value in enumerate(new):
                runs = outcomes[number * count : (number + 1) * count]
                if all(isinstance(run, dict) for run in runs):
                    self.done[value] = [run for run in runs if isinstance(run, dict)]
        for cell, failed in zip(cells, outcomes, strict=True):
            if isinstance(failed, str):
                raise SettingsError(
                    f"with {self.setting.path}={cell.labels[0]}, seed {cell.scenario.seed}: {failed}"
                )

    def scenario_with(self, value: Any) -> Scenario:
        """Return the scenario with a value of the setting."""
        choices = self.setting.choices
        (cell,) = cells_of(
            self.scenario, {self.setting.path: [value if choices is None else choices[value]]}, None
        )
        return cell.scenario

    def toml(self, value: Any) -> str:
        """Return a value of the setting as TOML."""
        choices = self.setting.choices
        given = {self.setting.path: value if choices is None else choices[value]}
        return as_toml(given, self.scenario_with(value))


def as_toml(settings: Mapping[str, Any], scenario: Scenario) -> str:
    """Return settings by their paths as TOML.

    A setting within a list stands in its whole entry, such as `[[faults]]`, of `scenario`, which has it.
    """
    tables: dict[str, Any] = {}
    entries: dict[str, str] = {}
    raw = to_plain(scenario)
    for path, value in settings.items():
        plain = to_plain(value) if isinstance(value, Settings) else value
        name, bracket, rest = path.partition("[")
        *parents, last = name.split(".")
        found = raw
        for key in parents if bracket else ():
            found = found[key]
        if bracket and isinstance(entry := found[last][int(index := rest.partition("]")[0])], dict):
            entries[f"{name}[{index}]"] = _entry(name, int(index), len(found[last]), entry)
            continue
        table = tables
        for key in parents:
            table = table.setdefault(key, {})
        table[last] = found[last] if bracket else NONE if plain is None else plain
    texts = [msgspec.toml.encode(tables).decode()] if tables else []
    return "\n".join([*texts, *entries.values()])


def _entry(name: str, index: int, count: int, entry: Mapping[str, Any]) -> str:
    """Return an entry of a list of tables as TOML; a comment says which of several it is."""
    which = f"  # in the place of {name}[{index}]" if count > 1 else ""
    text = re.sub(r"^(\[+)", rf"\1{name}.", msgspec.toml.encode(entry).decode(), flags=re.MULTILINE)
    return f"[[{name}]]{which}\n{text}"


def show(value: Any) -> str:
    """Return a value of a setting in words."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def rounded(low: float, high: float) -> float:
    """Return the shortest number within the middle half of an interval."""
    middle, quarter = (low + high) / 2, (high - low) / 4
    for digits in range(1, 17):
        short = float(f"{middle:.{digits}g}")
        if abs(short - middle) <= quarter:
            return short
    return middle


def grid(setting: Setting, count: int) -> list[float]:
    """Return `count` values from low to high: in equal steps, or in equal ratios if the range is wide."""
    low, high = setting.low, setting.high
    if low > 0 and high / low >= WIDE:
        inner = [low * (high / low) ** (step / (count - 1)) for step in range(count)]
    else:
        inner = [low + (high - low) * step / (count - 1) for step in range(count)]
    inner = [round(value) if setting.whole else float(f"{value:.3g}") for value in inner]
    between = [value for value in inner[1:-1] if low < value < high]
    return list(dict.fromkeys([low, *between, high]))
