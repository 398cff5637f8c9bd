"""Public exceptions say what happened, and hold it as data."""

from __future__ import annotations

import pytest

from chatlab.errors import (
    ChatError,
    ChatSendError,
    ConnectError,
    EventTooLarge,
    InvalidMessage,
    LoginRefused,
    OutboxFull,
    SettingsError,
    TryAgain,
)


def test_connect_error_holds_what_decided_it() -> None:
    error = ConnectError("HTTP 403: members only", 403)
    assert (str(error), error.reason, error.code) == ("HTTP 403: members only", "HTTP 403: members only", 403)
    assert ConnectError("refused").code is None


@pytest.mark.parametrize(
    ("status", "reason", "text"),
    [
        (413, "", "the server refused the message (413)"),
        (413, "too long", "the server refused the message (413): too long"),
        (0, "no token", "the message was not accepted: no token"),
    ],
)
def test_send_error_holds_the_status(status: int, reason: str, text: str) -> None:
    error = ChatSendError(status, reason)
    assert (str(error), error.status, error.reason) == (text, status, reason)


def test_try_again_holds_when() -> None:
    error = TryAgain("the vault is sealed", 3.0)
    assert (str(error), error.reason, error.retry_after) == (
        "the vault is sealed",
        "the vault is sealed",
        3.0,
    )
    assert (TryAgain().reason, TryAgain().retry_after) == ("", None)


def test_event_too_large_keeps_the_events_before_it() -> None:
    assert EventTooLarge("a line is too long", ["a"]).events == ["a"]
    assert EventTooLarge("a line is too long").events == ()


def test_families() -> None:
    for family, members in (
        (ChatError, [ConnectError, ChatSendError, OutboxFull]),
        (ValueError, [SettingsError, InvalidMessage, EventTooLarge]),
    ):
        assert all(issubclass(member, family) for member in members)


def test_a_refused_login_says_what_to_correct_and_is_a_permission_error() -> None:
    error = LoginRefused("the password is wrong")
    assert isinstance(error, ChatError)
    assert isinstance(error, PermissionError)
    assert (str(error), error.reason) == ("the password is wrong", "the password is wrong")
