"""Sending over HTTP: the outbox by POST, one message at a time.

    idle ──a message──▶ posting ──accepted or refused──▶ idle, and the next
            ▲              │ no token yet, or 403: get one (once a connection), and post again
            └──its time────┤ 401: once more with new headers
                 waiting ◀─┘ the failure table says retry: the same message with the same id, so that no other
                 overtakes it; if there was no expected answer, as soon as the receiver is connected again

A message without an answer may have arrived. It is sent again until an answer comes, and the server drops a
duplicate by its id. A permanent error fails that message only.

`HttpDialect.posted` decides what counts as an ack. Any other answer without an error status, such as the page
of a captive portal, is unexpected: the message is sent again, and fails after `max_attempts` retries.

A dialect's replies go out by POST too, before messages. If one can't be sent, or the answer to any POST
refuses the session (`Refused`), the receiver's session ends with that failure. A session's messages that
wait for their acks (`InFlight`) are sent again in the next one.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from chatlab.dialects.base import Answer, InFlight, Refused, Reply, Request, excerpt
from chatlab.messages import DeliveryState, OutgoingMessage
from chatlab.settings import HttpConfig, Verdict
from chatlab.transports.backoff import Backoff, Uniform
from chatlab.transports.explanation import explanation
from chatlab.transports.failures import is_unexpected, judge, refusal, unauthorized
from chatlab.transports.hints import NOT_FOUND
from chatlab.transports.ledger import Ledger
from chatlab.transports.machine import Close, Effect, Failure, Fetch, Links, Settle
from chatlab.transports.session import Session


class Poster:
    """Sender of one transport's outbox and replies. Its `link` is 0 while no request is in flight.

    Methods that return a `Failure` ask to end the receiver's session with it.
    """

    __slots__ = (
        "_asked_at",
        "_awaits_token",
        "_backoff",
        "_client_id",
        "_config",
        "_csrf_held",
        "_csrf_renewed",
        "_failures",
        "_ledger",
        "_links",
        "_renewed",
        "_resume_at",
        "_sending",
        "_session",
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
        session: Session,
        uniform: Uniform,
        ledger: Ledger,
        links: Links,
        failures: Mapping[str, Verdict] | None = None,
    ) -> None:
        self._config = config
        self._failures = {**failures, **config.failures} if failures else config.failures
        self._session = session
        self._ledger = ledger
        self._links = links
        self._backoff = Backoff(config.reconnect, uniform)
        self._sending: OutgoingMessage | Reply | None = None  # its request is in flight
        self._resume_at = inf  # end of a message's wait during which a reply is sent
        self._client_id = ""  # of the message to which the retries below belong
        self._csrf_renewed = False
        self._renewed = False
        self._csrf_held = session.http.csrf is None
        self._awaits_token = False
        self._unanswered = False  # it waits because there was no expected answer
        self._asked_at = 0.0
        self._typed_at = 0.0
        self.link = 0
        self.typing_link = 0
        self.deadline = inf
        self.rtt: float | None = None

    def pump(self, now: float, out: list[Effect]) -> None:
        """Send the next reply, else the next message unless one waits for a retry, or for the greeting, if no
        request is in flight."""
        if self.link:
            return
        if self._session.replies:
            self._resume_at = self.deadline
            self._request(self._session.replies.popleft(), now, out)
            return
        if self.deadline < inf or not self._session.let_in:
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
        self, sending: OutgoingMessage | Reply, now: float, out: list[Effect], failure: Failure | None = None
    ) -> None:
        self._sending = sending
        self.link = self._links.next()
        self._asked_at = now
        self.deadline = now + self._config.request_timeout
        try:
            csrf = self._session.http.csrf
            self._awaits_token = csrf is not None and not self._csrf_held
            if csrf is not None and self._awaits_token:
                fetch = Fetch(self.link, "csrf", csrf, failure)
            else:
                fetch = Fetch(self.link, "post", self._request_for(sending), failure)
        except BaseException as error:
            if isinstance(sending, Reply):
                raise
            raise self._ledger.unencodable(sending, out) from error
        out.append(fetch)

    def _request_for(self, sending: OutgoingMessage | Reply) -> Request:
        http = self._session.http
        if isinstance(sending, Reply):
            return http.post_reply(self._config, sending.frame)
        return http.post(self._config, sending)

    def answered(self, answer: Answer, now: float, out: list[Effect]) -> Failure | None:
        """Handle the answer to the request in flight."""
        sending = self._end()
        if self._awaits_token:
            # A server without that page needs no token.
            if answer.status not in (200, 404):
                return self._refused(sending, failure_of(answer), now, out)
            self._csrf_held = True
            self._request(sending, now, out)
            return None
        self.rtt = now - self._asked_at
        client_id = "" if isinstance(sending, Reply) else sending.client_id
        result = self._session.http.posted(answer, client_id)
        if result is None:
            return self._refused(sending, failure_of(answer), now, out)
        if isinstance(result, Refused):
            return refusal(result)
        if client_id:
            self._client_id = ""
            if not isinstance(result, InFlight):
                self._ledger.read(result, out)
        return None

    def _refused(
        self, sending: OutgoingMessage | Reply, failure: Failure, now: float, out: list[Effect]
    ) -> Failure | None:
        """Handle an answer that is no ack: renew token or headers, wait for a retry, or fail the message."""
        if failure.code == 403 and self._session.http.csrf is not None and not self._csrf_renewed:
            self._csrf_held, self._csrf_renewed = False, True
            self._request(sending, now, out)
        elif isinstance(sending, Reply):
            return failure
        elif unauthorized(failure) and self._config.headers.renewable and not self._renewed:
            self._renewed = True
            self._request(sending, now, out, failure)
        elif judge(failure, self._failures) == "retry" and not self._backoff.exhausted:
            self._wait(failure, now, unanswered=failure.kind == "answer")
        else:
            reason = failure.reason if failure.kind == "http" else str(failure)
            self._give_up(sending, reason, failure.code, out)
        return None

    def failed(self, failure: Failure, now: float, out: list[Effect]) -> Failure | None:
        """Handle a request that got no answer, or an unreadable one."""
        sending = self._end()
        if failure.kind == "answer":
            return self._refused(sending, failure, now, out)
        if isinstance(sending, Reply):
            return failure
        if judge(failure, self._failures) == "retry":
            # Retried without limit: the receiver decides when the transport gives up.
            self._wait(failure, now, unanswered=True)
        else:
            self._give_up(sending, str(failure), None, out)
        return None

    def _give_up(self, message: OutgoingMessage, reason: str, status: int | None, out: list[Effect]) -> None:
        self._client_id = ""
        self._ledger.settle(Settle(message.client_id, DeliveryState.FAILED, reason, status), out)

    def _end(self) -> OutgoingMessage | Reply:
        sending = self._sending
        assert sending is not None
        self._sending, self.link, self.deadline = None, 0, self._resume_at
        self._resume_at = inf
        return sending

    def _wait(self, failure: Failure, now: float, *, unanswered: bool) -> None:
        """Stop sending until the backoff delay is over, then resend unsettled messages first."""
        self._unanswered = unanswered
        self._csrf_renewed = False  # Meanwhile the server may restart, which makes tokens stale.
        self.deadline = now + self._backoff.next(failure.retry_after)
        self._ledger.lose_connection()

    def receiver_changed(self, *, connected: bool) -> None:
        """Note that the receiver has lost or reached the server, whose restart may make a token stale again.

        A wait that began without an expected answer ends when the receiver is connected.
        """
        self._csrf_renewed = False
        if connected and self._unanswered and not self.link:
            self.deadline = inf

    def tick(self, now: float, out: list[Effect]) -> Failure | None:
        """Handle the deadline, if it has passed: of an answer, or of a wait."""
        if now < self.deadline:
            return None
        if self.link:
            out.append(Close(self.link, 1006, "no answer"))
            reason = f"no answer within {self._config.request_timeout:g} s"
            return self.failed(Failure("timeout", reason=reason), now, out)
        self.deadline = inf
        self.pump(now, out)
        return None

    def typing(self, now: float, out: list[Effect]) -> None:
        """Post that the person is typing, if a token is held and no earlier notice is in flight."""
        request = self._session.http.post_typing(self._config)
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
        """Stop sending; the messages in flight are the first to be sent after a restart."""
        self._end_typing(out)
        if self.link:
            out.append(Close(self.link, 1006, "abandoned"))
        self._sending, self.link, self.deadline, self._resume_at = None, 0, inf, inf
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
