"""URLs in ASCII form, as clients send them and servers get them."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, unquote_plus, urlencode, urlsplit, urlunsplit


class InvalidHost(ValueError):
    """An error of a host that isn't a valid name."""


def with_query(url: str, query: Mapping[str, str], path: str = "") -> str:
    """Return the URL with a path appended, and the query's parameters replacing its own of the same names.

    The rest of its query stays unchanged, byte for byte, since it may be signed. Other characters than ASCII
    are encoded in the same way for all transports: a host by IDNA 2008 (RFC 5891), the rest as UTF-8 (RFC
    3987 §3.1).

    Errors: `InvalidHost` if the host isn't a valid name; `ValueError` if this isn't a URL.
    """
    parts = urlsplit(url)
    fields = parts.query.split("&") if parts.query else []
    kept = [field for field in fields if unquote_plus(field.partition("=")[0]) not in query]
    whole = urlunsplit(
        parts._replace(
            netloc=ascii_host(parts.netloc),
            path=parts.path.rstrip("/") + path if path else parts.path,
            query="&".join([*kept, urlencode(query)] if query else kept),
        )
    )
    return whole if whole.isascii() else quote(whole, safe=_KEPT)


_KEPT = "".join(chr(code) for code in range(128))
"""ASCII characters, which stay as the user wrote them."""


def ascii_host(netloc: str) -> str:
    """Return a URL's netloc with its host in ASCII form, by IDNA 2008 (RFC 5891).

    Errors: `InvalidHost` if the host isn't a valid name.
    """
    user, at, host = netloc.rpartition("@")
    if host.isascii():
        return netloc
    import httpx  # a quarter of a server's start, which hardly ever needs it

    name, colon, port = host.partition(":")
    try:
        ascii_name = httpx.URL(f"http://{name}/").raw_host.decode()
    except httpx.InvalidURL as error:
        raise InvalidHost(str(error)) from error
    return f"{user}{at}{ascii_name}{colon}{port}"
