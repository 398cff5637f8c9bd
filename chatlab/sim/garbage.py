"""Less for the garbage collector to do while a crowd comes into being, and while it lives."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

RARELY = 100_000
"""Number of new objects after which garbage is collected, instead of 700."""


@contextmanager
def rare_garbage() -> Iterator[None]:
    """Collect garbage seldom, and not among objects that are there already.

    A run makes millions of objects and hardly a cycle. Most of its time would go into walking over people who
    live until the end.
    """
    first, *others = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(max(first, RARELY), *others)
    try:
        yield
    finally:
        gc.freeze()  # Else all that has come into being meanwhile would be looked at now.
        gc.set_threshold(first, *others)
        gc.unfreeze()
