"""Servers that tests start end with the test run, even if it is killed."""

import ctypes
import signal
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG = 1


def die_with_parent() -> Callable[[], object] | None:
    """Return a `preexec_fn` by which a child gets SIGTERM when the thread that started it ends (Linux)."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)  # loaded here: between fork and exec hardly anything is safe
    return lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
