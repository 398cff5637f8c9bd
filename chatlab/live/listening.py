"""Stop a listener without messages on stderr, and without connections that nobody closes."""

from __future__ import annotations

import asyncio

ITERATIONS = 3
"""Iterations of the loop until an accepted connection is established: a task makes its transport, the
transport calls `connection_made`, and that starts the stream's handler."""


async def stop_listening(server: asyncio.Server) -> None:
    """Close a server's sockets, once the connections that are just being accepted are established.

    Without the first iteration asyncio logs an `AssertionError` for each such connection, and leaves its
    socket open (seen with Python 3.11). Without the other iterations the server doesn't know the connection
    yet, and leaves it open when it closes those that it knows.
    """
    loop = asyncio.get_running_loop()
    for listener in server.sockets:
        loop.remove_reader(listener.fileno())
    for _ in range(ITERATIONS):
        await asyncio.sleep(0)
    server.close()
