"""Running a function in a forked process."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable


def in_a_fork(function: Callable[[], str]) -> str:
    """Return the function's result, or raise its exception, from a child process, which ends without
    output."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Since Python 3.12: there are threads.
        child = os.fork()
    if not child:
        answer = "it ended early"
        try:
            answer = function()
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        finally:
            os.write(writer, answer.encode())
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answers:
        told = answers.read().decode()
    os.waitpid(child, 0)
    return told
