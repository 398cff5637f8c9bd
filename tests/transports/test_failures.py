"""Every row of the table of close codes and handshake failures (SPEC §2; HOSTILE A12-A24)."""

from __future__ import annotations

from typing import get_args

import pytest

from chatlab.settings import Verdict, WebSocketConfig
from chatlab.transports.failures import FAILURES, judge, unauthorized
from chatlab.transports.machine import Failure, FailureKind

RETRY = [
    *(Failure(kind) for kind in ("refused", "dns", "timeout", "reset")),
    *(Failure("close", code) for code in (1001, 1005, 1006, 1011, 1012, 1013, 1014, 4000)),
    *(Failure("http", code) for code in (408, 425, 429, 500, 502, 503, 504)),
]
GIVE_UP = [
    Failure("tls"),
    Failure("protocol"),  # A22: a handshake that isn't one
    *(Failure("close", code) for code in (1002, 1003, 1007, 1008, 1009, 1010)),
    *(Failure("close", code) for code in range(4001, 5000)),
    *(Failure("http", code) for code in range(400, 500) if code not in (408, 425, 429)),
    *(Failure("http", code) for code in (200, 204, 301, 302, 307, 308)),  # A19, A21: no handshake either
]
ROWS: list[tuple[Verdict, list[Failure]]] = [
    ("retry", RETRY),
    ("give up", GIVE_UP),
    ("stop", [Failure("close", 1000)]),
]


@pytest.mark.parametrize(("verdict", "failures"), ROWS, ids=["retry", "give up", "stop"])
def test_SPEC_2_table(verdict: Verdict, failures: list[Failure]) -> None:
    assert [str(failure) for failure in failures if judge(failure, {}) != verdict] == []


def test_A18_any_failure_has_a_verdict() -> None:
    for kind in get_args(FailureKind):
        for code in (None, 0, 7, 999, 1004, 1015, 3000, 5000, 10**9):
            assert judge(Failure(kind, code), {}) in ("retry", "give up", "stop")


@pytest.mark.parametrize(
    ("overrides", "failure", "verdict"),
    [
        ({"close 4429": "retry"}, Failure("close", 4429), "retry"),
        ({"close 4429": "retry"}, Failure("close", 4430), "give up"),
        ({"close 1000": "retry"}, Failure("close", 1000), "retry"),
        ({"http 503": "give up"}, Failure("http", 503), "give up"),
        ({"http": "retry"}, Failure("http", 418), "retry"),
        ({"close": "retry"}, Failure("close", 4403), "retry"),
        ({"close": "retry"}, Failure("close", 1000), "stop"),  # our exact code before the user's kind
        ({"tls": "retry"}, Failure("tls"), "retry"),
        ({"dns": "stop"}, Failure("dns"), "stop"),
    ],
)
def test_A17_the_user_overrides(overrides: dict[str, Verdict], failure: Failure, verdict: Verdict) -> None:
    assert judge(failure, WebSocketConfig(url="ws://h/", failures=overrides).failures) == verdict


def test_all_keys_can_be_overridden() -> None:
    assert WebSocketConfig(url="ws://h/", failures=dict(FAILURES)).failures == FAILURES


def test_SPEC_1_only_401_and_4401_ask_for_a_new_token() -> None:
    asking = [
        Failure(kind, code)
        for kind in get_args(FailureKind)
        for code in (None, *range(1000), *range(1000, 1016), *range(4000, 5000))
        if unauthorized(Failure(kind, code))
    ]
    assert asking == [Failure("close", 4401), Failure("http", 401)]
