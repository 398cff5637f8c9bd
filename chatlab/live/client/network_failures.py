"""Conversion of the libraries' exceptions, and of a server's refusals, to the `Failure`s of a machine.

Their texts are bounded and printable. An exception's own text may quote a URL or a header, so it is passed on
only if it can't hold a secret.
"""

from __future__ import annotations

import re
import socket
import ssl
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
    InvalidURI,
)

from chatlab.transports.explanation import explanation
from chatlab.transports.failures import CUT_SHORT, LOST, REFUSED, RESET, UNANSWERED, UNREACHABLE
from chatlab.transports.machine import Failure, FailureKind

MAX_REASON = 200
"""Characters of a server's explanation that are kept."""

LOOP_ENDS = Failure("reset", reason="the event loop is being closed")
"""The failure of a link that other code has cancelled, as `asyncio.run` does with all remaining tasks."""


class BrokenAnswer(Exception):
    """An unusable answer over HTTP, with its failure."""

    def __init__(self, kind: FailureKind, reason: str) -> None:
        super().__init__(reason)
        self.failure = Failure(kind, reason=reason)


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Return the seconds of a `Retry-After` header; None if there is none or it is malformed.

    A date is measured from `now`, which should be the answer's own `Date`, since the server's clock may
    differ from ours.

    Source: RFC 9110 §10.2.3, §6.6.1.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    at = moment(text)
    return None if at is None else max(0.0, (at - (now or datetime.now(UTC))).total_seconds())


def moment(date: str | None) -> datetime | None:
    """Return the time of a `Date` header; None if there is none or it is malformed."""
    try:
        at = parsedate_to_datetime(date.strip()) if date else None
        return at if at is None or at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def printable(text: str, limit: int = MAX_REASON) -> str:
    """Return a server's text with control characters made visible, cut at `limit` characters."""
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:limit])
    return shown + ("…" if len(text) > limit else "")


def opening_failure(error: Exception) -> Failure:
    """Return the failure of an opening handshake."""
    match error:
        case InvalidStatus():
            response = error.response
            reason = explanation(bytes(response.body or b"")) or printable(response.reason_phrase)
            waits, dates = (response.headers.get_all(name) for name in ("Retry-After", "Date"))
            wait = retry_after(waits[0], moment(dates[0]) if dates else None) if len(waits) == 1 else None
            return Failure("http", response.status_code, reason, wait)
        case BrokenAnswer():
            return error.failure
        case InvalidMessage() if isinstance(error.__cause__, EOFError | ConnectionError):
            return UNANSWERED
        case InvalidHandshake():
            return Failure("protocol", reason=printable(str(error)))
        case InvalidURI():
            return Failure("protocol", reason=f"this is not a WebSocket address: {printable(error.msg)}")
        case EOFError() | ConnectionClosed():
            return RESET
        case OSError():
            return network_failure(error)
        case _:
            return Failure("protocol", reason=f"{type(error).__name__}: {printable(str(error))}")


def request_failure(error: Exception, *, posts: bool = False) -> Failure:
    """Return the failure of a request without a complete answer. `posts`: the request was a POST, so an
    unreadable answer has the kind `answer`."""
    causes = tuple(_causes(error))
    broken = [cause for cause in causes if isinstance(cause, OSError)]
    if broken:
        return network_failure(broken[-1])
    match error:
        case httpx.RemoteProtocolError() if _ENDED_EARLY.search(str(error)):
            return CUT_SHORT
        case httpx.RemoteProtocolError():
            return Failure("answer" if posts else "protocol", reason=printable(str(error)))
        case httpx.TimeoutException():
            return UNREACHABLE
        case httpx.ConnectError():
            return REFUSED
        case httpx.NetworkError():
            return RESET
        case zlib.error():
            return Failure("answer" if posts else "reset", reason="the answer's gzip is broken")
        case _:
            # The text may quote a header's value or the address.
            return Failure("protocol", reason=f"the request can't be made: {type(error).__name__}")


_ENDED_EARLY = re.compile("disconnected|closed connection")
"""Texts of httpcore and h11, which have no exception types for this case."""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and its causes, even those hidden by `from None`."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def network_failure(error: OSError) -> Failure:
    """Return the failure of a connection that wasn't established, or broke."""
    match error:
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError() | ssl.SSLSyscallError():
            return Failure("reset", reason="the connection ended within the TLS handshake")
        case ssl.SSLError(reason="WRONG_VERSION_NUMBER"):  # OpenSSL's name for an answer without TLS
            return Failure("tls", reason="the server doesn't speak TLS: try ws:// or http:// in the URL")
        case ssl.SSLError():
            words = getattr(error, "verify_message", "") or getattr(error, "reason", "") or str(error)
            return Failure("tls", reason=printable(words))
        case socket.gaierror():
            return Failure("dns", reason="the host's name can't be resolved")
        case TimeoutError():
            return UNREACHABLE
        case ConnectionResetError() | BrokenPipeError():
            return RESET
        case _:
            return REFUSED


def closing_failure(error: ConnectionClosed) -> Failure:
    """Return the failure by which an open connection ended: the server's close frame, our own after a
    protocol error, or neither.

    Source: RFC 6455 §7.1.5.
    """
    if error.rcvd is not None and not (error.sent is not None and error.rcvd_then_sent is False):
        return Failure("close", error.rcvd.code, printable(error.rcvd.reason))
    if error.sent is not None:
        return Failure("close", error.sent.code, printable(error.sent.reason))
    return LOST
