"""Fields for a token and headers, which are sent only to the server that they were typed for."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from chatlab.errors import SettingsError
from chatlab.settings import HeaderSource
from chatlab.widgets.hidden_field import HeaderField, HiddenField, TokenField

BEARER = "Bearer "
FROM_CODE = "from a function in your code"
Origin = tuple[bool, str | None, int]
"""Whether it has TLS, host, and port."""


def origin_of(url: str) -> Origin:
    """Return the origin of a URL, the same for http and ws. Errors: `ValueError` for a malformed URL."""
    parts = urlsplit(str.__str__(url))
    secure = parts.scheme in ("https", "wss")
    return secure, parts.hostname, parts.port or (443 if secure else 80)


class Credentials:
    """A token and other headers. Their values stay in Python, as typed fields or as the given `source`.

    A function as the source stays the source, and then the fields are disabled.
    """

    def __init__(self, source: HeaderSource, url: str) -> None:
        self._source = source
        given = {} if source.renewable else dict(source())
        texts = all(isinstance(part, str) for item in given.items() for part in item)
        self._disabled = source.renewable or not texts
        lines = {} if self._disabled else given
        token = lines.get("Authorization", "").removeprefix(BEARER)
        if lines.get("Authorization") == f"{BEARER}{token}":
            lines = {name: value for name, value in lines.items() if name != "Authorization"}
        else:
            token = ""
        hint = FROM_CODE if self._disabled else ""
        self.token = TokenField("Token", token, disabled=self._disabled, placeholder=hint)
        self.headers = HeaderField(
            "Headers",
            "\n".join(f"{name}: {value}" for name, value in lines.items()),
            disabled=self._disabled,
            placeholder=hint or "X-Key: value",
        )
        self._origins: dict[HiddenField, Origin | None] = {}
        for field in (self.token, self.headers):
            self._origins[field] = origin_of(url) if field.shown else None
            field.on_change(self._typed(field))

    def _typed(self, field: HiddenField) -> Callable[[], None]:
        def typed() -> None:
            if field.is_new:
                self._origins[field] = None

        return typed

    def used_for(self, url: str) -> None:
        """Note that newly typed secrets were sent to this URL's server."""
        for field, origin in self._origins.items():
            self._origins[field] = (origin or origin_of(url)) if field.text else None

    def read(self, url: str) -> HeaderSource:
        """Return the headers for a server.

        Errors: `SettingsError` if a field can't be read, or was typed for another server.
        """
        if self._disabled:
            return self._source
        headers = self.headers.headers
        if token := self.token.text:
            if "authorization" in map(str.lower, headers):
                raise SettingsError("Headers: give Authorization or a token, not both")
            headers["Authorization"] = f"{BEARER}{token}"
        for field, origin in self._origins.items():
            if field.text and origin is not None and origin != _known_origin(url):
                raise SettingsError(
                    f"{field.description}: it was given for another server; type it again for this one"
                )
        return HeaderSource(headers)


def _known_origin(url: str) -> Origin | None:
    """Return the origin of a URL that a person types; None if it is malformed."""
    try:
        return origin_of(url)
    except ValueError:
        return None
