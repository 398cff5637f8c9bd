"""Measurements of a process of the live benchmark."""

from time import process_time

import psutil  # type: ignore[import-untyped]


def used() -> tuple[float, int]:
    """Return the CPU seconds of this process so far, and its resident bytes."""
    return process_time(), psutil.Process().memory_info().rss
