"""The retry state of a transport: its status, its count of attempts, and the next step after a failure.

    failure ──▶ a renewed token may help           ──▶ renew: try at once with new headers
            ──▶ the table says stop                ──▶ ended, `disconnected`
            ──▶ the table says give up, or no
                attempt is left                    ──▶ ended, `error`
            ──▶ otherwise                          ──▶ retry after the backoff delay

The count of attempts is reset once a connection has been stable for `stable_after`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from chatlab.messages import ConnectionStatus, StatusChange
from chatlab.settings import TransportConfig, Verdict
from chatlab.transports.backoff import Backoff, Uniform
from chatlab.transports.failures import is_unexpected, judge, unauthorized
from chatlab.transports.hints import Lifetimes
from chatlab.transports.machine import Effect, Failure, Notify

REQUESTED = "asked to disconnect"
"""Reason of a disconnection that the application asked for."""


class Next(Struct, frozen=True):
    """The next step after a failure; `at` is the time of a retry."""

    what: Literal["retry", "renew", "end"]
    at: float = 0.0


RENEW = Next("renew")
END = Next("end")


class RetryState:
    """One transport's status and count of attempts; each change of status is notified.

    `failures` are the dialect's verdicts; the settings' take precedence. Before the first connection, an
    unexpected answer may mean a wrong address; after it, a captive portal or the like, so it is retried.
    """

    __slots__ = ("_config", "_failures", "_lifetimes", "_renewed", "_was_connected", "backoff", "status")

    def __init__(
        self, config: TransportConfig, uniform: Uniform, failures: Mapping[str, Verdict] | None = None
    ) -> None:
        self._config = config
        self._failures = {**failures, **config.failures} if failures else config.failures
        self._renewed = False
        self._was_connected = False
        self._lifetimes: Lifetimes | None = None  # Created on demand: most clients never lose a connection.
        self.backoff = Backoff(config.reconnect, uniform)
        self.status = ConnectionStatus.DISCONNECTED

    def start(self, out: list[Effect]) -> None:
        """Start the first attempt, as the application asked to connect."""
        self.reset()
        self._notify(out, ConnectionStatus.CONNECTING)

    def retry(self, out: list[Effect]) -> None:
        """Start the next attempt."""
        self._notify(out, ConnectionStatus.RECONNECTING, "trying again", self.backoff.attempts)

    def connected(self, out: list[Effect]) -> None:
        """Record that the attempt has succeeded."""
        self._was_connected = True
        self._notify(out, ConnectionStatus.CONNECTED, attempt=self.backoff.attempts)

    def reset(self) -> None:
        """Reset the count of attempts, after a stable connection."""
        self.backoff.reset()
        self._renewed = False

    def disconnected(self, out: list[Effect], reason: str = REQUESTED, code: int | None = None) -> None:
        """Record the end of the connection that the application, or the server, asked for."""
        self._notify(out, ConnectionStatus.DISCONNECTED, reason, code=code)

    def judge(self, failure: Failure) -> Verdict:
        """Return the verdict of the failure tables."""
        return judge(failure, self._failures)

    def record_lifetime(self, failure: Failure, lasted: float) -> str:
        """Record a connection's lifetime in seconds; return a hint if the latest few were about equal."""
        if self._lifetimes is None:
            self._lifetimes = Lifetimes()
        return self._lifetimes.record_lifetime(failure, lasted, self._config)

    def fail(
        self, failure: Failure, now: float, out: list[Effect], hint: str = "", *, check_address: bool = False
    ) -> Next:
        """Record a failure, and return the next step; `hint` is added to the reason that people see.

        With `check_address`, an unexpected answer is final before the first connection, as the address may
        be wrong.
        """
        attempts = self.backoff.attempts
        if self._was_connected and failure.kind == "http" and is_unexpected(failure.code):
            failure = replace(failure, kind="answer")
        if unauthorized(failure) and self._config.headers.renewable and not self._renewed:
            self._renewed = True
            reason = f"{failure}; asking for new headers"
            self._notify(out, ConnectionStatus.RECONNECTING, reason, attempts, code=failure.code)
            return RENEW
        unknown_server = check_address and not self._was_connected
        final = unknown_server and failure.kind == "answer" and "answer" not in self._failures
        verdict: Verdict = "give up" if final else self.judge(failure)
        reason = str(failure) + hint
        if verdict == "stop":
            self._notify(out, ConnectionStatus.DISCONNECTED, reason, code=failure.code)
            return END
        if verdict == "give up" or self.backoff.exhausted:
            if verdict == "retry":
                reason = f"gave up after {attempts} {'retry' if attempts == 1 else 'retries'}: {reason}"
            self.give_up(failure, out, reason)
            return END
        retry_at = now + self.backoff.next(failure.retry_after)
        self._notify(
            out, ConnectionStatus.RECONNECTING, reason, self.backoff.attempts, retry_at, failure.code
        )
        return Next("retry", retry_at)

    def give_up(self, failure: Failure, out: list[Effect], reason: str = "") -> None:
        """End the transport with `error`, whatever the failure table says."""
        self._notify(
            out, ConnectionStatus.ERROR, reason or str(failure), self.backoff.attempts, code=failure.code
        )

    def _notify(
        self,
        out: list[Effect],
        status: ConnectionStatus,
        reason: str = "",
        attempt: int = 0,
        retry_at: float | None = None,
        code: int | None = None,
    ) -> None:
        self.status = status
        out.append(Notify(StatusChange(status, reason, attempt, retry_at, code)))
