"""The user's headers for a transport's attempts, from a dict or a function, and their validation."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Mapping
from typing import Any

from chatlab.live.client.headers_failures import headers_failure, no_headers
from chatlab.live.foreign import TooManyCalls, call_on_thread, report, was_cancelled
from chatlab.live.redaction import Redaction
from chatlab.settings import TransportConfig
from chatlab.transports.machine import Failure

# Source: RFC 9110 §5.6.2, §5.5; RFC 3629 §3 (no surrogates in UTF-8).
_TOKEN = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
_OWN = frozenset({"connection", "content-length", "host", "transfer-encoding", "upgrade"})
_LATIN1 = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_UNICODE = re.compile(r"[\t\x20-\x7e\x80-\ud7ff\ue000-\U0010ffff]*")


async def user_headers(
    config: TransportConfig, failure: Failure | None, *, latin1: bool
) -> dict[str, str] | Failure:
    """Return the user's headers for one attempt; a `Failure` if they are unavailable or invalid.

    A function that isn't `async` is called on a thread of its own, where it may block.
    """
    source = config.headers
    try:
        if source.calls_plainly:
            headers = await call_on_thread(lambda: source(failure), source)
        else:
            headers = source(failure)
        if inspect.isawaitable(headers):
            headers = await headers
    except TooManyCalls:
        return Failure("timeout", reason="the headers function hasn't returned from earlier calls")
    except BaseException as error:
        if was_cancelled(error) or isinstance(error, GeneratorExit):
            raise
        if not isinstance(error, Exception):
            report("the headers function", error, asyncio.get_running_loop())
        return headers_failure(error)
    try:
        headers = dict(headers)
    except (TypeError, ValueError):
        return no_headers(headers)
    problem = headers_problem(headers, latin1=latin1)
    return Failure("protocol", reason=problem) if problem else headers


class UserHeaders:
    """The user's headers for a transport's attempts.

    After a refusal the headers function is called with that failure until it has returned new headers. Their
    values are added to the secrets of `redaction`.
    """

    def __init__(self, config: TransportConfig, redaction: Redaction | None = None) -> None:
        self._config = config
        self._redaction = redaction
        self._refusal: Failure | None = None

    async def get(self, failure: Failure | None, *, latin1: bool) -> dict[str, str] | Failure:
        """Return the headers for one attempt, as `user_headers` does."""
        refusal = failure or self._refusal
        headers = await user_headers(self._config, refusal, latin1=latin1)
        if isinstance(headers, Failure):
            self._refusal = refusal
            return headers
        self._refusal = None
        if self._redaction is not None:
            self._redaction.learn(headers)
        return headers


def headers_problem(headers: Mapping[Any, Any], *, latin1: bool) -> str:
    """Return what is wrong with headers, without their values, which may be secret; "" if nothing is."""
    kind, pattern = ("Latin-1 text", _LATIN1) if latin1 else ("text", _UNICODE)
    for name, value in headers.items():
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            return "the headers have an invalid name"
        if name.lower() in _OWN or name.lower().startswith("sec-websocket-"):
            return f"the header {name} is set by the transport; leave it out"
        if not isinstance(value, str) or not pattern.fullmatch(value):
            return f"the value of the header {name} must be {kind} without line ends or control characters"
    return ""
