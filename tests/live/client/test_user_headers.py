"""The user's headers are checked before any is sent."""

from __future__ import annotations

from typing import Any

import pytest

from chatlab.live.client.user_headers import headers_problem


@pytest.mark.parametrize(
    ("headers", "fine"),
    [
        ({}, True),
        ({"X-Ä": "x"}, False),
        ({"": "x"}, False),
        ({"X": ""}, True),
        ({"X": "\xe9 \t y"}, True),
        ({"X": "a\nb"}, False),
        ({"X": "a\x00"}, False),
        ({"X": "\u2713"}, False),
        ({"X": 5}, False),
        ({"X": None}, False),
        ({5: "x"}, False),
        ({"X: y\r\nZ": "x"}, False),
        ({"HOST": "chat.example"}, False),
        ({"content-Length": "5"}, False),
        ({"Sec-WebSocket-Key": "x"}, False),
    ],
)
def test_headers_are_checked(headers: dict[Any, Any], fine: bool) -> None:
    assert (headers_problem(headers, latin1=True) == "") is fine


@pytest.mark.parametrize(
    ("value", "fine"),
    [
        ("✓ 𝄞 \xe9\t", True),
        ("\x85\x9f", True),
        ("a\nb", False),
        ("\x7f", False),
        ("\udc80", False),
        (None, False),
    ],
)
def test_headers_over_http_may_be_any_text(value: Any, fine: bool) -> None:
    assert (headers_problem({"X": value}, latin1=False) == "") is fine
