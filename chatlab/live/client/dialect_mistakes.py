"""The sentence about an exception of a dialect, without its text, which may hold a secret."""

from __future__ import annotations

from traceback import walk_tb

from chatlab.dialects.base import Dialect, HttpDialect
from chatlab.dialects.checked import CheckedDialect, CheckedHttp, WrongResult
from chatlab.live.client.headers_failures import place


def mistake(error: BaseException) -> str:
    """Return which function of the dialect has raised, and where, or what it has returned.

    If no function of it has raised, the machine couldn't use a result.
    """
    if isinstance(error, WrongResult):
        return str(error)
    function = "the dialect"
    for frame, line in walk_tb(error.__traceback__):
        owner = frame.f_locals.get("self")
        if isinstance(owner, CheckedDialect | CheckedHttp):
            function = f"{owner.call.name}.{frame.f_code.co_name}"  # Its own function may not even begin.
        elif isinstance(owner, Dialect | HttpDialect):
            name = f"{type(owner).__name__}.{frame.f_code.co_name}"
            if isinstance(error, NotImplementedError):
                return f"{name} is missing: this transport needs it"
            return f"{name} raised {type(error).__name__}{place(frame, line)}"
    return f"{function} raised {type(error).__name__}"
