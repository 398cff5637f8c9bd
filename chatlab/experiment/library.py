"""The ready-made scenarios: files in `scenarios/`. Each begins with the question that it answers."""

from __future__ import annotations

from importlib.resources import files
from itertools import takewhile
from pathlib import Path

from chatlab.errors import SettingsError
from chatlab.experiment.scenario import Scenario
from chatlab.text import unknown_name

_FOLDER = files("chatlab.experiment") / "scenarios"


def scenario_names() -> list[str]:
    """Return the names of the ready-made scenarios, in alphabetical order."""
    return sorted(
        file.name.removesuffix(".toml") for file in _FOLDER.iterdir() if file.name.endswith(".toml")
    )


def load_scenario(name: str) -> Scenario:
    """Return a ready-made scenario by its name.

    Errors: `SettingsError` that lists the names.
    """
    return Scenario.from_toml(_text(name))


def scenario_question(name: str) -> str:
    """Return the question that a ready-made scenario answers, from the comment at its beginning.

    Errors: `SettingsError` that lists the names.
    """
    comment = takewhile(lambda line: line.startswith("# "), _text(name).splitlines())
    return " ".join(line.removeprefix("# ") for line in comment)


def find_scenario(name: str | Path) -> Scenario:
    """Return the scenario of a TOML file, or if there is no such file, the ready-made one of that name.

    Errors: `SettingsError`; `OSError` if the file can't be read.
    """
    path = Path(name)
    if path.exists() and not path.is_dir():
        return Scenario.load(path)
    if path.is_dir() and str(name) not in scenario_names():
        raise SettingsError(f"{name} is a folder; name a scenario's TOML file in it")
    return load_scenario(str(name))


def _text(name: str) -> str:
    names = scenario_names()
    if name not in names:
        raise SettingsError(f"{unknown_name(name, names, 'scenario or file')}, or a file")
    return (_FOLDER / f"{name}.toml").read_text(encoding="utf-8")
