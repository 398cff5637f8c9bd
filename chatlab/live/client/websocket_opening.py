"""The opening handshake of a WebSocket, and its redirects (`redirects.py`)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from urllib.parse import urljoin

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus, InvalidURI, SecurityError
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI, parse_uri

from chatlab.live.client.cookies import Cookies
from chatlab.live.client.network_failures import BrokenAnswer
from chatlab.live.client.proxies import proxy_for
from chatlab.live.client.redirects import MAX_REDIRECTS, check_tls, too_many_redirects
from chatlab.live.client.routes import open_stream
from chatlab.live.client.tls import tls_context
from chatlab.live.client.websocket_client import WebSocketClient
from chatlab.live.loggers import get_logger
from chatlab.settings import WebSocketConfig
from chatlab.transports.hints import NOT_FOUND

REDIRECTS = frozenset({300, 301, 302, 303, 307, 308})
CLOSE_TIMEOUT = 0.5
"""Seconds for a closing handshake, in the background."""

_library_log = get_logger(f"{__name__}.library")
_library_log.setLevel(logging.INFO)  # At DEBUG it logs requests and frames, with tokens.


async def open_websocket(
    url: str,
    config: WebSocketConfig,
    protocols: Sequence[str],
    headers: Mapping[str, str],
    cookies: Cookies,
) -> tuple[WebSocketClient, bool]:
    """Open a WebSocket, and follow at most `MAX_REDIRECTS` redirects.

    Return it, and whether its server has the origin of `url`, and so may get a token. Another origin gets no
    header, password, cookie or protocol of the settings, only the dialect's `protocols`.

    Errors: `OSError`, `BrokenAnswer`, and those of `websockets`.
    """
    uri = parse_uri(url)
    own = True
    for redirects in range(1 + MAX_REDIRECTS):
        connection = await connect_websocket(uri, config, (*protocols, *(config.protocols if own else ())))
        try:
            await connection.handshake(cookies.add_to(headers, url) if own else None)
            assert connection.response is not None
            cookies.take(connection.response.headers.get_all("Set-Cookie"), url)
            return connection, own
        except InvalidStatus as refusal:
            connection.transport.abort()
            cookies.take(refusal.response.headers.get_all("Set-Cookie"), url)
            locations = refusal.response.headers.get_all("Location")
            status = refusal.response.status_code
            if redirects and status in NOT_FOUND:  # As `transports.posting.failure_of` says.
                raise BrokenAnswer("answer", f"a redirect led to HTTP {status}") from None
            if status not in REDIRECTS or len(locations) != 1:
                raise
            url, before, uri = _redirected(url, uri, locations[0])
            own = own and (uri.secure, uri.host, uri.port) == (before.secure, before.host, before.port)
            user, password = (before.username, before.password) if own else (None, None)
            uri = replace(uri, username=user, password=password)
        except BaseException:
            connection.transport.abort()
            raise
    raise too_many_redirects()


async def connect_websocket(
    uri: WebSocketURI, config: WebSocketConfig, protocols: Sequence[str]
) -> WebSocketClient:
    """Return a WebSocket whose TCP and TLS are connected, and whose opening handshake is still to come.

    Errors: `OSError` and `BrokenAnswer`.
    """
    tls = tls_context(config.ca_file) if uri.secure else None
    proxy = proxy_for(uri.secure, uri.host, uri.port, config.proxy)
    stream = await open_stream(uri.host, uri.port, proxy, tls)
    try:
        if tls is not None:
            await stream.start_tls(tls, uri.host)
        connection = WebSocketClient(
            ClientProtocol(
                uri,
                subprotocols=[Subprotocol(protocol) for protocol in protocols] or None,
                max_size=config.max_frame_size,
                logger=_library_log,
            ),
            ping_interval=None,
            close_timeout=CLOSE_TIMEOUT,
        )
    except BaseException:
        stream.abort()
        raise
    stream.hand_over(connection)
    return connection


def _redirected(url: str, old: WebSocketURI, location: str) -> tuple[str, WebSocketURI, WebSocketURI]:
    """Return the address of a redirect, the parsed old one, and the parsed new one.

    A server that redirects an upgrade often gives an http:// address; the ws:// address is meant.
    """
    target = urljoin(url, location)
    scheme, colon, rest = target.partition(":")
    target = {"http": "ws", "https": "wss"}.get(scheme.lower(), scheme) + colon + rest
    try:
        new = parse_uri(target)
    except (InvalidURI, ValueError):
        raise SecurityError("the server redirects to a URL that isn't ws:// or wss://") from None
    check_tls(new.host, before=old.secure, after=new.secure)
    return target, old, new
