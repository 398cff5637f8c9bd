"""The source of a request's extra headers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal

from chatlab.errors import SettingsError


class HeaderSource:
    """Extra request headers: a mapping, or a function that is called for each attempt. Never printed.

    A function may have a parameter named `failure`, or one parameter without a default. It gets the refusal
    after which a renewed token may help, or None. Any other function is called without arguments, so
    `lambda token=token: …` keeps its default.

    Errors: `SettingsError` if a function needs other parameters.
    """

    __slots__ = ("_failure", "_source", "renewable")

    def __init__(self, source: Mapping[str, str] | Callable[..., Any] | None) -> None:
        self._source = source
        self.renewable = callable(source)
        self._failure = _failure_of(source) if callable(source) else "no"

    @property
    def calls_plainly(self) -> bool:
        """Whether getting the headers may block: the source is a function, but no coroutine function."""
        source = self._source
        return callable(source) and not runs_async(source)

    def __call__(self, failure: Any = None) -> Any:
        """Return the headers as a mapping, or as an awaitable that returns one.

        `failure` is the refusal after which a renewed token may help, if any; it is passed to a function that
        has a parameter for it.
        """
        source = self._source
        if not callable(source):
            return source or {}
        if self._failure == "by name":
            return source(failure=failure)
        return source(failure) if self._failure == "first" else source()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HeaderSource) and self._given == other._given

    @property
    def _given(self) -> Mapping[str, str] | Callable[..., Any] | None:
        """The source; None if it has no headers."""
        return self._source if self.renewable or self._source else None

    __hash__ = None  # type: ignore[assignment]  # The source may be a mapping.

    def __repr__(self) -> str:
        return "HeaderSource(none)" if self._given is None else "HeaderSource(hidden)"


def runs_async(function: Any) -> bool:
    """Return whether a call returns a coroutine: an `async def`, also in a partial or as `__call__`."""
    while hasattr(function, "func"):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004  # A class may define it as `async def`.
    )


def _failure_of(function: Callable[..., Any]) -> Literal["by name", "first", "no"]:
    """Return how to pass the failure to a function."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a C function without a signature
        return "no"
    if any(one.name == "failure" and one.kind in (_EITHER, _BY_NAME) for one in parameters):
        return "by name"
    needed = [one for one in parameters if one.default is one.empty and one.kind not in _REST]
    if not needed:
        return "no"
    if len(needed) > 1 or needed[0].kind is _BY_NAME:
        raise SettingsError(
            "headers: give a function that needs no parameter, or only `failure`; this one needs "
            + " and ".join(one.name for one in needed)
        )
    return "first"


_EITHER, _BY_NAME = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
_REST = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
