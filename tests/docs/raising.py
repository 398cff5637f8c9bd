"""The exceptions that a function may raise, by its source: its own `raise`, and those of its callees.

Calls are followed into functions of chatlab that are named outright, and into methods of `self`. An exception
that the caller catches isn't counted; one that comes from an object, a constructor or a library isn't seen.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
from collections.abc import Iterator
from functools import cache
from typing import Any

SILENT = (AssertionError, NotImplementedError, StopAsyncIteration, StopIteration)
"""Exceptions that are no part of an interface."""


def raised_by(function: Any, owner: type | None = None) -> set[type[BaseException]]:
    """Return the exceptions that a function, or a method of the class `owner`, may raise."""
    return {kind for kind in _raised(function, owner, set()) if not issubclass(kind, SILENT)}


def _raised(function: Any, owner: type | None, seen: set[Any]) -> set[type[BaseException]]:
    function = inspect.unwrap(getattr(function, "__func__", function))
    if function in seen or not inspect.isfunction(function):
        return set()
    seen.add(function)
    definition = _definition(function)
    names = vars(builtins) | function.__globals__
    found: set[type[BaseException]] = set()
    for node, caught in _reached(definition, ()):
        kinds = [kind for name in caught if isinstance(kind := names.get(name), type)]
        for kind in _of_node(node, names, owner, seen):
            if not issubclass(kind, tuple(kinds)):
                found.add(kind)
    return found


@cache
def _definition(function: Any) -> ast.stmt:
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    return definition


def _of_node(node: ast.AST, names: dict[str, Any], owner: type | None, seen: set[Any]) -> set[Any]:
    match node:
        case ast.Raise(exc=ast.Call(func=ast.Name(id=name)) | ast.Name(id=name)):
            kind = names.get(name)
            return {kind} if isinstance(kind, type) else set()
        case ast.Call(func=ast.Name(id=name)):
            called = names.get(name)
            return _raised(called, None, seen) if _is_ours(called) else set()
        case ast.Call(func=ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name)) if owner:
            called = inspect.getattr_static(owner, name, None)
            return _raised(called, owner, seen)
    return set()


def _is_ours(called: Any) -> bool:
    return str(getattr(called, "__module__", "")).startswith("chatlab")


def _reached(node: ast.AST, caught: tuple[str, ...]) -> Iterator[tuple[ast.AST, tuple[str, ...]]]:
    """Yield every node, with the names of the exceptions that are caught around it."""
    yield node, caught
    inner = caught
    if isinstance(node, ast.Try):
        inner += tuple(name for handler in node.handlers for name in _names(handler.type))
    for field, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _reached(child, inner if field == "body" else caught)


def _names(kinds: ast.expr | None) -> list[str]:
    return ["BaseException"] if kinds is None else [n.id for n in ast.walk(kinds) if isinstance(n, ast.Name)]
