"""URL templates."""

from __future__ import annotations

import pytest

from chatlab.dialects.base import Request
from chatlab.dialects.templates import expand, expand_query, request_to


def test_a_value_stays_within_its_segment() -> None:
    assert expand("/rooms/{channel}/{txn}", channel="a/b?c#d é", txn="1") == "/rooms/a%2Fb%3Fc%23d%20%C3%A9/1"
    assert expand("/plain") == "/plain"


def test_a_name_without_a_value_is_an_error() -> None:
    with pytest.raises(KeyError, match="channel"):
        expand("/{channel}")
    with pytest.raises(KeyError, match="cursor"):
        expand_query("since={cursor}")


def test_what_is_not_known_is_left_out_of_the_query() -> None:
    query = "since={cursor}&room=r-{channel}&all=&v=1"
    assert expand_query(query, cursor=None, channel="a&b") == {"room": "r-a&b", "all": "", "v": "1"}
    assert expand_query(query, cursor="e 7", channel="a")["since"] == "e 7"


def test_a_request_from_a_template() -> None:
    assert request_to(
        "PUT", "/send/{txn}?room={channel}", {"A": "b"}, "{}", txn="c1", channel="x"
    ) == Request("PUT", "/send/c1", {"room": "x"}, {"A": "b"}, "{}")
    assert request_to("GET", "/{channel}", channel=None) == Request("GET", "/")
