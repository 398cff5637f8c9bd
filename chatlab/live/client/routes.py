"""The route to a host: directly, or through a proxy that opens a tunnel to it."""

from __future__ import annotations

import ssl

import httpcore

from chatlab.live.client.connecting import Stream, connect
from chatlab.live.client.network_failures import BrokenAnswer, network_failure
from chatlab.live.client.proxies import Proxy
from chatlab.live.client.tunnels import open_tunnel


async def open_stream(host: str, port: int, proxy: Proxy | None, tls: ssl.SSLContext | None) -> Stream:
    """Connect to a host. The context `tls` is used for the connection to an https:// proxy.

    Errors: `OSError` about the host; `BrokenAnswer` about the proxy.
    """
    host = host.replace("%25", "%", 1)  # An address's zone as a URL has it. Source: RFC 6874 §2.
    if proxy is None:
        return await connect(host, port)
    stream = await connect_proxy(proxy, tls)
    try:
        await open_tunnel(stream, proxy, host, port)
    except httpcore.NetworkError:
        stream.abort()
        raise BrokenAnswer("reset", f"{proxy} broke off the connection") from None
    except BaseException:
        stream.abort()
        raise
    return stream


async def connect_proxy(proxy: Proxy, tls: ssl.SSLContext | None) -> Stream:
    """Connect to a proxy.

    Errors: `BrokenAnswer`, which distinguishes it from the host behind it.
    """
    try:
        stream = await connect(proxy.host, proxy.port)
        if proxy.kind == "https":
            await stream.start_tls(tls or ssl.create_default_context(), proxy.host)
    except OSError as error:
        failure = network_failure(error)
        raise BrokenAnswer(failure.kind, f"{proxy} can't be used: {failure.reason}") from None
    return stream
