"""Servers that know nothing of chat: an event stream by better-sse, and an echo on bare `websockets`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from websockets.asyncio.server import ServerConnection, serve

from chatlab.experiment.fault_proxy import FaultProxy
from chatlab.messages import ConnectionStatus, DeliveryState, OutgoingMessage
from chatlab.settings import HeartbeatConfig
from chatlab.trace import Step
from chatlab.transports.machine import ReceivedBytes
from tests.interop.npm import install, port_of, program
from tests.live.watch import PERSISTENT, talking, until

_, _, CONNECTED, RECONNECTING, ERROR = ConnectionStatus


@pytest.fixture(scope="session")
def better_sse() -> None:
    install()


@pytest.fixture
def event_stream(better_sse: None) -> Iterator[str]:
    """Start the server, and return its root."""
    with program("sse_server.mjs") as server:
        yield f"http://127.0.0.1:{port_of(server)}"


@pytest.mark.requires("node")
async def test_a_plain_event_stream_is_read_resumed_and_posted_to(event_stream: str) -> None:
    async with FaultProxy(event_stream) as proxy:
        url = proxy.rebase(event_stream)
        with talking("sse", url, dialect="text", reconnect=PERSISTENT) as (ada, watch):
            await ada.connect()
            for number in range(300):
                if number % 60 == 30:
                    proxy.reset()
                receipt = await ada.send(f"hé {number}\nline two")
                assert await receipt.settled() is DeliveryState.ACKED
            # A message without an answer may arrive twice: this server has no ids to recognise it.
            await until(lambda: "hé 299\nline two" in watch.texts)
            order = list(dict.fromkeys(watch.texts))
            assert order == [f"hé {number}\nline two" for number in range(300)]
            assert len(watch.texts) - 300 <= watch.statuses.count(RECONNECTING)
            messages = [event.message for event in watch.of("message") if event.message]
            assert [message.id for message in messages] == [str(n) for n in range(1, len(messages) + 1)]
            assert not watch.of("unreadable")
            await ada.disconnect()


@pytest.mark.requires("node")
async def test_a_stream_of_comments_alone_is_alive(event_stream: str) -> None:
    steps: list[Step] = []

    def pieces() -> int:
        return sum(isinstance(step.event, ReceivedBytes) for step in steps)

    with talking("sse", event_stream, dialect="text", idle_timeout=3.0, record=steps.append) as (ada, watch):
        await ada.connect()
        await until(lambda: pieces() >= 40)
        assert watch.statuses == ["connecting", "connected"]
        await ada.disconnect()


async def echo(connection: ServerConnection) -> None:
    async for frame in connection:
        await connection.send(frame)


async def test_an_echo_server_repeats_each_message() -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        beats = HeartbeatConfig(interval=0.05, timeout=5.0)
        with talking("websocket", f"ws://127.0.0.1:{port}", dialect="text", heartbeat=beats) as (ada, watch):
            await ada.connect()
            receipt = await ada.send("hé")
            await ada.send(OutgoingMessage(data=b"\0\xff"))
            assert await receipt.settled() is DeliveryState.SENT
            await until(lambda: len(watch.of("message")) == 2 and ada.rtt is not None)
            assert [(m.text, m.data) for e in watch.of("message") if (m := e.message)] == [
                ("hé", None),
                ("", b"\0\xff"),
            ]
            await ada.disconnect()


async def test_a_dialect_that_the_server_does_not_speak_is_reported() -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        with talking("websocket", f"ws://127.0.0.1:{port}", dialect="nchan") as (ada, watch):
            ada.start()
            change = await watch.ended()
            assert change.status is ERROR
            assert "the server doesn't speak ws+meta.nchan" in change.reason
