"""A connection through a proxy: its two ends, which break together."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from abc import ABC, abstractmethod

READ_SIZE = 64 * 1024
"""Bytes that are read at once."""


class ProxiedConnection(ABC):
    """One client's connection, and the matching one to the server.

    `writers` are its ends, the client's first; `pumps` are the tasks that pass bytes on.
    """

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self.writers = [client]
        self.pumps: list[asyncio.Task[None]] = []
        self.aborted = False

    @abstractmethod
    async def run(self, reader: asyncio.StreamReader, host: str, port: int) -> None:
        """Connect to the server, and pass bytes on until both sides have ended; `reader` is the client's."""

    def abort(self) -> None:
        """End both sides with a TCP RST."""
        self.aborted = True
        for writer in self.writers:
            abort(writer)
        for pump in self.pumps:
            pump.cancel()


def abort(writer: asyncio.StreamWriter) -> None:
    """End one side of a connection with a TCP RST."""
    peer: socket.socket | None = writer.get_extra_info("socket")
    if peer is not None and peer.fileno() != -1:
        with contextlib.suppress(OSError):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
