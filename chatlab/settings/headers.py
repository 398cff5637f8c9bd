"""Where a request's extra headers come from."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any


class HeaderSource:
    """Extra request headers, made anew for each attempt where the user gave a function; never printed."""

    __slots__ = ("_source", "_takes_failure", "renewable")

    def __init__(self, source: Mapping[str, str] | Callable[..., Any] | None) -> None:
        self._source = source
        self.renewable = callable(source)
        self._takes_failure = callable(source) and _takes_argument(source)

    def __call__(self, failure: Any = None) -> Any:
        """Return the headers as a mapping, or what can be awaited for one.

        `failure` is the refusal that a renewed token should mend, if any; it is passed on to a function that
        takes an argument.
        """
        source = self._source
        if not callable(source):
            return source or {}
        return source(failure) if self._takes_failure else source()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HeaderSource) and self._source == other._source

    __hash__ = None  # type: ignore[assignment]  # a mapping may be inside

    def __repr__(self) -> str:
        return "HeaderSource(none)" if self._source is None else "HeaderSource(hidden)"


def _takes_argument(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return False
    return True
