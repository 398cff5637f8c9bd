"""Stopping a listener is silent and final, even if connections arrive at that very moment."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket

import pytest

from chatlab.live.listening import stop_listening
from chatlab.live.server.embedded_server import EmbeddedServer
from tests.live.flow_proxy import FlowProxy
from tests.sizes import rows


@pytest.mark.parametrize("turns", rows(range(4), 1))
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


def arrive(host: str, port: int) -> list[socket.socket]:
    """Connect as three clients that aren't accepted yet."""
    clients = [socket.create_connection((host, port)) for _ in range(3)]
    for client in clients:
        client.settimeout(0.5)
    return clients


def ended(client: socket.socket) -> bool:
    with client:
        try:
            return client.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False


@pytest.mark.parametrize("abrupt", [False, True])
@pytest.mark.parametrize("turns", range(6))
async def test_a_server_that_stops_also_ends_connections_being_accepted(turns: int, abrupt: bool) -> None:
    server = EmbeddedServer()
    await server.start()
    clients = arrive(server.host, server.port)
    for _ in range(turns):
        await asyncio.sleep(0)
    await server.stop(abrupt=abrupt)
    assert [ended(client) for client in clients] == [True] * len(clients)


@pytest.mark.parametrize("turns", range(6))
async def test_a_proxy_that_goes_down_also_ends_connections_being_accepted(turns: int) -> None:
    async with EmbeddedServer() as server, FlowProxy(server.url) as proxy:
        clients = arrive(proxy.host, proxy.port)
        for _ in range(turns):
            await asyncio.sleep(0)
        await proxy.refuse()
        assert proxy.connections == 0
        assert [ended(client) for client in clients] == [True] * len(clients)
        accepted = proxy.accepted
        for _ in range(6):
            await asyncio.sleep(0)
        assert (proxy.accepted, proxy.connections) == (accepted, 0)
