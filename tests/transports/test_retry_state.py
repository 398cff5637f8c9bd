"""Statuses, attempts, and the next step after a failure (SPEC §1, "Who may"; §2)."""

from __future__ import annotations

from typing import Any

import pytest

from chatlab.messages import ConnectionStatus
from chatlab.settings import HttpConfig, ReconnectConfig
from chatlab.transports.machine import Effect, Failure
from chatlab.transports.retry_state import END, RENEW, Next, RetryState
from tests.transports.http_chat import CONNECTED, CONNECTING, DISCONNECTED, ERROR, RECONNECTING, status


def retry_state(max_attempts: int | None = 2, **settings: Any) -> RetryState:
    reconnect = ReconnectConfig(max_attempts=max_attempts, jitter="none")
    return RetryState(HttpConfig(url="http://h", reconnect=reconnect, **settings), lambda: 0.0)


def fail(it: RetryState, failure: Failure, now: float = 0.0, hint: str = "") -> tuple[Next, list[Effect]]:
    out: list[Effect] = []
    return it.fail(failure, now, out, hint), out


def test_each_step_is_notified_with_its_attempt() -> None:
    it, out = retry_state(), list[Effect]()
    assert it.status is DISCONNECTED
    it.start(out)
    then = it.fail(Failure("refused"), 10.0, out)
    it.retry(out)
    it.connected(out)
    it.disconnected(out)
    it.disconnected(out, "the server is full", 1013)
    assert then == Next("retry", 11.0)
    assert out == [
        status(CONNECTING),
        status(RECONNECTING, "refused", 1, 11.0),
        status(RECONNECTING, "trying again", 1),
        status(CONNECTED, attempt=1),
        status(DISCONNECTED, "asked to disconnect"),
        status(DISCONNECTED, "the server is full", code=1013),
    ]
    assert it.status is DISCONNECTED


def test_A24_no_more_attempts_than_allowed() -> None:
    it = retry_state()
    assert [fail(it, Failure("reset"))[0].what for _ in range(3)] == ["retry", "retry", "end"]
    assert it.status is ERROR
    _, (change,) = fail(retry_state(max_attempts=0), Failure("reset"))
    assert change == status(ERROR, "gave up after 0 retries: reset")
    it = retry_state(max_attempts=1)
    fail(it, Failure("reset"))
    assert fail(it, Failure("dns"))[1] == [status(ERROR, "gave up after 1 retry: dns", 1)]


def test_A25_only_a_stable_connection_resets_the_attempts() -> None:
    it = retry_state()
    fail(it, Failure("reset"))
    it.connected([])
    assert fail(it, Failure("reset"))[0] == Next("retry", 2.0)
    it.reset()
    assert fail(it, Failure("reset"))[0] == Next("retry", 1.0)


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (Failure("http", 403, "no"), ERROR),
        (Failure("tls"), ERROR),
        (Failure("close", 1000), DISCONNECTED),
        (Failure("http", 418), DISCONNECTED),
    ],
)
def test_the_table_and_its_overrides_may_end_it(failure: Failure, expected: ConnectionStatus) -> None:
    it = retry_state(failures={"http 418": "stop"})
    assert fail(it, failure, hint=" (try tea)") == (
        END,
        [status(expected, f"{failure} (try tea)", code=failure.code)],
    )


def test_A20_retry_after_is_a_floor() -> None:
    assert fail(retry_state(), Failure("http", 503, retry_after=7.0), 1.0)[0] == Next("retry", 8.0)


@pytest.mark.parametrize("failure", [Failure("http", 401), Failure("close", 4401)])
def test_A17_A38_new_headers_are_asked_for_once(failure: Failure) -> None:
    it = retry_state(headers=lambda failure: {})
    assert fail(it, failure) == (
        RENEW,
        [status(RECONNECTING, f"{failure}; asking for new headers", code=failure.code)],
    )
    assert fail(it, failure)[0] == END
    it.reset()
    assert fail(it, failure)[0] == RENEW, "a token that was good may expire again"
    it.start([])
    assert fail(it, failure)[0] == RENEW


@pytest.mark.parametrize(
    "failure", [Failure("reset"), Failure("http", 403), Failure("close", 4403), Failure("dns")]
)
def test_other_failures_ask_for_none(failure: Failure) -> None:
    assert fail(retry_state(headers=lambda failure: {}), failure)[0] != RENEW
    assert fail(retry_state(headers={"A": "b"}), Failure("http", 401))[0] == END


def test_giving_up_whatever_the_table_says() -> None:
    it, out = retry_state(), list[Effect]()
    it.give_up(Failure("http", 503, "busy"), out)
    it.give_up(Failure("http", 503, "busy"), out, "enough")
    assert out == [status(ERROR, "HTTP 503: busy", code=503), status(ERROR, "enough", code=503)]
