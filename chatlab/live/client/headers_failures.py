"""Conversion of exceptions of the user's headers function to failures, temporary or final.

A function that asks another server for a token meets the same network failures as the transport itself. They
are retried like the transport's own, whichever HTTP library raised them. Errors that the same call would
repeat are final: a wrong type, a missing key, a missing file, a refused password.

The text of such an exception may hold a token, so only its type is reported, and where it was raised. The
texts of `TryAgain` and `LoginRefused` are written for users, and reported.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from traceback import walk_tb
from types import FrameType
from typing import Any

import httpx
import msgspec

from chatlab.errors import LoginRefused, TryAgain
from chatlab.live.client.network_failures import network_failure, printable, request_failure, retry_after
from chatlab.transports.failures import FAILURES
from chatlab.transports.machine import Failure

_LOCAL = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError)
"""`OSError`s that no network causes."""
_CALLER_ERRORS = (httpx.UnsupportedProtocol, httpx.LocalProtocolError)
"""`httpx.TransportError`s that the caller causes, not the network."""
_CUT_SHORT = (EOFError, http.client.HTTPException)
_NO_JSON = (json.JSONDecodeError, msgspec.DecodeError)
"""Errors of parsing as JSON, for example the page of a captive portal."""
_OTHER_LIBRARIES = frozenset(
    {
        "aiohttp.client_exceptions.ClientConnectionError",
        "aiohttp.client_exceptions.ClientPayloadError",
        "botocore.exceptions.HTTPClientError",
        "google.auth.exceptions.TransportError",
        "httpcore.NetworkError",
        "httpcore.RemoteProtocolError",
        "httpcore.TimeoutException",
        "urllib3.exceptions.HTTPError",
    }
)
"""Network exceptions of libraries that chatlab doesn't import, and whose base classes it can't recognise."""
_PACKAGE = str(Path(__file__).parents[2])
_CELLS = ("ipykernel_", "<ipython-input")
"""Parts of the names that IPython gives a notebook's cells as files."""


def headers_failure(error: BaseException) -> Failure:
    """Return the failure for an exception of the headers function; a final one has the kind `protocol`."""
    for cause in _causes(error):
        if (failure := _known_failure(cause)) is not None:
            return failure
    return _failure(Failure("protocol"), error, f"{where_raised(error)}: correct it, then connect again")


def no_headers(returned: Any) -> Failure:
    """Return the failure of a headers function that returned something other than headers."""
    kind = type(returned).__name__
    reason = f"the headers function returned {kind}: it must return a dict of names and values"
    return Failure("protocol", reason=reason)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and the explicit causes (`raise … from`) of it."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        group = cause.exceptions if isinstance(cause, BaseExceptionGroup) else ()
        cause = group[0] if len(group) == 1 else cause.__cause__


def _known_failure(error: BaseException) -> Failure | None:
    """Return the failure for an exception; None if the exception is unknown."""
    if isinstance(error, TryAgain):
        reason = f"the headers function asks to try again: {printable(error.reason)}"
        return Failure("timeout", reason=reason.removesuffix(": "), retry_after=error.retry_after)
    if isinstance(error, LoginRefused):
        reason = printable(error.reason) or "check the user and the password, then connect again"
        return Failure("protocol", reason=f"the headers function gets no token: {reason}")
    status = _status(error)
    if status is not None:
        if FAILURES.get(f"http {status}") == "retry":
            return _failure(Failure("http", status, retry_after=_wait(error)), error, f" (HTTP {status})")
        what = "its user, password or token" if status in (401, 403) else "the URL that it requests"
        return _failure(Failure("protocol"), error, f" (HTTP {status}): check {what}")
    if isinstance(error, _LOCAL):
        what = "check the file that it opens" if error.errno else "correct it, then connect again"
        return _failure(Failure("protocol"), error, f"{where_raised(error)}: {what}")
    if isinstance(error, _CALLER_ERRORS):
        return _failure(Failure("protocol"), error, f"{where_raised(error)}: check the URL that it requests")
    if isinstance(error, OSError):
        return _failure(network_failure(error), error)
    if isinstance(error, httpx.TransportError):
        failure = request_failure(error)
        return _failure(failure if failure.kind != "protocol" else Failure("reset"), error)
    if isinstance(error, _NO_JSON) and not isinstance(error, msgspec.ValidationError):
        return _failure(Failure("reset"), error)
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
    names |= {f"{kind.__module__.partition('.')[0]}.{kind.__qualname__}" for kind in type(error).__mro__}
    if isinstance(error, _CUT_SHORT) or names & _OTHER_LIBRARIES:
        return _failure(Failure("reset"), error)
    return None


def _failure(failure: Failure, error: BaseException, detail: str = "") -> Failure:
    reason = f"the headers function raised {type(error).__name__}{detail}"
    return Failure(failure.kind, failure.code, reason, failure.retry_after)


def where_raised(error: BaseException) -> str:
    """Return where in the user's code the error was raised, if known; a location holds no secret."""
    for frame, line in walk_tb(error.__traceback__):
        if where := place(frame, line):
            return printable(f" in {frame.f_code.co_name}{where}", 100)
    return ""


def place(frame: FrameType, line: int) -> str:
    """Return a line of the user's code in parentheses; "" for code of this package."""
    file = frame.f_code.co_filename
    if file.startswith(_PACKAGE):
        return ""
    cell = any(part in file for part in _CELLS)
    name = "a notebook's cell" if cell else printable(Path(file).name, 80)
    return f" ({name}, line {line})"


def _status(error: BaseException) -> int | None:
    """Return the HTTP status of an exception, from the attributes that several libraries use."""
    response = getattr(error, "response", None)
    for owner, name in ((response, "status_code"), (error, "status"), (error, "code")):
        status = getattr(owner, name, None)
        if isinstance(status, int) and 400 <= status <= 599:
            return status
    return None


def _wait(error: BaseException) -> float | None:
    """Return the seconds of the `Retry-After` header of an exception's response, if it has one."""
    headers = getattr(getattr(error, "response", error), "headers", None)
    try:
        return retry_after(headers["Retry-After"])  # type: ignore[index]
    except (KeyError, TypeError, AttributeError):
        return None
