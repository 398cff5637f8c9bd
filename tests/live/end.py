"""One end of a TCP connection, in tests of proxies."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from socket import SO_LINGER, SOL_SOCKET

from tests.live.watch import PATIENCE


class End:
    """One end of a TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    async def read(self, count: int) -> bytes:
        return await asyncio.wait_for(self.reader.readexactly(count), PATIENCE)

    async def rest(self) -> bytes:
        return await asyncio.wait_for(self.reader.read(), PATIENCE)

    async def is_silent(self) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.reader.read(1), 0.1)
            return False
        return True

    def reset(self) -> None:
        self.writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
