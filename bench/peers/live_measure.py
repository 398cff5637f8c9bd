"""What a process of the live benchmark tells of itself."""

from time import process_time

import psutil  # type: ignore[import-untyped]


def used() -> tuple[float, int]:
    """Return the CPU seconds that this process has taken, and its resident bytes."""
    return process_time(), psutil.Process().memory_info().rss
