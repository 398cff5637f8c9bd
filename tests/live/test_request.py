"""What every kind of link needs: the address, and the headers that the user adds."""

from __future__ import annotations

from typing import Any

import pytest

from chatlab.live.request import headers_problem, is_loopback, with_query


@pytest.mark.parametrize(
    ("url", "query", "path", "expected"),
    [
        ("ws://h/ws", {}, "", "ws://h/ws"),
        ("http://h", {}, "/messages", "http://h/messages"),
        ("http://h/base/?key=x", {"room": "a"}, "/messages", "http://h/base/messages?key=x&room=a"),
        ("ws://h/ws", {"room": "a b&c", "after": "é"}, "", "ws://h/ws?room=a+b%26c&after=%C3%A9"),
        ("ws://h/ws?token=x&room=old&room=older", {"room": "new"}, "", "ws://h/ws?token=x&room=new"),
        ("ws://h/ws?flag=&a=1", {"b": ""}, "", "ws://h/ws?flag=&a=1&b="),
    ],
)
def test_the_query_is_added_and_takes_the_place_of_its_own_names(
    url: str, query: dict[str, str], path: str, expected: str
) -> None:
    assert with_query(url, query, path) == expected


@pytest.mark.parametrize(
    ("url", "is_own"),
    [
        ("ws://localhost/", True),
        ("ws://127.8.9.1:1/", True),
        ("ws://[::1]:80/", True),
        ("wss://LOCALHOST/", True),
        ("ws://chat.example/", False),
        ("ws://10.127.0.1/", False),
    ],
)
def test_no_proxy_is_asked_for_this_machine(url: str, is_own: bool) -> None:
    assert is_loopback(url) is is_own


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
