"""The URLs of settings: whether one can be used, and how it is shown."""

from __future__ import annotations

from urllib.parse import urlsplit

from chatlab.errors import SettingsError


def check_url(owner: str, url: str, schemes: tuple[str, str]) -> None:
    """Check that a URL is absolute, names a host and a sane port, and has one of two schemes.

    Errors: `SettingsError`, with the likely correction.
    """
    shown = redacted(url)
    problem = ""
    try:
        parts = urlsplit(url)
        if parts.scheme not in schemes:
            problem = f"starts with {schemes[0]}:// or {schemes[1]}://"
        elif not parts.hostname:
            problem = "names a host"
        elif parts.port == 0:
            problem = "has a port from 1 to 65535"
        elif not url.isprintable() or " " in url or parts.fragment:
            problem = "has no spaces, control characters or #fragment"
    except ValueError as error:
        problem = f"is a valid URL ({error})"
    if problem:
        raise SettingsError(
            f"{owner}.url: give a URL that {problem}, such as {schemes[0]}://127.0.0.1:8000/, got {shown!r}"
        )


_SECRET_WORDS = ("token", "key", "secret", "auth", "pass", "session", "signature", "credential")


def redacted(url: str) -> str:
    """Return the URL with user names, passwords and secret-looking query values replaced by `***`."""
    head, mark, query = url.partition("?")
    scheme, slashes, rest = head.partition("//")
    authority, slash, path = rest.partition("/")
    if "@" in authority:
        authority = "***@" + authority.rpartition("@")[2]
    pairs = []
    for pair in query.split("&"):
        name, equals, value = pair.partition("=")
        secret = value and any(word in name.lower() for word in _SECRET_WORDS)
        pairs.append(name + equals + ("***" if secret else value))
    return scheme + slashes + authority + slash + path + mark + "&".join(pairs)
