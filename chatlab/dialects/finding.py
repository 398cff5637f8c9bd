"""Dialects by name: the built-in ones, those of installed packages (entry points), and `module:Class`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from chatlab.dialects.base import Dialect, excerpt
from chatlab.dialects.chatlab import ChatlabDialect
from chatlab.dialects.matrix import MatrixDialect
from chatlab.dialects.mqtt import MqttDialect
from chatlab.dialects.nchan import NchanDialect
from chatlab.dialects.phoenix import PhoenixDialect
from chatlab.dialects.socketio import SocketIODialect
from chatlab.dialects.text import TextDialect
from chatlab.errors import SettingsError
from chatlab.settings.dialect_check import check_dialect
from chatlab.text import quoted

GROUP = "chatlab.dialects"
"""The group of entry points in which a package offers its dialects, each under its name."""

DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        ChatlabDialect(),
        TextDialect(),
        NchanDialect(),
        MatrixDialect(),
        MqttDialect(),
        PhoenixDialect(),
        SocketIODialect(),
    )
}
"""The built-in dialects. An entry point of the same name is ignored."""


def find_dialect(dialect: str | Dialect) -> Dialect:
    """Return the dialect of that name, or that `module:Class` names; a `Dialect` is returned as it is.

    Errors: `SettingsError` that lists the names, or says what is wrong with the module or the class.
    """
    if isinstance(dialect, Dialect):
        return dialect
    if ":" not in dialect:
        return _find_named(
            dialect, "; for one of your own give a module and a class, such as board:BoardDialect"
        )
    module, _, attribute = dialect.partition(":")
    names = [*module.split("."), *attribute.split(".")]
    if not all(name.isidentifier() for name in names):
        raise SettingsError(
            f"dialect: give a name, or a module and a class such as board:BoardDialect, got {quoted(dialect)}"
        )
    return _load(module, attribute)


def find_named(name: str) -> Dialect:
    """Return the built-in or installed dialect of that name.

    `module:Class` is refused: a scenario may be somebody else's file, and importing a module runs its code.
    Errors: `SettingsError` as for `find_dialect`.
    """
    return _find_named(name, "; a scenario takes no module:Class" if ":" in name else "")


def _find_named(name: str, hint: str) -> Dialect:
    """Return the dialect of that name. The error for an unknown one ends with `hint`."""
    if name in DIALECTS:
        return DIALECTS[name]
    places = _installed().get(name, [])
    if not places:
        raise SettingsError(
            f"dialect: there is no {quoted(name)}; choose one of {', '.join(dialect_names())}{hint}"
        )
    if len(places) > 1:
        raise SettingsError(
            f"dialect: {quoted(name)} is offered by {' and by '.join(places)}; "
            "uninstall one, or give its module:Class"
        )
    module, _, attribute = places[0].partition(":")
    return _load(module, attribute)


def dialect_names() -> list[str]:
    """Return the names of the built-in and installed dialects, sorted."""
    return sorted({*DIALECTS, *_installed()})


def _installed() -> Mapping[str, list[str]]:
    """Return the entry points: for each name the places, `module:Class`, that it stands for."""
    from importlib.metadata import entry_points  # It takes long to import, and most programs don't need it.

    places: dict[str, list[str]] = {}
    for point in entry_points(group=GROUP):
        same = places.setdefault(point.name, [])
        if point.value not in same:  # A package may be listed twice, as in an editable installation.
            same.append(point.value)
    return places


def _load(module: str, attribute: str) -> Dialect:
    """Return the dialect that a module holds: an instance, or one made from a class without arguments."""
    try:
        found: object = import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise SettingsError(
                f"dialect: the module {module!r} can't be imported: {_said(error)}"
            ) from error
        hint = "give it without .py" if module.endswith(".py") else "is it installed?"
        raise SettingsError(f"dialect: there is no module {error.name!r}; {hint}") from None
    except Exception as error:
        raise SettingsError(f"dialect: the module {module!r} can't be imported: {_said(error)}") from error
    for name in attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise SettingsError(f"dialect: the module {module!r} has no {attribute!r}") from None
    if isinstance(found, Dialect):
        return _checked(found, module, attribute)
    if not isinstance(found, type) or not issubclass(found, Dialect):
        raise SettingsError(
            f"dialect: {module}:{attribute} must be a class derived from chatlab.dialects.Dialect, "
            f"got a {type(found).__name__!r}"
        )
    try:
        made = found()
    except Exception as error:
        raise SettingsError(
            f"dialect: {module}:{attribute} can't be made without arguments: {_said(error)}"
        ) from error
    return _checked(made, module, attribute)


def _checked(dialect: Dialect, module: str, attribute: str) -> Dialect:
    check_dialect(f"dialect: {module}:{attribute}", dialect)
    return dialect


def _said(error: Exception) -> str:
    return excerpt(f"{type(error).__name__}: {error}", 200)
