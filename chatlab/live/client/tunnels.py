"""Tunnels through a proxy, opened on a connection to it: CONNECT for HTTP proxies, and SOCKS5."""

from __future__ import annotations

from base64 import b64encode
from ipaddress import ip_address

import h11

from chatlab.live.client.connecting import Stream
from chatlab.live.client.network_failures import BrokenAnswer, moment, printable, retry_after
from chatlab.live.client.proxies import Proxy
from chatlab.transports.machine import Failure

_REPLIES = {
    1: "general failure",
    2: "not allowed by its rules",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "TTL expired",
    7: "command not supported",
    8: "address type not supported",
}
"""Replies of a SOCKS5 proxy. Source: RFC 1928 §6."""
_TEMPORARY = frozenset({1, 3, 4, 5, 6})
"""Replies that may differ at the next attempt; others are final."""


async def open_tunnel(stream: Stream, proxy: Proxy, host: str, port: int) -> None:
    """Ask a proxy to connect to a host; all further bytes on the stream go there.

    Errors: `BrokenAnswer` if the proxy refuses; `OSError` and httpcore's if the connection breaks.
    """
    if proxy.kind.startswith("socks"):
        await _socks5(stream, proxy, host, port)
    else:
        await _connect(stream, proxy, host, port)


def authorization(proxy: Proxy) -> dict[str, str]:
    """Return the header with the user and password for an HTTP proxy, if there are any."""
    if not proxy.user and not proxy.password:
        return {}
    pair = f"{proxy.user}:{proxy.password}".encode()
    return {"Proxy-Authorization": f"Basic {b64encode(pair).decode()}"}


async def _connect(stream: Stream, proxy: Proxy, host: str, port: int) -> None:
    """Open a tunnel of an HTTP proxy. Source: RFC 9110 §9.3.6."""
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    http = h11.Connection(h11.CLIENT)
    headers = [("Host", target), *authorization(proxy).items()]
    request = h11.Request(method="CONNECT", target=target, headers=headers)
    await stream.write((http.send(request) or b"") + (http.send(h11.EndOfMessage()) or b""))
    try:
        while not isinstance(event := http.next_event(), h11.Response):
            if event is h11.NEED_DATA:
                http.receive_data(await stream.read(4096))
            elif not isinstance(event, h11.InformationalResponse):
                raise BrokenAnswer("refused", f"{proxy} ended the connection without an answer")
    except h11.RemoteProtocolError:
        raise BrokenAnswer("refused", f"{proxy} speaks something other than HTTP") from None
    if not 200 <= event.status_code < 300:
        raise refusal(proxy, event.status_code, event.reason.decode("latin-1"), event.headers)
    if rest := http.trailing_data[0]:
        stream.data_received(rest)


def refusal(proxy: Proxy, status: int, words: str, headers: object = ()) -> BrokenAnswer:
    """Return a proxy's refusal as an exception, with its status and its reason phrase."""
    fields = {bytes(name).lower(): bytes(value).decode("latin-1") for name, value in headers}  # type: ignore[attr-defined]
    wait = retry_after(fields.get(b"retry-after"), moment(fields.get(b"date")))
    reason = f"{proxy} refuses: {printable(words)}" if words else f"{proxy} refuses"
    broken = BrokenAnswer("http", reason)
    broken.failure = Failure("http", status, reason, wait)
    return broken


async def _socks5(stream: Stream, proxy: Proxy, host: str, port: int) -> None:
    """Open a tunnel of a SOCKS5 proxy, which always resolves the name itself. Source: RFC 1928, RFC 1929."""
    login = proxy.user.encode(), proxy.password.encode()
    with_password = any(login)
    if any(len(part) > 255 for part in login):
        raise BrokenAnswer("protocol", f"{proxy} takes a user and a password of at most 255 bytes each")
    await stream.write(b"\5\2\0\2" if with_password else b"\5\1\0")
    version, method = await _exactly(stream, 2, proxy)
    if version != 5:
        raise BrokenAnswer("refused", f"{proxy} speaks something other than SOCKS5")
    if method == 2 and with_password:
        user, password = login
        await stream.write(b"\1" + bytes([len(user)]) + user + bytes([len(password)]) + password)
        if (await _exactly(stream, 2, proxy))[1]:
            raise BrokenAnswer("protocol", f"{proxy} refuses the user or the password")
    elif method:
        wanted = "refuses the user or the password" if with_password else "asks for a user and a password"
        raise BrokenAnswer("protocol", f"{proxy} {wanted}")
    await stream.write(b"\5\1\0" + _address(host) + port.to_bytes(2, "big"))
    _, reply, _, kind = await _exactly(stream, 4, proxy)
    if reply:
        words = _REPLIES.get(reply, f"reply {reply}")
        raise BrokenAnswer("refused" if reply in _TEMPORARY else "protocol", f"{proxy} refuses: {words}")
    length = {1: 4, 4: 16}.get(kind) or (await _exactly(stream, 1, proxy))[0]
    await _exactly(stream, length + 2, proxy)


def _address(host: str) -> bytes:
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        name = host.encode("ascii")
        return b"\3" + bytes([len(name)]) + name
    return (b"\1" if address.version == 4 else b"\4") + address.packed


async def _exactly(stream: Stream, count: int, proxy: Proxy) -> bytes:
    data = b""
    while len(data) < count:
        more = await stream.read(count - len(data))
        if not more:
            raise BrokenAnswer("refused", f"{proxy} ended the connection without an answer")
        data += more
    return data
