"""Interim answers before a WebSocket's handshake are skipped, however they are split."""

from __future__ import annotations

import pytest

from chatlab.errors import ConnectError
from chatlab.live.client.concrete_transports import WebSocketTransport
from chatlab.live.client.interim import MAX_INTERIM, InterimFilter
from chatlab.settings import ReconnectConfig, WebSocketConfig
from tests.live.misbehave import Misbehaving, Peer

HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x00"
STREAMS: dict[str, tuple[bytes, bytes]] = {
    "none": (b"", SWITCHING),
    "100": (b"HTTP/1.1 100 Continue\r\n\r\n", SWITCHING),
    "102 without words": (b"HTTP/1.1 102\r\n\r\n", SWITCHING),
    "103, twice": (HINTS * 2, SWITCHING),
    "with bare line feeds": (b"HTTP/1.1 100 x\n\n", SWITCHING),
    "before a refusal": (HINTS, b"HTTP/1.1 403 No\r\n\r\n"),
    "before nonsense": (HINTS, b"\x16\x03"),
    "a status that is none": (b"", b"HTTP/1.1 1x0 No\r\n\r\n"),
}


@pytest.mark.parametrize("name", STREAMS)
def test_A98_interim_answers_are_skipped(name: str) -> None:
    interim, rest = STREAMS[name]
    data = interim + rest
    for size in (1, 2, 5, 13, len(data)):
        filter_ = InterimFilter()
        through = b"".join(filter_.feed(data[at : at + size]) for at in range(0, len(data), size))
        assert through + filter_.flush() == rest


def test_A98_interim_answers_without_end_are_bounded() -> None:
    filter_ = InterimFilter()
    assert not any(filter_.feed(HINTS) for _ in range(MAX_INTERIM // len(HINTS)))
    filter_.feed(HINTS)
    assert filter_.feed(HINTS) == HINTS
    assert filter_.done
    filter_ = InterimFilter()
    assert filter_.feed(b"HTTP/1.1 100 " + b"x" * MAX_INTERIM)
    assert filter_.done


@pytest.mark.parametrize("interim", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 102 P\r\n\r\n" + HINTS])
async def test_A98_a_websocket_opens_behind_them(interim: bytes) -> None:
    async def script(peer: Peer) -> None:
        request = await peer.request()
        await peer.send(interim)
        await peer.switch(request)
        await peer.gone()

    async with Misbehaving(script) as server:
        chat = WebSocketTransport(WebSocketConfig(url=server.ws_url), loop="current")
        await chat.connect()
        await chat.disconnect()


@pytest.mark.parametrize("begun", [b"HTTP/1.1 1", b"HTTP/1.1 100 Continue\r\n", HINTS])
async def test_A98_a_connection_that_ends_among_them_is_retried(begun: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(begun)

    async with Misbehaving(script) as server:
        config = WebSocketConfig(url=server.ws_url, reconnect=ReconnectConfig(max_attempts=0))
        chat = WebSocketTransport(config, loop="current")
        with pytest.raises(ConnectError, match=r"^gave up after 0 retries: reset: "):
            await chat.connect()
        await chat.disconnect()
