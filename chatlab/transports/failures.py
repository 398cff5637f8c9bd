"""The failure table: retry, give up, or stop. Settings can override its rows.

Source: RFC 6455 §7.4.1 and the IANA registry of close codes; RFC 9110 §15; RFC 6585 §6 (511, from a captive
portal).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from chatlab.dialects.base import REASON, Refused, excerpt
from chatlab.settings import Verdict
from chatlab.transports.machine import Failure, FailureKind

FAILURES: Mapping[str, Verdict] = {
    "answer": "retry",
    "refused": "retry",
    "dns": "retry",
    "timeout": "retry",
    "reset": "retry",
    "tls": "give up",
    "protocol": "give up",
    "close 1000": "stop",
    "close 1001": "retry",
    "close 1005": "retry",
    "close 1006": "retry",
    "close 1011": "retry",
    "close 1012": "retry",
    "close 1013": "retry",
    "close 1014": "retry",
    "close 4000": "retry",
    "close": "give up",
    "http 408": "retry",
    "http 425": "retry",
    "http 429": "retry",
    "http 500": "retry",
    "http 502": "retry",
    "http 503": "retry",
    "http 504": "retry",
    "http 511": "retry",
    "http": "give up",
}
"""Verdicts by `kind code`, or by `kind` for all other codes of that kind."""

# Ends of connections, with the same reason in every world.

UNREACHABLE = Failure("timeout", reason="the server can't be reached in time")
REFUSED = Failure("refused", reason="nobody accepts connections there")
RESET = Failure("reset", reason="the connection was reset")
UNANSWERED = Failure("reset", reason="the connection ended before the server answered")
CUT_SHORT = Failure("reset", reason="the connection ended before the answer did")
STREAM_ENDED = Failure("reset", reason="the stream ended")
LOST = Failure("close", 1006, "the connection was lost")

TRY_AGAIN_LATER = 1013
"""The close code of a refusal without a status. Source: IANA registry of WebSocket close codes."""


def refusal(item: Refused) -> Failure:
    """Return the failure of a connection that the server refuses in a frame or an answer."""
    reason = excerpt(item.reason, REASON)
    if item.status is None:
        return Failure("close", TRY_AGAIN_LATER, reason, item.retry_after, in_band=True)
    return Failure("http", item.status, reason, item.retry_after, in_band=True)


UNAUTHORIZED: Mapping[str, int] = {"http": 401, "close": 4401}
"""Codes, by kind, of refusals after which a renewed token may help."""


def unauthorized(failure: Failure) -> bool:
    """Return whether a renewed token may help."""
    return failure.code is not None and failure.code == UNAUTHORIZED.get(failure.kind)


def is_unexpected(status: int | None) -> bool:
    """Return whether a failed request's status is no error status: then it is perhaps not the server's."""
    return status is not None and status < 400


def judge(failure: Failure, overrides: Mapping[str, Verdict]) -> Verdict:
    """Return the verdict for the exact code, else for its kind; for each, an override precedes the table."""
    kind, exact = failure.kind, _exact(failure.kind, failure.code)
    if not overrides:
        return FAILURES.get(exact) or FAILURES[kind]
    return overrides.get(exact) or FAILURES.get(exact) or overrides.get(kind) or FAILURES[kind]


@lru_cache
def _exact(kind: FailureKind, code: int | None) -> str:
    return kind if code is None else f"{kind} {code}"
