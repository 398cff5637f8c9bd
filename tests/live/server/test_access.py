"""Access rules of a server: names, origins, and trusted proxies. Requests as scopes, without a socket."""

from __future__ import annotations

from typing import Any

import pytest

from chatlab.errors import SettingsError
from chatlab.live.server.access import KEYWORDS, OPTIONS, Access, Visit

PROXY = "10.1.2.3"
MAX_REASON = 123
"""Bytes of a close frame's reason. Source: RFC 6455 §5.5."""


def visit(access: Access, *headers: tuple[str, str], peer: str = "192.0.2.9", **scope: Any) -> Visit:
    """Return the visit of a request from `peer` with these headers."""
    plain = {"type": "http", "method": "GET", "path": "/messages", "scheme": "http", "state": {}}
    encoded = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    return access.visit(
        {**plain, "headers": encoded, "client": (peer, 999), "server": ("192.0.2.1", 80), **scope}
    )


def refused(access: Access, *headers: tuple[str, str], **scope: Any) -> int:
    """Return the status with which a request is refused; 0 if it isn't."""
    found = visit(access, *headers, **scope)
    return found.refusal[0] if found.refusal else 0


def through(proto: str, **more: str) -> list[tuple[str, str]]:
    """Return the headers of a request to chat.example by a page of it, as a proxy that terminates TLS
    forwards it."""
    names = {"for": "198.51.100.7", "proto": proto, **more}
    return [("Host", "chat.example"), *((f"X-Forwarded-{name}", value) for name, value in names.items())]


# Settings


@pytest.mark.parametrize("spelling", [KEYWORDS, OPTIONS])
@pytest.mark.parametrize(
    ("which", "value"),
    [
        ("hosts", "*"), ("hosts", ""), ("hosts", "*.chat.example"), ("hosts", "https://chat.example"),
        ("hosts", "a\u2024b"), ("hosts", "ü" * 64), ("origins", "https://ü..example"),
        ("hosts", "chat.example:8000"), ("hosts", "chat.example/chat"), ("hosts", "a b"), ("hosts", "me@it"),
        ("origins", "*"), ("origins", "null"), ("origins", " NULL "), ("origins", "chat.example"),
        ("origins", "https://*.chat.example"), ("origins", "https://chat.example/"), ("origins", "https://"),
        ("origins", "https://me@chat.example"), ("origins", "https://chat.example:x"), ("origins", ""),
        ("proxies", "*"), ("proxies", "nginx"), ("proxies", "10.0.0.0/99"), ("proxies", "10.0.0.1:80"),
    ],
)  # fmt: skip
def test_invalid_or_too_open_settings_are_refused(spelling: Any, which: str, value: str) -> None:
    index = ("hosts", "origins", "proxies").index(which)
    with pytest.raises(SettingsError) as error:
        Access("127.0.0.1", **{which: [value]}, spelling=spelling)
    assert str(error.value).startswith(spelling[index])


def test_host_names_of_every_form_are_accepted_and_a_single_one() -> None:
    access = Access("::", ["Chat.Example.", "::1", "[2001:db8::1]", "192.0.2.5"])
    for host in ("chat.example", "CHAT.example.:80", "[::1]:8000", "[2001:db8::1]", "192.0.2.5:1"):
        assert refused(access, ("Host", host)) == 0
    assert refused(Access("x", "chat.example"), ("Host", "chat.example")) == 0
    assert refused(Access("x", "chat.example"), ("Host", "c")) == 421


def test_names_in_other_alphabets_are_known_in_the_form_of_browsers() -> None:
    access = Access("x", ["Bücher.example"], ["https://Schule.bücher.example", "http://bücher.example:81"])
    bucher = "xn--bcher-kva.example"
    assert refused(access, ("Host", f"{bucher}:80")) == 0
    for origin in (f"https://schule.{bucher}", f"http://{bucher}:81"):
        assert visit(access, ("Host", "localhost"), ("Origin", origin))[1:] == (origin, None)


def test_default_ports_are_left_out_as_browsers_do() -> None:
    access = Access("x", origins=["https://a.example:443", "http://b.example:80", "http://c.example:443"])
    for origin in ("https://a.example", "http://b.example", "http://c.example:443"):
        assert visit(access, ("Host", "localhost"), ("Origin", origin))[1:] == (origin, None)
    assert refused(access, ("Host", "localhost"), ("Origin", "https://c.example")) == 403
    assert refused(access, ("Host", "localhost:80"), ("Origin", "http://localhost")) == 0


# Requests


@pytest.mark.parametrize("spelling", [KEYWORDS, OPTIONS])
def test_a_refusal_names_the_setting_that_allows_it_and_fits_into_a_close_frame(spelling: Any) -> None:
    access = Access("127.0.0.1", ["chat.example"], spelling=spelling)
    evil, https = ("Origin", "https://evil.example"), ("Origin", "https://chat.example")
    file = visit(access, ("Host", "chat.example"), ("Origin", "null")).refusal
    assert file
    assert file[1].startswith("a page from a file has no origin: serve it over HTTP")
    assert len(file[1]) <= MAX_REASON
    asked = {
        spelling.host: visit(access, ("Host", "evil.example")),
        spelling.origin: visit(access, ("Host", "chat.example"), evil),
        spelling.proxy: visit(access, ("Host", "chat.example"), https),
    }
    for told, found in asked.items():
        assert found.refusal
        assert told in found.refusal[1]
        assert "evil" not in found.refusal[1]
        assert len(found.refusal[1]) <= MAX_REASON


