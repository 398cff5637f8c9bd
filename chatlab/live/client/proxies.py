"""The choice of a proxy for a connection, by the same rule for all transports.

A config's `proxy` decides if it is given; "" means none. Otherwise the environment decides, with curl's
variables: `http_proxy` for http:// and ws://, `https_proxy` for https:// and wss://, `all_proxy` for both,
and `no_proxy` for exceptions. A lower-case name takes precedence over the same in upper case. If the
environment names no proxy, the system's settings count (macOS, Windows). Connections to this machine itself
use no proxy from the environment.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from chatlab.live.client.network_failures import BrokenAnswer

PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
"""The kinds of proxies, and their default ports."""


class Proxy(NamedTuple):
    """A proxy, and the `source` of its address. Its password is never shown."""

    kind: str
    host: str
    port: int
    user: str
    password: str
    source: str

    def __repr__(self) -> str:
        return f"Proxy({self})"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"the proxy at {host}:{self.port} ({self.source})"


def proxy_for(secure: bool, host: str, port: int, setting: str | None = None) -> Proxy | None:
    """Return the proxy for a connection; None for a direct one.

    Errors: `BrokenAnswer` if its address is malformed.
    """
    if setting is not None:
        return parse_proxy(setting, "proxy") if setting else None
    if is_local(host):
        return None
    proxies = getproxies()
    for name in ("https" if secure else "http", "all"):
        if address := proxies.get(name):
            if _is_exempt(host, port, proxies.get("no", "")) or proxy_bypass(f"{host}:{port}"):
                return None
            return parse_proxy(address, f"{name}_proxy")
    return None


def parse_proxy(address: str, source: str) -> Proxy:
    """Return the proxy at an address, which may have no scheme.

    Errors: `BrokenAnswer`, which doesn't quote the address: it may hold a password.
    """
    text = address.strip()
    kind = "http"
    if "://" in text:
        kind, _, text = text.partition("://")
        kind = kind.lower()
    if kind not in PORTS:
        raise _malformed(source, "has a scheme other than http://, https://, socks5:// and socks5h://")
    try:
        parts = urlsplit("//" + text.removeprefix("//"))
        host, port = parts.hostname or "", parts.port
    except ValueError:
        problem = "has an invalid host or port: percent-encode special characters in a password"
        raise _malformed(source, problem) from None
    if not host:
        raise _malformed(source, "names no host: give http://host:port")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise _malformed(source, "continues after the port: percent-encode special characters in a password")
    return Proxy(
        kind, host, port or PORTS[kind], unquote(parts.username or ""), unquote(parts.password or ""), source
    )


def _malformed(source: str, problem: str) -> BrokenAnswer:
    return BrokenAnswer("protocol", f"the proxy's address in {source} {problem}")


def is_local(host: str) -> bool:
    """Whether a host is this machine. Source: RFC 6761 §6.3."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _is_exempt(host: str, port: int, exceptions: str) -> bool:
    """Whether `no_proxy` lists a host: *, a domain with its subdomains, an address or a network, each with an
    optional port."""
    name = host.rstrip(".").lower()
    for entry in exceptions.lower().replace(",", " ").split():
        rule, colon, its_port = entry.rpartition(":")
        if colon and its_port.isdigit() and ("]" in rule or ":" not in rule):
            if int(its_port) != port:
                continue
        else:
            rule = entry
        rule = rule.strip("[]").removeprefix("*.").strip(".")
        if entry == "*" or (rule and (name == rule or name.endswith(f".{rule}"))):
            return True
        try:
            if ip_address(name) in ip_network(rule, strict=False):
                return True
        except ValueError:
            pass
    return False
