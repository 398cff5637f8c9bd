"""Headers and tokens that a person types: in a shell, or in a field of the panel."""

from __future__ import annotations

from collections.abc import Iterable

from chatlab.errors import SettingsError
from chatlab.live.client.user_headers import headers_problem


def read_headers(texts: Iterable[str]) -> dict[str, str]:
    """Parse headers such as `X-Key: value`.

    Errors: `SettingsError`, without the value, since it may be secret.
    """
    headers: dict[str, str] = {}
    for text in texts:
        name, colon, value = text.partition(":")
        if not colon:
            raise SettingsError("header: give a name and a value with a colon between, such as 'X-Key: abc'")
        name = name.strip()
        if problem := headers_problem({name: value.strip()}, latin1=False):
            raise SettingsError(f"header: {problem}; give one such as 'X-Key: abc'")
        if name.lower() in map(str.lower, headers):
            raise SettingsError(f"header {name}: give it once")
        headers[name] = value.strip()
    return headers


def is_token(text: str) -> bool:
    """Return whether a text is one token: printable ASCII without spaces, and not empty."""
    return bool(text) and text.isascii() and text.isprintable() and " " not in text
