"""Settings as Python code, which makes equal settings."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import msgspec

from chatlab.settings import Settings

WIDTH = 88
"""Maximum characters of a line, if it can be broken."""
AS_WRITTEN = "chatlab.sim.as_written"
"""The package of the original document's snippets, which no public module has."""
_HOMES = {
    "chatlab.experiment.scenario": "chatlab",
    "chatlab.sim.faults": "chatlab.faults",
    "chatlab.settings.": "chatlab.settings",
    "chatlab.sim.": "chatlab.experiment",
}
"""The public module of each private one, by the beginning of its name."""


def as_python(settings: Settings, name: str = "scenario") -> str:
    """Return Python code that assigns the settings to `name`, without those at their defaults."""
    used: defaultdict[str, set[str]] = defaultdict(set)
    _collect(settings, used)
    imports = [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(used.items())]
    lines = [_wrapped_import(line) for line in imports]
    return "\n".join([*lines, "", f"{name} = {_code(settings, 0, len(name) + 3)}", ""])


def _home(kind: type[Settings]) -> str:
    """Return the public module of a class."""
    private = kind.__module__
    if private.startswith(AS_WRITTEN):
        return private
    return next((public for start, public in _HOMES.items() if private.startswith(start)), private)


def _collect(value: Any, used: defaultdict[str, set[str]]) -> None:
    """Add the classes of the settings by the modules that they are imported from."""
    if isinstance(value, Settings):
        used[_home(type(value))].add(type(value).__name__)
        for _, item in _changed(value):
            _collect(item, used)
    elif isinstance(value, tuple | list):
        for item in value:
            _collect(item, used)


def _changed(settings: Settings) -> list[tuple[str, Any]]:
    """Return the fields that aren't at their defaults, with their values."""
    fields = []
    for field in msgspec.structs.fields(type(settings)):
        value = getattr(settings, field.name)
        usual = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        if usual is msgspec.NODEFAULT or value != usual:
            fields.append((field.name, value))
    return fields


def _code(value: Any, depth: int, used: int) -> str:
    """Return a value's code, broken into lines if it doesn't fit behind `used` characters."""
    if isinstance(value, Settings):
        parts = [(f"{name}=", item) for name, item in _changed(value)]
        return _call(f"{type(value).__name__}(", parts, ")", depth, used)
    if isinstance(value, tuple):
        end = ",)" if len(value) == 1 else ")"
        return _call("(", [("", item) for item in value], end, depth, used)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _call(begin: str, parts: list[tuple[str, Any]], end: str, depth: int, used: int) -> str:
    line = begin + ", ".join(f"{name}{_code(item, depth, -(10**9))}" for name, item in parts) + end
    if not parts or used + len(line) <= WIDTH - 1:
        return line
    indent = "    " * (depth + 1)
    rows = [f"{indent}{name}{_code(item, depth + 1, len(indent) + len(name))},\n" for name, item in parts]
    return f"{begin}\n{''.join(rows)}{'    ' * depth})"


def _wrapped_import(line: str) -> str:
    """Return an import in parentheses if it is too long for a line."""
    if len(line) <= WIDTH:
        return line
    before, names = line.split(" import ")
    rows = "".join(f"    {name},\n" for name in names.split(", "))
    return f"{before} import (\n{rows})"
