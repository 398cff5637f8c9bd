"""Stopping a listener without messages on stderr, and without leaving connections that nobody ends."""

from __future__ import annotations

import asyncio

TURNS = 3
"""Turns of the loop from accepting a connection until its owner knows it: a task gives it a transport, which
calls `connection_made`, which starts the handler of a stream."""


async def stop_listening(server: asyncio.Server) -> None:
    """Close a server's sockets, once the connections that are just being accepted are established.

    Without the first turn asyncio logs an `AssertionError` for each such connection, and leaves its socket
    open (seen with Python 3.11). Without the other turns it stays open if the server ends only the
    connections it knows.
    """
    loop = asyncio.get_running_loop()
    for listener in server.sockets:
        loop.remove_reader(listener.fileno())
    for _ in range(TURNS):
        await asyncio.sleep(0)
    server.close()
