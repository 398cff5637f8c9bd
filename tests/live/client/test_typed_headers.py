"""Headers and tokens as a person types them: read, and never shown in an error."""

from __future__ import annotations

import pytest

from chatlab.errors import SettingsError
from chatlab.live.client.typed_headers import is_token, read_headers

SECRET = "s3cret-t0ken"


def test_headers_are_read_from_text() -> None:
    given = ["X-Key: a:b ", "Empty:", "x-umlaut:\u00e4"]
    assert read_headers(given) == {"X-Key": "a:b", "Empty": "", "x-umlaut": "\u00e4"}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([SECRET], "give a name and a value with a colon between"),
        ([f" : {SECRET}"], "the headers have an invalid name"),
        ([f"two words: {SECRET}"], "the headers have an invalid name"),
        ([f"X-Key: {SECRET}\r\nEvil: 1"], "value of the header X-Key must be text without line ends"),
        (["X-Key: a", f"x-key: {SECRET}"], "header x-key: give it once"),
    ],
)
def test_an_invalid_header_is_refused_without_showing_its_value(given: list[str], told: str) -> None:
    with pytest.raises(SettingsError, match=told) as found:
        read_headers(given)
    assert SECRET not in str(found.value)


@pytest.mark.parametrize(
    ("text", "good"), [("a.b-c_d=", True), ("", False), ("a b", False), ("a\tb", False), ("ä", False)]
)
def test_a_token_is_one_printable_word(text: str, good: bool) -> None:
    assert is_token(text) is good
