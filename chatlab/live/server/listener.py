"""The listening socket of the embedded server, with uvicorn's protocols behind it."""

from __future__ import annotations

import asyncio
import errno
import socket

from uvicorn import Config

from chatlab.dialects.chatlab import MAX_FRAME_SIZE
from chatlab.live.server.connections import Connections, Limits
from chatlab.live.server.guard import Guard
from chatlab.live.server.http_connection import HttpConnection
from chatlab.live.server.websocket_connection import WebSocketConnection


async def listen(
    host: str, port: int, app: Guard, connections: Connections, limits: Limits
) -> asyncio.Server:
    """Listen on an address, and serve the application on each connection.

    Errors: `OSError` when the port is in use, or the host isn't this machine's.
    """
    config, loop = _uvicorn_config(app, limits), asyncio.get_running_loop()
    # uvicorn's own Server would handle the process's signals, end the process if the port is in use, and
    # wake up ten times a second.
    try:
        return await loop.create_server(
            lambda: HttpConnection(config, connections),
            host,
            port,
            family=socket.AF_INET6 if ":" in host else socket.AF_INET,
            backlog=min(limits.max_connections, 2048),
        )
    except OSError as error:
        reasons = {
            errno.EADDRINUSE: f"port {port} of {host} is in use; choose another, or 0 for any that is free",
            errno.EADDRNOTAVAIL: f"host {host} is not an address of this machine; give one that is",
        }
        number = error.errno or errno.EADDRNOTAVAIL  # asyncio of Python 3.13 leaves this one out
        if number not in reasons:
            raise
        raise OSError(number, reasons[number]) from None


def _uvicorn_config(app: Guard, limits: Limits) -> Config:
    config = Config(
        app,
        interface="asgi3",
        http=HttpConnection,
        ws=WebSocketConnection,
        ws_max_size=MAX_FRAME_SIZE,
        ws_per_message_deflate=False,
        ws_ping_interval=limits.ping_interval,
        ws_ping_timeout=limits.ping_timeout,
        lifespan="off",
        log_config=None,
        proxy_headers=False,
        server_header=False,
    )
    config.load()
    return config
