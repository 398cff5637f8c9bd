"""Rare garbage collection while a run is built, and while it runs."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

RARELY = 100_000
"""Number of new objects after which garbage is collected; Python's default is 700."""


@contextmanager
def rare_garbage() -> Iterator[None]:
    """Collect garbage rarely, and don't scan objects that exist already.

    A run makes millions of objects and hardly a cycle. Most of its time would go into scanning objects that
    live until its end.
    """
    first, *others = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(max(first, RARELY), *others)
    try:
        yield
    finally:
        gc.freeze()  # Otherwise all objects made meanwhile would be scanned now.
        gc.set_threshold(first, *others)
        gc.unfreeze()