def test_a77_an_address_in_the_request_line_counts_beside_host() -> None:
    """HOSTILE A77, by the absolute form of the request target. Source: RFC 9112 §3.2.2."""
    access = Access("127.0.0.1")
    found = visit(access, ("Host", "localhost"), path="http://localhost:8000/messages/poll")
    assert (found.refusal, found.scope["path"], found.scope["raw_path"]) == (
        None, "/messages/poll", b"/messages/poll",
    )  # fmt: skip
    assert visit(access, ("Host", "localhost"), path="HTTP://localhost").scope["path"] == "/"
    for host, path in (("localhost", "http://evil.example/"), ("evil.example", "http://localhost/")):
        assert refused(access, ("Host", host), path=path) == 421


def test_a76_a_foreign_origin_beside_an_allowed_one_may_read_nothing() -> None:
    access = Access("127.0.0.1", origins=["https://lab.example"])
    both = [("Origin", "https://lab.example"), ("Origin", "https://evil.example")]
    for origins in (both, both[::-1]):
        found = visit(access, ("Host", "localhost"), *origins)
        assert (found.origin, found.refusal and found.refusal[0]) == ("", 403)


# Proxies


def test_a_trusted_proxy_reports_address_scheme_and_name() -> None:
    access = Access("127.0.0.1", ["chat.example"], proxies=["10.0.0.0/8"])
    own = ("Origin", "https://chat.example")
    for proto in ("https", "HTTPS", "wss", "http, https"):
        found = visit(access, *through(proto), own, peer=PROXY)
        assert (found.refusal, found.scope["client"], found.scope["scheme"]) == (
            None, ("198.51.100.7", 0), "https",
        )  # fmt: skip
    found = visit(access, *through("https"), own, peer=PROXY, type="websocket", scheme="ws")
    assert (found.refusal, found.scope["scheme"]) == (None, "wss")
    inner = [("Host", "127.0.0.1:8000"), ("X-Forwarded-Host", "Chat.example:443"), *through("https")[1:]]
    assert refused(access, *inner, own, peer=PROXY) == 0


@pytest.mark.parametrize("peer", ["192.0.2.9", "11.0.0.1", "", "unix"])
def test_forwarding_headers_of_untrusted_peers_are_ignored(peer: str) -> None:
    access = Access("127.0.0.1", ["chat.example"], proxies=["10.0.0.0/8"])
    found = visit(access, *through("https", host="evil.example"), peer=peer)
    assert (found.refusal, found.scope["client"], found.scope["scheme"]) == (None, (peer, 999), "http")
    assert refused(access, *through("https"), ("Origin", "https://chat.example"), peer=peer) == 403
    assert visit(access, *through("https"), client=None).refusal is None


def test_a_rebound_page_cannot_forge_the_forwarded_name() -> None:
    """HOSTILE A77: a page that was rebound to the proxy can add any header to its own requests."""
    access = Access("127.0.0.1", ["chat.example"], proxies=[PROXY])
    headers = [("Host", "evil.example"), ("X-Forwarded-Host", "chat.example")]
    assert refused(access, *headers, peer=PROXY) == 421
    assert refused(access, *headers[:0:-1], ("Host", "chat.example"), peer=PROXY) == 0
    assert refused(access, ("Host", "chat.example"), ("X-Forwarded-Host", "evil.example"), peer=PROXY) == 421


@pytest.mark.parametrize(
    ("said", "client"),
    [
        (["203.0.113.5, 198.51.100.7"], "198.51.100.7"),  # Only the last hop's entry is trusted.
        (["203.0.113.5", "198.51.100.7"], "198.51.100.7"),
        (["198.51.100.7, 10.9.9.9"], "198.51.100.7"),
        (["10.8.8.8, 10.9.9.9"], "10.8.8.8"),
        (["198.51.100.7:5555"], "198.51.100.7"),
        (["[2001:db8::5]:5555"], "2001:db8::5"),
        (["2001:DB8::5"], "2001:db8::5"),
        (["198.51.100.7, unknown, 10.9.9.9"], "10.9.9.9"),
        (["unknown"], PROXY),
        ([""], PROXY),
        ([], PROXY),
    ],
)
def test_the_client_is_the_last_address_that_is_not_a_trusted_proxy(said: list[str], client: str) -> None:
    access = Access("127.0.0.1", proxies=["10.0.0.0/8"])
    headers = [("X-Forwarded-For", value) for value in said]
    assert visit(access, ("Host", "localhost"), *headers, peer=PROXY).scope["client"][0] == client
