"""The user's own code: its exceptions and its delays affect nothing else."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from chatlab.dialects.base import Request
from chatlab.dialects.chatlab import ChatlabDialect, ChatlabHttp
from chatlab.errors import ConnectError
from chatlab.live import foreign
from chatlab.live.client.receipt import Receipt
from chatlab.live.foreign import MAX_CALLS, TooManyCalls, call_on_thread
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.messages import ConnectionStatus, DeliveryState, OutgoingMessage
from chatlab.settings import TransportConfig
from tests.live.watch import ALL, OVER_HTTP, PATIENCE, talking, until

ERRORS = {
    "exit": SystemExit,
    "interrupt": KeyboardInterrupt,
    "cancelled": asyncio.CancelledError,
    "generator": GeneratorExit,
    "iteration": StopIteration,
    "error": ValueError,
}
every_error = pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)


@every_error
@pytest.mark.parametrize("kind", ["websocket", *OVER_HTTP])
@pytest.mark.parametrize("style", ["plain", "async"])
async def test_A84_an_exception_of_a_headers_function_ends_only_that_transport(
    error: type[BaseException], kind: str, style: str
) -> None:
    def plain() -> dict[str, str]:
        raise error("token")

    async def later() -> dict[str, str]:
        raise error("token")

    if style == "async" and error in (StopIteration, GeneratorExit):
        return  # Python turns the first into a RuntimeError; the second ends the calling coroutine.
    headers: Any = plain if style == "plain" else later
    async with EmbeddedServer() as server:
        url = server.ws_url if kind == "websocket" else server.url
        with (
            talking("websocket", server.ws_url, "bystander") as (bystander, _),
            talking(kind, url, headers=headers) as (transport, _),
        ):
            await bystander.connect()
            with pytest.raises(ConnectError, match="the headers function raised"):
                await asyncio.wait_for(transport.connect(), PATIENCE)
            assert await (await bystander.send("still there")).settled() is DeliveryState.ACKED
            await bystander.disconnect()


async def test_A86_a_headers_function_that_blocks_delays_nothing_else() -> None:
    gate, called = threading.Event(), threading.Event()

    def token() -> dict[str, str]:
        called.set()
        gate.wait(PATIENCE)
        return {"Authorization": "Bearer x"}

    async with EmbeddedServer() as server:
        with (
            talking("websocket", server.ws_url, "bystander") as (bystander, _),
            talking("websocket", server.ws_url, headers=token) as (transport, _),
        ):
            await bystander.connect()
            connecting = asyncio.create_task(transport.connect())
            await until(called.is_set)
            assert await (await bystander.send("meanwhile")).settled() is DeliveryState.ACKED
            assert not connecting.done()
            gate.set()
            await connecting
            await transport.disconnect()
            await bystander.disconnect()


async def test_A86_a_function_that_hangs_takes_a_bounded_number_of_threads() -> None:
    gate, owner = threading.Event(), object()
    calls = [asyncio.create_task(call_on_thread(gate.wait, owner)) for _ in range(MAX_CALLS)]
    await asyncio.sleep(0)
    for call in calls[: MAX_CALLS // 2]:
        call.cancel()  # As a connect timeout does; the thread stays busy.
    with pytest.raises(TooManyCalls):
        await call_on_thread(gate.wait, owner)
    assert await call_on_thread(lambda: "another's", object()) == "another's"
    gate.set()
    assert await asyncio.wait_for(calls[-1], PATIENCE) is True
    await until(lambda: not foreign._under_way)
    assert await call_on_thread(lambda: "again", owner) == "again"


class Picky(ChatlabDialect):
    """A dialect that can't encode certain messages."""

    def encode(self, config: TransportConfig, message: OutgoingMessage) -> str | bytes:
        if message.text == "bad":
            raise ValueError("hush")
        return super().encode(config, message)

    @property
    def http(self) -> ChatlabHttp:
        return PickyHttp()


class PickyHttp(ChatlabHttp):
    def post(self, config: TransportConfig, message: OutgoingMessage) -> Request:
        if message.text == "bad":
            raise ValueError("hush")
        return super().post(config, message)


@pytest.mark.parametrize("when", ["idle", "busy", "offline"])
@pytest.mark.parametrize("kind", ALL)
async def test_A84_a_message_that_cant_be_encoded_is_refused_or_fails_and_never_stays(
    kind: str, when: str
) -> None:
    """Check that it costs no other message its ack, and doesn't affect the next connection."""
    async with EmbeddedServer() as server:
        with talking(kind, server.url, dialect=Picky(), drain_timeout=0.0) as (chat, watch):
            if when != "offline":
                await chat.connect()
            good = chat.submit("good")
            if when == "idle":
                await until(lambda: good.final)
            try:
                bad: Receipt | None = chat.submit("bad")
            except ValueError:
                bad = None
            after = chat.submit("after")
            if when == "offline":
                chat.start()
            await until(lambda: chat.status is ConnectionStatus.ERROR)
            if bad is not None:
                assert bad.state is DeliveryState.FAILED
                function = "Picky.encode" if kind in ("websocket", "fallback") else "PickyHttp.post"
                assert f"{function} raised ValueError (test_foreign.py, line " in str(bad.error)
            await chat.connect()
            await until(lambda: good.final and after.final)
            assert (good.state, after.state) == (DeliveryState.ACKED, DeliveryState.ACKED)
            assert chat.unsettled() == []
            await until(lambda: len(watch.texts) == 2)
            assert watch.texts == ["good", "after"]
            assert ("bad", DeliveryState.FAILED) in watch.states or bad is None


class Ackless(Picky):
    acks = False


async def test_A84_messages_before_one_that_cant_be_encoded_are_still_sent() -> None:
    """Send without acks, so that nothing would send it again."""
    async with EmbeddedServer() as server:
        with talking("websocket", server.url, dialect=Ackless(), history=50) as (chat, watch):
            good, bad = chat.submit("good"), chat.submit("bad")
            chat.start()
            await until(lambda: chat.status is ConnectionStatus.ERROR)
            await until(lambda: good.final and bad.final)
            assert (good.state, bad.state) == (DeliveryState.SENT, DeliveryState.FAILED)
            await chat.connect()
            await until(lambda: watch.texts == ["good"])
