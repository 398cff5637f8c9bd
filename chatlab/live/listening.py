"""How to stop listening without a word on stderr, and without a connection that nobody ends."""

from __future__ import annotations

import asyncio

TURNS = 3
"""Turns of the loop from a connection's acceptance until its owner knows it: a task gives it a transport,
which calls `connection_made`, which starts the handler of a stream."""


async def stop_listening(server: asyncio.Server) -> None:
    """Close a server's sockets, once the connections that are just being accepted have come to be.

    Without the first turn asyncio logs an `AssertionError` for each, and leaves its socket open (seen with
    Python 3.11); without the others it would outlive a server that ends those it knows.
    """
    loop = asyncio.get_running_loop()
    for listener in server.sockets:
        loop.remove_reader(listener.fileno())
    for _ in range(TURNS):
        await asyncio.sleep(0)
    server.close()
