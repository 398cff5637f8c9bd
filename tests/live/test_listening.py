"""To stop listening is silent, also when connections come in at that very moment."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket

import pytest

from chatlab.live.listening import stop_listening


@pytest.mark.parametrize("turns", range(4))
async def test_a_connection_that_is_just_being_accepted_does_no_harm(
    turns: int, caplog: pytest.LogCaptureFixture
) -> None:
    made: list[asyncio.BaseTransport] = []

    class Noted(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            made.append(transport)

    server = await asyncio.get_running_loop().create_server(Noted, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    clients = [socket.create_connection(address) for _ in range(5)]
    for _ in range(turns):
        await asyncio.sleep(0)
    await stop_listening(server)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)
    for _ in range(5):
        await asyncio.sleep(0)
    for transport in made:
        transport.abort()  # type: ignore[attr-defined]
    for client in clients:
        client.close()
    await asyncio.sleep(0)
    gc.collect()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
