"""Signal handlers on an asyncio loop, on POSIX systems and on Windows."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def on_signals(call: Callable[[], object], *names: str) -> Iterator[None]:
    """Call `call` on the running loop when one of the named signals arrives; skip names that the system
    lacks.

    For a program's main thread. `loop.add_signal_handler` would do the same, but doesn't exist on Windows.
    """
    loop = asyncio.get_running_loop()

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(call)

    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)
