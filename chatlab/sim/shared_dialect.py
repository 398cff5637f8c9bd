"""A dialect that all people of a run share: each frame is decoded once."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import lru_cache
from typing import Any, cast

from chatlab.dialects.base import Answer, Dialect, HttpDialect, Page

REMEMBERED_FRAMES = 4096
"""Number of the latest results that are kept for each function of a dialect."""


class SharedDialect:
    """A dialect that decodes a frame, an event or a page once for all receivers, which share the messages in
    memory."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self.decode = lru_cache(REMEMBERED_FRAMES)(dialect.decode)
        self.http: HttpDialect | None = copy.copy(dialect.http)
        if dialect.http is not None:
            vars(self.http)["event"] = lru_cache(REMEMBERED_FRAMES)(dialect.http.event)
            vars(self.http)["page"] = _sharing_pages(dialect.http)

    def for_connection(self) -> Dialect:
        """Return the dialect of one connection; one with state of its own shares nothing."""
        own = self._dialect.for_connection()
        return cast(Dialect, self) if own is self._dialect else own

    def __getattr__(self, name: str) -> Any:
        value = vars(self)[name] = getattr(self._dialect, name)  # Cached, so the next access is direct.
        return value


def _sharing_pages(http: HttpDialect) -> Callable[[Answer], Page | None]:
    @lru_cache(REMEMBERED_FRAMES)
    def read(status: int, body: bytes, headers: tuple[tuple[str, str], ...]) -> Page | None:
        return http.page(Answer(status, body, dict(headers)))

    def page(answer: Answer) -> Page | None:
        return read(answer.status, answer.body, tuple(answer.headers.items()))

    return page
