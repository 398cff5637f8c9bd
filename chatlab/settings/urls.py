"""The URLs of settings: their validation, and their redaction when they are shown.

A URL may hold secrets: a user and a password, tokens in its query, a fragment. No list of names can tell
which values are secret, so each is hidden. The path is shown, as people look for it in a log.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import NamedTuple
from urllib.parse import unquote_plus, urlsplit, urlunsplit

from chatlab.errors import SettingsError
from chatlab.text import cut

HIDDEN = "***"
"""The text that replaces a secret."""
CUT = "…"
"""The mark at the end of a text that was cut."""
MOST_SHOWN = 200
"""Maximum characters of a URL in a message."""
MIN_SECRET = 4
"""Minimum characters of a secret that `scrub` looks for: shorter ones occur in any text."""

_SECURE = ("https://", "wss://")
_PREFIX = re.compile(r"(?:[A-Za-z][-+.0-9A-Za-z]*:)?//")
_AUTHORITY = re.compile(r"[^/\\?#]*")
_HOST = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(:[0-9]*)?")
_NO_PORT = re.compile(r"([^:\[\]]*:)[^:\[\]]+")


class Url(str):
    """A URL whose `str`, `repr` and `format` hide user, password, query values and fragment.

    Otherwise it is the original text: equal to it, and parsed, sliced and joined like it.
    """

    __slots__ = ()

    def __str__(self) -> str:
        return redacted(self)

    def __repr__(self) -> str:
        return repr(redacted(self))

    def __format__(self, spec: str) -> str:
        return format(redacted(self), spec)


def check_url(owner: str, url: str, schemes: tuple[str, str]) -> None:
    """Check that a URL is absolute, has one of two schemes, and names a host and a valid port.

    Errors: `SettingsError`, with the likely correction.
    """
    shown = shown_url(url)
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
        problem = parse_problem(error)
    if problem:
        raise SettingsError(
            f"{owner}.url: give a URL that {problem}, such as {schemes[0]}://127.0.0.1:8000/, got {shown!r}"
        )


def parse_problem(error: ValueError) -> str:
    """Return the requirement that a URL breaks, without quoting `urlsplit`'s error, which may show a
    password."""
    text = str(error)
    if text.startswith("Port"):
        return "has a port from 1 to 65535"
    if "NFKC" in text:
        return "names a host without special characters"
    return "has a complete IPv6 address in brackets, as in [::1]"


def redacted(url: str) -> str:
    """Return the URL with `***` for its user and password, each value of its query, and its fragment.

    If it is unclear where the password ends, as in a text that is no URL, all before the last @ is hidden.
    """
    text = str.__str__(url)
    prefix = found[0] if (found := _PREFIX.match(text)) else ""
    rest = text[len(prefix) :]
    host = _authority(rest).rpartition("@")[2]
    at = rest.rfind("@") if not prefix or not _HOST.fullmatch(host) else _authority(rest).rfind("@")
    if at >= 0:
        prefix, rest = f"{prefix}{HIDDEN}@", rest[at + 1 :]
    host = _authority(rest)
    password = None if _HOST.fullmatch(host) else _NO_PORT.fullmatch(host)  # as in ws://ada:password
    shown = password[1] + HIDDEN if password else host
    rest, hash_mark, fragment = rest[len(host) :].partition("#")
    path, mark, query = rest.partition("?")
    values = "&".join(map(_hide_value, query.split("&")))
    return f"{prefix}{shown}{path}{mark}{values}{hash_mark}{HIDDEN if fragment else ''}"


def with_secrets(typed: str, url: str) -> Url:
    """Return the typed URL with each `***` replaced by the secret in the same place of `url`.

    Errors: `SettingsError` if `url` has no such secret, or the address differs: secrets are reused only for
    the same host and port, and never without TLS if `url` has it.
    """
    text, known = str.__str__(typed), str.__str__(url)
    if HIDDEN not in text or text == known:
        return Url(text)
    if text == redacted(known):
        return Url(known)
    new, old = _split(text), _split(known)
    drops_tls = old.scheme in _SECURE and new.scheme not in _SECURE
    same = new.host == old.host and not drops_tls
    user = old.user if new.user == f"{HIDDEN}@" and same else new.user
    values = {
        field: iter([pair for pair in old.fields if _hide_value(pair) == field]) for field in new.fields
    }
    fields = [next(values[field], field) if same and HIDDEN in field else field for field in new.fields]
    fragment = old.fragment if new.fragment == f"#{HIDDEN}" and same else new.fragment
    if HIDDEN in user or fragment == f"#{HIDDEN}" or any(_hide_value(f) == f and HIDDEN in f for f in fields):
        raise SettingsError(
            f"url: {HIDDEN} stands for a secret of another address; type the secret into {shown_url(text)!r}"
        )
    return Url(f"{new.scheme}{user}{new.host}{new.path}{'&'.join(fields)}{fragment}")


class _Parts(NamedTuple):
    """The parts of a URL's text with their delimiters; joined, they are the text again."""

    scheme: str
    user: str
    host: str
    path: str
    fields: list[str]
    fragment: str


def _split(text: str) -> _Parts:
    scheme = found[0] if (found := _PREFIX.match(text)) else ""
    authority = _authority(text[len(scheme) :])
    user, at, host = authority.rpartition("@")
    rest, hash_mark, fragment = text[len(scheme) + len(authority) :].partition("#")
    path, mark, query = rest.partition("?")
    return _Parts(scheme, user + at, host, path + mark, query.split("&"), hash_mark + fragment)


def _authority(text: str) -> str:
    found = _AUTHORITY.match(text)
    return found[0] if found else ""


def _hide_value(pair: str) -> str:
    """Return a query field with its value hidden; a field without = is hidden completely."""
    name, equals, value = pair.partition("=")
    return f"{name}={HIDDEN if value else ''}" if equals else HIDDEN if pair else ""


def through_proxy(url: str, host: str, port: int) -> str:
    """Return the URL with a proxy's host and port; a user and password stay."""
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}{at}{host}:{port}"))


def shown_url(url: str) -> str:
    """Return the URL redacted, and cut if it is very long."""
    return cut(redacted(url), MOST_SHOWN)


def secrets_of(url: str) -> frozenset[str]:
    """Return the secrets of a URL, as they are and percent-decoded, of at least `MIN_SECRET` characters."""
    text = str.__str__(url)
    rest, _, fragment = text.partition("#")
    head, _, query = rest.partition("?")
    user, _, password = _authority(head.partition("//")[2]).rpartition("@")[0].partition(":")
    fields = [pair.partition("=")[2] if "=" in pair else pair for pair in query.split("&")]
    raw = {user, password, fragment, *fields}
    return frozenset(s for s in raw | {unquote_plus(s) for s in raw} if len(s) >= MIN_SECRET)


def scrub(text: str, secrets: Collection[str]) -> str:
    """Return a text with `***` for each secret in it, the longest first: a server's text may quote them.

    The beginning of a secret is also hidden where the text was cut: at its end, or before "…".
    """
    by_length = sorted(secrets, key=len, reverse=True)
    for secret in by_length:
        text = text.replace(secret, HIDDEN)
    return CUT.join(_hide_cut(part, by_length) for part in text.split(CUT))


def _hide_cut(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        for length in range(len(secret) - 1, MIN_SECRET - 1, -1):
            if text.endswith(secret[:length]):
                return text[:-length] + HIDDEN
    return text
