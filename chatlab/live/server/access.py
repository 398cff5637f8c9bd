"""Access rules of a server: its own names, the pages that may talk to it, and the proxies that it trusts.

A request must name this server in its `Host`. Otherwise a page could reach the server by a host name that
the page's owner controls (DNS rebinding). A request with an `Origin` comes from a page, and the origin must
be the server's own or an allowed one. The server's own origin consists of the scheme and the host by which
the page was loaded. Behind a proxy that terminates TLS only the proxy knows these, and the client's
address; its forwarding headers count if its address is trusted.

Sources: Fetch standard §3.2 (`Origin`); RFC 6454 §6.2; RFC 7239 §1 (what `X-Forwarded-*` have in common).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from starlette.datastructures import Headers
from starlette.types import Scope

from chatlab.errors import SettingsError
from chatlab.live.ascii_urls import ascii_host

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
_NO_ORIGIN = "null"
"""The origin of a page that was loaded from a file or is sandboxed."""
_PORTS = {"http": "80", "https": "443"}
_SECURE = frozenset({"https", "wss"})
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[^\s/?#@*:\[\]]+)(?::([0-9]{1,5}))?")
_NAME = re.compile(r"\[[0-9a-f:.]+\]|[^\s/?#@*:\[\]]+")
_ABSOLUTE = re.compile(r"https?://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)


class Spelling(NamedTuple):
    """How a user allows a host or an origin, or trusts a proxy: by options or keywords. Refusals quote
    them."""

    host: str
    origin: str
    proxy: str


KEYWORDS = Spelling("allowed_hosts=[NAME]", "allowed_origins=[ORIGIN]", "trusted_proxies=[ADDRESS]")
OPTIONS = Spelling("--allow-host NAME", "--allow-origin ORIGIN", "--trust-proxy ADDRESS")


class Visit(NamedTuple):
    """A request as its client made it.

    `scope` has the client's own address, scheme and path. `origin` is the allowed origin of another site that
    it comes from, or "". `refusal` is the status and reason of its refusal, if it is refused.
    """

    scope: Scope
    origin: str = ""
    refusal: tuple[int, str] | None = None


class Access:
    """The names, origins and proxies that one server trusts, in addition to its `own` name.

    Errors: `SettingsError` for a malformed value, or one that would let any page in.
    """

    def __init__(
        self,
        own: str,
        hosts: Collection[str] = (),
        origins: Collection[str] = (),
        proxies: Collection[str] = (),
        spelling: Spelling = KEYWORDS,
    ) -> None:
        self._spelling = spelling
        self._hosts = {*LOOPBACK_NAMES, own.lower()} | {
            _parse_host(name, spelling.host) for name in _each(hosts)
        }
        self._origins = frozenset(_parse_origin(origin, spelling.origin) for origin in _each(origins))
        self._proxies = [_parse_network(address, spelling.proxy) for address in _each(proxies)]

    @property
    def allows_other_origins(self) -> bool:
        """Whether pages of other origins may talk to this server."""
        return bool(self._origins)

    def visit(self, scope: Scope) -> Visit:
        """Return a request as its client made it, with the reason for its refusal, if it is refused."""
        headers = Headers(scope=scope)
        hosts = [headers.get("host", "")]
        scope = {**scope}
        if absolute := _ABSOLUTE.fullmatch(scope["path"]):  # RFC 9112 §3.2.2
            hosts.append(absolute[1])
            scope["path"] = absolute[2] or "/"
            scope["raw_path"] = scope["path"].encode()
        scheme = "https" if scope["scheme"] in _SECURE else "http"
        if self._is_trusted((scope.get("client") or ("",))[0]):
            scope["client"] = self._client(scope["client"], headers)
            scheme = "https" if _last(headers, "x-forwarded-proto").lower() in _SECURE else "http"
            scope["scheme"] = scheme.replace("http", "ws") if scope["type"] == "websocket" else scheme
            if forwarded := _last(headers, "x-forwarded-host"):
                hosts.append(forwarded)
        hosts = [host.lower() for host in hosts]
        origins = headers.getlist("origin")
        known = next((origin for origin in origins if origin.lower() in self._origins), "")
        refusal = None
        if not all(_name_of(host) in self._hosts or _name_of(host) == _literal(scope) for host in hosts):
            refusal = 421, f"the Host header isn't a name of this server; start it with {self._spelling.host}"
        else:
            own = _without_default_port(scheme, hosts[-1])
            for origin in map(str.lower, origins):
                if origin != own and origin not in self._origins:
                    refusal, known = (403, self._foreign(origin, hosts[-1])), ""
        return Visit(scope, known, refusal)

    def _foreign(self, origin: str, host: str) -> str:
        """Return the reason for the refusal of an origin, with advice."""
        spelling = self._spelling
        if origin == _NO_ORIGIN:
            return f"a page from a file has no origin: serve it over HTTP, allow it with {spelling.origin}"
        if origin == _without_default_port("https", host):
            return (
                "the page was loaded over https: let the proxy send X-Forwarded-Proto, and "
                f"start the server with {spelling.proxy}"
            )
        return f"pages of that origin may not talk to this server; start it with {spelling.origin}"

    def _is_trusted(self, address: str) -> bool:
        try:
            found = ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self._proxies)

    def _client(self, peer: tuple[str, int], headers: Headers) -> tuple[str, int]:
        """Return the address from which the first trusted proxy of a chain was reached; each proxy appends
        the address that it saw."""
        client = peer
        for entry in reversed(", ".join(headers.getlist("x-forwarded-for")).split(",")):
            address = _address_of(entry)
            if address is None:
                break
            client = address, 0
            if not self._is_trusted(address):
                break
        return client


def _each(values: Collection[str]) -> Collection[str]:
    """Return the given values; a single string counts as a collection of one."""
    return (values,) if isinstance(values, str) else values


def _parse_host(name: str, setting: str) -> str:
    host = _ascii_form(name)
    host = f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else host
    if not _NAME.fullmatch(host):
        raise SettingsError(
            f"{setting}: {name!r} is not a host name; give it as in a URL, without scheme and port"
        )
    return host.rstrip(".")


def _ascii_form(host: str) -> str:
    """Return a host in the lower-case ASCII form that browsers send; "" if it isn't a valid name."""
    try:
        return ascii_host(host.strip().lower())
    except ValueError:
        return ""


