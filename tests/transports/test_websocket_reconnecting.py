"""The WebSocket machine when it can't connect, or the connection fails (SPEC §1 and §2; `A…` are rows of
HOSTILE)."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import pytest

from chatlab.messages import ConnectionStatus
from chatlab.transports.machine import Close, Connect, Disconnect, Failure, Opened, OpenWebSocket
from tests.transports.websocket_chat import (
    CONNECTED,
    DISCONNECTED,
    ERROR,
    FIRST,
    RECONNECTING,
    Chat,
    changes,
    connecting,
    online,
    queries,
    status,
)

# The table of failures (SPEC §2), as the machine acts on it.


def outcome(chat: Chat, failure: Failure) -> tuple[str, ConnectionStatus]:
    (change,) = changes(chat.close(failure))
    assert change.status == chat.machine.status
    assert change.code == failure.code
    assert str(failure) in change.reason
    return chat.state, change.status


RETRIED = [
    *(("close", code) for code in (1001, 1005, 1006, 1011, 1012, 1013, 1014, 4000)),
    *(("http", code) for code in (408, 425, 429, 500, 502, 503, 504)),
    *((kind, None) for kind in ("refused", "dns", "timeout", "reset")),
]
GIVEN_UP = [
    *(("close", code) for code in (1002, 1003, 1007, 1008, 1009, 1010, 4001, 4401, 4403, 4409, 4429, 4999)),
    *(("http", code) for code in (400, 401, 403, 404, 410, 426, 451)),
    *((kind, None) for kind in ("tls", "protocol")),
]


@pytest.mark.parametrize("state", [connecting, online])
@pytest.mark.parametrize(("kind", "code"), RETRIED)
def test_A13_A14_A17_A20_A24_retry(state: Callable[[], Chat], kind: Any, code: int | None) -> None:
    assert outcome(state(), Failure(kind, code)) == ("waiting", RECONNECTING)


@pytest.mark.parametrize("state", [connecting, online])
@pytest.mark.parametrize(("kind", "code"), GIVEN_UP)
def test_A15_A16_A17_A19_A22_A23_give_up(state: Callable[[], Chat], kind: Any, code: int | None) -> None:
    assert outcome(state(), Failure(kind, code, "why")) == ("idle", ERROR)


@pytest.mark.parametrize("code", [200, 204, 301, 302])
def test_A19_A91_a_failed_handshake_is_final_only_before_the_first_connection(code: int) -> None:
    """Check both: at first the address may be wrong; later it is a captive portal that answers."""
    assert outcome(connecting(), Failure("http", code, "why")) == ("idle", ERROR)
    chat = online()
    chat.close(Failure("reset"))
    chat.tick()
    (change,) = changes(chat.close(Failure("http", code, "why")))
    assert (chat.state, change.status, change.code) == ("waiting", RECONNECTING, code)
    assert change.reason == f"unexpected answer (HTTP {code}, why)"
    chat.tick()
    (notify,) = chat.do(Opened(3))
    assert changes([notify])[0].status is CONNECTED


@pytest.mark.parametrize("verdict", ["retry", "give up"])
def test_A91_settings_may_decide_otherwise(verdict: Any) -> None:
    away = Failure("answer", reason="the server redirects to an address without TLS, at h")
    chat = Chat(failures={"answer": verdict})
    chat.connect()
    assert outcome(chat, away) == (("waiting", RECONNECTING) if verdict == "retry" else ("idle", ERROR))


def test_A12_1000_from_the_server_is_the_end() -> None:
    chat = online()
    assert outcome(chat, Failure("close", 1000)) == ("idle", DISCONNECTED)
    assert chat.machine.deadline == inf


def test_A17_settings_override_the_table() -> None:
    chat = Chat(failures={"close 4429": "retry", "close 1012": "give up", "http 403": "stop"}).online()
    assert outcome(chat, Failure("close", 4429)) == ("waiting", RECONNECTING)
    chat.tick()
    assert outcome(chat, Failure("http", 403)) == ("idle", DISCONNECTED)
    chat.online()
    assert outcome(chat, Failure("close", 1012)) == ("idle", ERROR)


# SPEC §1, "Who may": a 401 or 4401 asks for new headers once.


def renewing(**settings: Any) -> Chat:
    return Chat(headers=lambda failure: {}, **settings)


@pytest.mark.parametrize("failure", [Failure("http", 401), Failure("close", 4401)])
def test_A17_A19_unauthorized_renews_the_headers_once_then_gives_up(failure: Failure) -> None:
    chat = renewing()
    chat.connect()
    assert chat.close(failure) == [
        status(RECONNECTING, f"{failure}; asking for new headers", 0, None, failure.code),
        OpenWebSocket(2, FIRST, failure),
    ]
    assert chat.state == "connecting"
    assert changes(chat.close(failure))[0].status == ERROR
    assert queries(chat.connect()) == [FIRST], "connect() may try once more"
    assert len(queries(chat.close(failure))) == 1


def test_A17_an_accepted_but_short_connection_does_not_renew_for_ever() -> None:
    chat = renewing().online()
    assert len(queries(chat.close("close", 4401, at=1.0))) == 1
    chat.open()
    assert changes(chat.close("close", 4401, at=2.0))[0].status == ERROR


def test_A17_after_a_stable_connection_a_token_may_be_renewed_again() -> None:
    chat = renewing().online()
    for at in (100.0, 200.0, 300.0):
        assert len(queries(chat.close("close", 4401, at=at))) == 1
        chat.open()


@pytest.mark.parametrize(
    "failure", [Failure("reset"), Failure("timeout"), Failure("http", 403), Failure("close", 1006)]
)
def test_other_failures_ask_for_no_new_headers(failure: Failure) -> None:
    chat = renewing()
    chat.connect()
    assert queries(chat.close(failure)) == []


def test_fixed_headers_cannot_be_renewed() -> None:
    chat = Chat(headers={"Authorization": "x"})
    chat.connect()
    assert [change.status for change in changes(chat.close("http", 401))] == [ERROR]


# Backoff, as the machine uses it.


def failures_until_error(chat: Chat, close: Callable[[], object]) -> list[float]:
    """Return the delays of all retries before it gave up."""
    delays: list[float] = []
    while True:
        close()
        if chat.machine.status == ERROR:
            return delays
        delays.append(chat.machine.deadline - chat.now)
        chat.tick()


def test_A24_ten_attempts_means_ten_retries_with_the_seeds_delays() -> None:
    chat = Chat(jitter="seed")
    chat.connect()
    assert failures_until_error(chat, lambda: chat.close("refused")) == [1, 2, 4, 8, 16, 30, 30, 30, 30, 30]
    assert chat.link == 11


def test_attempts_are_counted_in_every_change_of_status() -> None:
    chat = connecting()
    seen = []
    for _ in range(3):
        seen.extend(chat.close("refused"))
        seen.extend(chat.tick())
    seen.extend(chat.open())
    assert [(change.status, change.attempt, change.retry_at) for change in changes(seen)] == [
        (RECONNECTING, 1, 1.0),
        (RECONNECTING, 1, None),
        (RECONNECTING, 2, 3.0),
        (RECONNECTING, 2, None),
        (RECONNECTING, 3, 7.0),
        (RECONNECTING, 3, None),
        (CONNECTED, 3, None),
    ]


def test_without_a_limit_it_tries_for_ever() -> None:
    chat = Chat(reconnect={"max_attempts": None})
    chat.connect()
    for _ in range(2000):
        chat.close("refused")
        assert chat.machine.deadline - chat.now <= 30
        chat.tick()
    assert chat.link == 2001


@pytest.mark.parametrize(
    ("settings", "reason"), [({"enabled": False}, "0 retries"), ({"max_attempts": 0}, "0 retries")]
)
def test_reconnect_disabled(settings: dict[str, Any], reason: str) -> None:
    chat = Chat(reconnect=settings).online()
    (change,) = changes(chat.close())
    assert (change.status, change.reason) == (ERROR, f"gave up after {reason}: reset")


def test_A25_attempts_are_reset_only_after_stable_after() -> None:
    chat = connecting()

    def accept_then_close() -> None:
        chat.open()
        chat.close("close", 1006, at=chat.now + 4.999)

    assert len(failures_until_error(chat, accept_then_close)) == 10
    chat = connecting()
    for _ in range(30):
        chat.open()
        chat.close("close", 1006, at=chat.now + 5.0)
        assert chat.machine.deadline - chat.now == 1.0
        chat.tick()


def test_A20_retry_after_is_waited_for() -> None:
    chat = connecting()
    (change,) = changes(chat.close(Failure("http", 503, retry_after=45.0)))
    assert change.retry_at == chat.machine.deadline == 45.0


def test_A26_the_first_delay_and_the_capped_one_are_spread() -> None:
    chats = [Chat(jitter="full", uniform=lambda n=n: n / 10) for n in range(10)]  # type: ignore[misc]
    for attempt, most in ((0, 1.0), (1, 2.0)):
        for chat in chats:
            chat.do(Connect(), 0.0) if not attempt else chat.tick()
            chat.close(at=100.0 * attempt)
        assert [chat.machine.deadline - chat.now for chat in chats] == pytest.approx(
            [n * most / 10 for n in range(10)]
        )


def test_A22_connect_timeout() -> None:
    chat = Chat(connect_timeout=3.0)
    chat.do(Connect(), 100.0)
    assert chat.machine.deadline == 103.0
    assert chat.tick(102.9) == []
    timeout = [
        Close(1, 1006, "connect timeout"),
        status(RECONNECTING, "timeout: no connection within 3 s", 1, 104.0),
    ]
    assert chat.tick() == timeout
    assert chat.do(Opened(1)) == [], "too late"
    assert chat.state == "waiting"


def test_links_are_never_reused() -> None:
    chat = Chat(reconnect={"max_attempts": None})
    links = []
    for _ in range(3):
        links += [effect.link for effect in chat.connect() if isinstance(effect, OpenWebSocket)]
        chat.open()
        chat.close()
        links += [effect.link for effect in chat.tick() if isinstance(effect, OpenWebSocket)]
        chat.do(Disconnect())
    assert links == [1, 2, 3, 4, 5, 6]
