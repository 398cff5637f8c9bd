"""Sentences about the settings without effect: those of a scenario, or of all combinations of a sweep."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from chatlab.errors import SettingsError
from chatlab.experiment.cells import Choices, cells_of
from chatlab.experiment.effect_rules import of_fault, without_effect
from chatlab.experiment.preset_tables import PRESET
from chatlab.experiment.scenario import Scenario


def faults_without_effect(scenario: Scenario) -> list[str]:
    """Return a sentence for each fault that can't have an effect: it comes too late, or hits nobody."""
    reasons = [(number, of_fault(scenario, fault)) for number, fault in enumerate(scenario.faults)]
    return [f"faults[{number}] has no effect here: {reason}" for number, reason in reasons if reason]


def changes_without_effect(scenario: Scenario, changed: Mapping[str, Any]) -> list[str]:
    """Return sentences about the settings without effect among those that were changed, by their paths.

    A table stands for the settings in it. `scenario` has the changes.
    """
    paths = [each for path, value in changed.items() for each in _leaves(path, value)]
    return list(filter(None, (without_effect(scenario, path) for path in paths)))


def choices_without_effect(
    scenario: Scenario, over: Mapping[str, Choices], paths: Iterable[str] | None = None
) -> dict[str, list[str]]:
    """Return sentences about the settings without effect among those at `paths`; None: those of `over`.

    Each path has a sentence for each combination of values in `over`, empty if the setting may have an effect
    there. Paths that may have one everywhere are left out.
    """
    cells = cells_of(scenario, over, None)
    found = {
        path: [without_effect(cell.scenario, path) for cell in cells]
        for path in (over if paths is None else paths)
    }
    return {path: sentences for path, sentences in found.items() if any(sentences)}


def check_effect(
    option: str, scenario: Scenario, over: Mapping[str, Choices], paths: Iterable[str] | None = None
) -> None:
    """Check that each setting may have an effect with some combination of values.

    Errors: `SettingsError` that begins with the name of the option.
    """
    for sentences in choices_without_effect(scenario, over, paths).values():
        if all(sentences):
            raise SettingsError(f"{option}: {sentences[0]}")


def describe_choices(scenario: Scenario, over: Mapping[str, Choices]) -> list[str]:
    """Return sentences that say which settings of a sweep have no effect, and beside which others."""
    found = choices_without_effect(scenario, over)
    cells = cells_of(scenario, over, None) if found else []
    texts = []
    for path, sentences in found.items():
        first = next(number for number, sentence in enumerate(sentences) if sentence)
        if all(sentences):
            texts.append(sentences[first])
            continue
        labels = dict(zip(over, cells[first].labels, strict=True))
        others = [f"{name}={label}" for name, label in labels.items() if name != path or len(over) == 1]
        count = f"in {sum(map(bool, sentences))} of {len(sentences)} combinations"
        texts.append(f"{count}, such as {', '.join(others)}, {sentences[first]}")
    return texts


def _leaves(path: str, value: Any) -> Iterator[str]:
    """Yield the paths of the settings in a table, or in a list of tables; the path itself otherwise."""
    if isinstance(value, Mapping) and value:
        for name, item in value.items():
            yield from _leaves(f"{path}.{name}", item)
    elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        for number, item in enumerate(value):
            yield from _leaves(f"{path}[{number}]", item)
    elif path.rpartition(".")[2] not in (PRESET, "kind", "name"):
        yield path
