"""How to stop listening without a word on stderr."""

from __future__ import annotations

import asyncio


async def stop_listening(server: asyncio.Server) -> None:
    """Close a server's sockets, once the connections that are just being accepted have come to be.

    Else asyncio logs an `AssertionError` for each, and leaves its socket open (seen with Python 3.11).
    """
    loop = asyncio.get_running_loop()
    for listener in server.sockets:
        loop.remove_reader(listener.fileno())
    await asyncio.sleep(0)
    server.close()
