"""What to do about a failure: retry, give up, or stop. A table of data that settings can override.

Source: RFC 6455 §7.4.1 and the IANA registry of close codes; RFC 9110 §15; RFC 6585 §6 (511, a portal that
says what it is).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

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
"""Verdicts by `kind code`, or by `kind` for all the other codes of that kind."""

# Ends of connections as every world tells of them, in the same words.

REFUSED = Failure("refused", reason="nobody accepts connections there")
RESET = Failure("reset", reason="the connection was reset")
UNANSWERED = Failure("reset", reason="the connection ended before the server answered")
CUT_SHORT = Failure("reset", reason="the connection ended before the answer did")
STREAM_ENDED = Failure("reset", reason="the stream ended")
LOST = Failure("close", 1006, "the connection was lost")

UNAUTHORIZED: Mapping[str, int] = {"http": 401, "close": 4401}
"""Refusals that a renewed token may mend, by kind."""


def unauthorized(failure: Failure) -> bool:
    """Whether a renewed token may mend this failure."""
    return failure.code is not None and failure.code == UNAUTHORIZED.get(failure.kind)


def is_unexpected(status: int | None) -> bool:
    """Whether a refusal with this status is none that a server can mean: no request here is answered so."""
    return status is not None and status < 400


def judge(failure: Failure, overrides: Mapping[str, Verdict]) -> Verdict:
    """Return the verdict on a failure: the user's before ours, the exact code's before its kind's."""
    kind, exact = failure.kind, _exact(failure.kind, failure.code)
    if not overrides:
        return FAILURES.get(exact) or FAILURES[kind]
    return overrides.get(exact) or FAILURES.get(exact) or overrides.get(kind) or FAILURES[kind]


@lru_cache
def _exact(kind: FailureKind, code: int | None) -> str:
    return kind if code is None else f"{kind} {code}"