def _parse_origin(origin: str, setting: str) -> str:
    text = origin.strip().lower()
    if text in ("*", _NO_ORIGIN):
        raise SettingsError(f"{setting}: {text} would let any page in; name the origins, one by one")
    scheme, separator, host = text.partition("://")
    match = _ORIGIN.fullmatch(f"{scheme}{separator}{_ascii_form(host)}")
    if match is None:
        raise SettingsError(
            f"{setting}: {origin!r} is not an origin; give scheme://host or scheme://host:port, no path"
        )
    scheme, host, port = match.groups()
    return _without_default_port(scheme, f"{host}:{port}" if port else host)


def _parse_network(address: str, setting: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(address.strip(), strict=False)
    except ValueError:
        raise SettingsError(
            f"{setting}: {address!r} is not an address; give an IP address, or a network such as 10.0.0.0/8"
        ) from None


def _without_default_port(scheme: str, host: str) -> str:
    """Return the origin of a scheme and a host with its port, as browsers write it."""
    return f"{scheme}://{host.removesuffix(':' + _PORTS.get(scheme, ''))}"


def _name_of(host: str) -> str:
    """Return a host without its port."""
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    return name.rstrip(".")


def _literal(scope: Scope) -> str:
    """Return the address on which the connection came in. Given literally as the `Host`, it can't be
    rebound."""
    address: str = (scope.get("server") or ("",))[0]
    return f"[{address}]" if ":" in address else address


def _last(headers: Headers, name: str) -> str:
    """Return the last entry of a header, which the nearest proxy has added."""
    return ",".join(headers.getlist(name)).rpartition(",")[2].strip()


def _address_of(entry: str) -> str | None:
    """Return the IP address of an entry of `X-Forwarded-For`, which may have a port; None if it holds no
    address."""
    text = entry.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ip_address(text))
    except ValueError:
        return None
