"""Public names that are loaded on first use, so that importing a package is quick."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the `__getattr__` and `__dir__` of a package.

    `homes` maps modules, by their paths relative to `chatlab`, to the names in them, separated by spaces.
    Errors of the returned `__getattr__`: `AttributeError` for an unknown name; those of the module's import.
    """
    module_of = {name: module for module, names in homes.items() for name in names.split()}

    def get(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"chatlab.{module_of[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    def offered() -> list[str]:
        return sorted(module_of)

    return get, offered
