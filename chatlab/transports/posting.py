"""Sending over HTTP: the outbox by POST, one message at a time.

    idle ──a message──▶ posting ──accepted or refused──▶ idle, and the next
            ▲              │ no token yet, or 403: get one (once), and post again
            └──its time────┤ 401: once more with new headers
                 waiting ◀─┘ the failure table says retry: the same message with the same id, so that no other
                 overtakes it; if there was no expected answer, as soon as the receiver is connected again

A message without an answer may have arrived. It is sent again until an answer comes, and the server drops a
duplicate by its id. A permanent error fails that message only.

`HttpDialect.posted` decides what counts as an ack. Any other answer without an error status, such as the page
of a captive portal, is unexpected: the message is sent again, and fails after `max_attempts` retries.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from chatlab.dialects.base import Answer, HttpDialect, excerpt
from chatlab.messages import DeliveryState, OutgoingMessage
from chatlab.settings import HttpConfig, Verdict
from chatlab.transports.backoff import Backoff, Uniform
from chatlab.transports.explanation import explanation
from chatlab.transports.failures import is_unexpected, judge, unauthorized
from chatlab.transports.hints import NOT_FOUND
from chatlab.transports.ledger import Ledger
from chatlab.transports.machine import Close, Effect, Failure, Fetch, Links, Settle


class Poster:
    """Sender of one transport's outbox. Its `link` is 0 while no request is in flight."""

    __slots__ = (
        "_asked_at",
        "_awaits_token",
        "_backoff",
        "_client_id",
        "_config",
        "_csrf_held",
        "_csrf_renewed",
        "_failures",
        "_http",
        "_ledger",
        "_links",
        "_message",
        "_renewed",
        "_typed_at",
        "_unanswered",
        "deadline",
        "link",
        "rtt",
        "typing_link",
    )

    def __init__(
        self,
        config: HttpConfig,
        http: HttpDialect,
        uniform: Uniform,
        ledger: Ledger,
        links: Links,
        failures: Mapping[str, Verdict] | None = None,
    ) -> None:
        self._config = config
        self._failures = {**failures, **config.failures} if failures else config.failures
        self._http = http
        self._ledger = ledger
        self._links = links
        self._backoff = Backoff(config.reconnect, uniform)
        self._message: OutgoingMessage | None = None  # its request is in flight
        self._client_id = ""  # of the message to which the retries below belong
        self._csrf_renewed = False
        self._renewed = False
        self._csrf_held = http.csrf is None
        self._awaits_token = False
        self._unanswered = False  # it waits because there was no expected answer
        self._asked_at = 0.0
        self._typed_at = 0.0
        self.link = 0
        self.typing_link = 0
        self.deadline = inf
        self.rtt: float | None = None

    def pump(self, now: float, out: list[Effect]) -> None:
        """Send the next message, if there is one and no request is in flight or waiting for a retry."""
        if self.link or self.deadline < inf:
            return
        message = self._ledger.take()
        if message is None:
            return
        if message.client_id != self._client_id:
            self._client_id = message.client_id
            self._reset_retries()
        out.append(Settle(message.client_id, DeliveryState.SENT))
        self._request(message, now, out)

    def _reset_retries(self) -> None:
        self._backoff.reset()
        self._csrf_renewed = self._renewed = False

    def _request(
        self, message: OutgoingMessage, now: float, out: list[Effect], failure: Failure | None = None
    ) -> None:
        self._message = message
        self.link = self._links.next()
        self._asked_at = now
        self.deadline = now + self._config.request_timeout
        try:
            csrf = self._http.csrf
            self._awaits_token = csrf is not None and not self._csrf_held
            if csrf is not None and self._awaits_token:
                fetch = Fetch(self.link, "csrf", csrf, failure)
            else:
                fetch = Fetch(self.link, "post", self._http.post(self._config, message), failure)
        except BaseException as error:
            raise self._ledger.unencodable(message, out) from error
        out.append(fetch)

    def answered(self, answer: Answer, now: float, out: list[Effect]) -> None:
        """Handle the answer to the request in flight."""
        message = self._end()
        if self._awaits_token:
            # A server without that page needs no token.
            if answer.status in (200, 404):
                self._csrf_held = True
                self._request(message, now, out)
            else:
                self._refused(message, failure_of(answer), now, out)
            return
        self.rtt = now - self._asked_at
        result = self._http.posted(answer, message.client_id)
        if result is None:
            self._refused(message, failure_of(answer), now, out)
        else:
            self._client_id = ""
            self._ledger.read(result, out)

    def _refused(self, message: OutgoingMessage, failure: Failure, now: float, out: list[Effect]) -> None:
        """Handle an answer that is no ack: renew token or headers, wait for a retry, or fail the message."""
        if failure.code == 403 and self._http.csrf is not None and not self._csrf_renewed:
            self._csrf_held, self._csrf_renewed = False, True
            self._request(message, now, out)
        elif unauthorized(failure) and self._config.headers.renewable and not self._renewed:
            self._renewed = True
            self._request(message, now, out, failure)
        elif judge(failure, self._failures) == "retry" and not self._backoff.exhausted:
            self._wait(failure, now, unanswered=failure.kind == "answer")
        else:
            reason = failure.reason if failure.kind == "http" else str(failure)
            self._give_up(message, reason, failure.code, out)

    def failed(self, failure: Failure, now: float, out: list[Effect]) -> None:
        """Handle a request that got no answer, or an unreadable one."""
        message = self._end()
        if failure.kind == "answer":
            self._refused(message, failure, now, out)
        elif judge(failure, self._failures) == "retry":
            # Retried without limit: the receiver decides when the transport gives up.
            self._wait(failure, now, unanswered=True)
        else:
            self._give_up(message, str(failure), None, out)

    def _give_up(self, message: OutgoingMessage, reason: str, status: int | None, out: list[Effect]) -> None:
        self._client_id = ""
        self._ledger.settle(Settle(message.client_id, DeliveryState.FAILED, reason, status), out)

    def _end(self) -> OutgoingMessage:
        message = self._message
        assert message is not None
        self._message, self.link, self.deadline = None, 0, inf
        return message

    def _wait(self, failure: Failure, now: float, *, unanswered: bool) -> None:
        """Stop sending until the backoff delay is over, then resend unsettled messages first."""
        self._unanswered = unanswered
        self._csrf_renewed = False  # Meanwhile the server may restart, which makes tokens stale.
        self.deadline = now + self._backoff.next(failure.retry_after)
        self._ledger.lose_connection()

    def receiver_connected(self) -> None:
        """End a wait that began without an expected answer, as the receiver has reached the server."""
        if self._unanswered and not self.link:
            self.deadline = inf

    def tick(self, now: float, out: list[Effect]) -> None:
        """Handle the deadline, if it has passed: of an answer, or of a wait."""
        if now < self.deadline:
            return
        if self.link:
            out.append(Close(self.link, 1006, "no answer"))
            reason = f"no answer within {self._config.request_timeout:g} s"
            self.failed(Failure("timeout", reason=reason), now, out)
        else:
            self.deadline = inf
            self.pump(now, out)

    def typing(self, now: float, out: list[Effect]) -> None:
        """Post that the person is typing, if a token is held and no earlier notice is in flight."""
        request = self._http.post_typing(self._config)
        if request is None or not self._csrf_held:
            return
        if self.typing_link:
            if now < self._typed_at + self._config.request_timeout:
                return
            self._end_typing(out)
        self._typed_at = now
        self.typing_link = self._links.next()
        out.append(Fetch(self.typing_link, "post", request))

    def _end_typing(self, out: list[Effect]) -> None:
        if self.typing_link:
            out.append(Close(self.typing_link, 1006, "abandoned"))
            self.typing_link = 0

    def stop(self, out: list[Effect]) -> None:
        """Stop sending; the message in flight is the first to be sent after a restart."""
        self._end_typing(out)
        if self.link:
            out.append(Close(self.link, 1006, "abandoned"))
        self._message, self.link, self.deadline = None, 0, inf
        self._reset_retries()
        self._ledger.lose_connection()


def failure_of(answer: Answer) -> Failure:
    """Return the failure that an answer means: its status and the server's explanation.

    It is an unexpected answer if that is no error status, or if the target of a redirect has no such
    resource: a captive portal may have redirected there, and the next request may reach the server.
    """
    if is_unexpected(answer.status) or (answer.redirected and answer.status in NOT_FOUND):
        return unexpected(answer)
    return Failure("http", answer.status, explanation(answer.body), _retry_after(answer))


def unexpected(answer: Answer) -> Failure:
    """Return the failure for an unexpected answer: its status, its type, and its title or beginning."""
    kind = excerpt(answer.headers.get("content-type", "").partition(";")[0].strip().lower())
    reason = ": ".join(part for part in (kind, explanation(answer.body)) if part)
    return Failure("answer", answer.status, reason, _retry_after(answer))


def _retry_after(answer: Answer) -> float | None:
    wait = answer.headers.get("retry-after", "")
    return float(wait) if wait.isascii() and wait.replace(".", "", 1).isdigit() else None
