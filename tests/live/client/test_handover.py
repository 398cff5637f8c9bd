"""Handlers of every style: called in order and one at a time; and the messages that a disconnected transport
must bring again."""

from __future__ import annotations

import asyncio
import functools
import gc
import threading
import time
import warnings
import weakref
from typing import Any

import pytest

from chatlab.live.client import handler_calls, handover
from chatlab.live.client.delivery import Delivery, size_of
from chatlab.live.client.handover import Handover
from chatlab.live.client.inbox import Inbox
from chatlab.live.client.transport import ChatTransport
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.live.subscribers import Subscribers
from chatlab.messages import ChatEvent, ChatMessage, DeliveryState, OutgoingMessage
from tests.live.forks import in_a_fork
from tests.live.watch import ALL, PATIENCE, hear, transport_of, until
from tests.sizes import rows

LOOPS = pytest.mark.parametrize("loop", ["own", "current"])


def url_of(kind: str, server: EmbeddedServer) -> str:
    return server.ws_url if kind == "websocket" else server.url


def numbers(events: list[ChatEvent]) -> list[int]:
    return [int(event.message.text) for event in events if event.message is not None]


class Handling:
    """An application's handler, in one of several styles, that records its events and the end of each
    call."""

    def __init__(self, transport: ChatTransport, style: str) -> None:
        self.transport = transport
        self.told: list[ChatEvent] = []
        self.style = style
        self.under_way = 0
        self.leave_at = -1
        self.left = asyncio.Event()
        self.loop = asyncio.get_running_loop()
        if style.startswith("async"):
            transport.on_message(self.later)
        else:
            transport.on_message(self.at_once)

    def at_once(self, event: ChatEvent) -> None:
        if event.message is not None:
            self.under_way += 1
            if self.style == "slow":
                time.sleep(0.001)
            self._note(event)

    async def later(self, event: ChatEvent) -> None:
        if event.message is not None:
            self.under_way += 1
            await asyncio.sleep(0.001 if self.style == "async slow" else 0)
            if len(self.told) + 1 == self.leave_at:
                await self.transport.disconnect()
            self._note(event)

    def _note(self, event: ChatEvent) -> None:
        self.told.append(event)
        self.under_way -= 1
        if len(self.told) == self.leave_at:
            self.transport.stop()
            self.loop.call_soon_threadsafe(self.left.set)
        if self.style == "raising":
            raise ValueError("on purpose")


@pytest.mark.sampled(3)
@pytest.mark.parametrize("kind", rows(ALL, "websocket", "long_polling"))
@pytest.mark.parametrize("style", ["plain", "slow", "raising", "async", "async slow"])
@LOOPS
async def test_A67_after_disconnect_no_handler_is_called_and_the_next_connect_brings_the_rest(
    kind: str, style: str, loop: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Disconnect from another task, from the handler itself, and by cancellation."""
    count = 40
    async with EmbeddedServer() as server:
        ada = transport_of("websocket", server.ws_url)
        bob = transport_of(kind, url_of(kind, server), sender="bob", loop=loop, history=None)
        async with ada:
            handling = Handling(bob, style)
            await bob.connect()
            for number in range(count):
                await (await ada.send(str(number))).settled()
            await until(lambda: handling.told)
            await bob.disconnect()
            first = len(handling.told)
            assert handling.under_way == 0
            last = handling.told[-1].message
            assert last is not None
            if kind in ("websocket", "sse"):
                assert bob.cursor == last.id, "it stands behind the last message that was handed over"
            await asyncio.sleep(0.02)
            assert len(handling.told) == first
            handling.leave_at = min(first + 3, count)  # Now from the handler itself.
            if first < count:
                bob.start()
                await asyncio.wait_for(handling.left.wait(), PATIENCE)
                await bob.disconnect()
                assert len(handling.told) == handling.leave_at
            handling.leave_at = -1
            connecting = asyncio.create_task(bob.connect())
            await asyncio.sleep(0)
            connecting.cancel()
            await asyncio.wait([connecting])
            await bob.disconnect()
            told = len(handling.told)
            await asyncio.sleep(0.005)
            assert len(handling.told) == told
            await bob.connect()
            await until(lambda: len(handling.told) >= count)
            await bob.disconnect()
            assert numbers(handling.told) == list(range(count)), "each once, in order"


class _Object:
    def __init__(self, told: list[str]) -> None:
        self.told = told

    async def __call__(self, event: Any) -> None:
        await note(self.told, event)


async def note(told: list[str], event: Any) -> None:
    told.append(f"begin {event}")
    await asyncio.sleep(0)
    told.append(f"end {event}")


@pytest.mark.parametrize("own_thread", [True, False], ids=["own_thread", "here"])
@pytest.mark.parametrize("style", ["partial", "object", "lambda"])
async def test_A86_async_handlers_run_to_their_end_one_after_the_other(own_thread: bool, style: str) -> None:
    told: list[str] = []
    handlers: dict[str, Any] = {
        "partial": functools.partial(note, told),
        "object": _Object(told),
        "lambda": lambda event: note(told, event),
    }
    line = Handover(own_thread=own_thread)
    line.move(asyncio.get_running_loop())
    subscribers: Subscribers[int] = Subscribers(handlers[style], lambda event: told.append(f"plain {event}"))
    for number in range(3):
        line.put(Delivery(number, subscribers))
    await asyncio.wait_for(line.mark().reached(), PATIENCE)
    assert told == [f"{what} {number}" for number in range(3) for what in ("begin", "end", "plain")]


@LOOPS
async def test_A86_an_async_handler_may_wait_for_an_ack_and_disconnect(loop: str) -> None:
    async with EmbeddedServer() as server:
        chat = transport_of("websocket", server.ws_url, loop=loop)
        states: list[Any] = []

        async def answer(event: ChatEvent) -> None:
            assert asyncio.get_running_loop() is home
            if event.message is not None and event.message.text == "question":
                states.append(await (await chat.send("answer")).settled())
                await chat.disconnect()
                states.append(chat.status.value)

        home = asyncio.get_running_loop()
        chat.on_message(answer)
        await chat.connect()
        await chat.send("question")
        await until(lambda: len(states) == 2)
        assert states == [DeliveryState.ACKED, "disconnected"]


@pytest.mark.sampled(3)
@pytest.mark.parametrize("where", ["message", "status", "receipt", "record"])
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, asyncio.CancelledError, GeneratorExit])
@pytest.mark.parametrize("style", ["plain", "async"])
async def test_A84_an_exception_of_a_handler_stops_neither_the_transport_nor_other_handlers(
    where: str, error: type[BaseException], style: str, caplog: pytest.LogCaptureFixture
) -> None:
    def plain(_: Any) -> None:
        raise error("on purpose")

    async def later(_: Any) -> None:
        raise error("on purpose")

    if style == "async" and (error is not asyncio.CancelledError or where == "record"):
        return  # That loop is the test's own: see the next test.
    handler: Any = plain if style == "plain" else later
    options = {"record": handler} if where == "record" else {}
    async with EmbeddedServer() as server:
        chat = transport_of("websocket", server.ws_url, **options)
        if where != "record":
            subscribe = {"message": chat.on_message, "status": chat.on_status_change}
            subscribe.get(where, chat.on_receipt)(handler)
        async with chat, transport_of("websocket", server.ws_url, sender="bob") as bob:
            assert await (await chat.send("x")).settled() is DeliveryState.ACKED
            assert await (await bob.send("y")).settled() is DeliveryState.ACKED
            hear(chat)
    assert "on purpose" in caplog.text or "CancelledError" in caplog.text


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("style", ["plain", "async"])
def test_A84_on_a_loop_of_the_users_own_the_exception_leaves_the_loop_and_the_transport_intact(
    error: type[BaseException], style: str
) -> None:
    told: list[str] = []

    async def talk() -> None:
        await server.start()
        chat = transport_of("websocket", server.ws_url, loop="current")

        def plain(event: ChatEvent) -> None:
            if event.message is not None:
                told.append(event.message.text)
                if event.message.text == "go":
                    raise error("the end")

        async def later(event: ChatEvent) -> None:
            plain(event)

        chat.on_message(plain if style == "plain" else later)
        chats.append(chat)
        await chat.connect()
        await chat.send("go")
        await asyncio.Event().wait()

    async def go_on() -> None:
        await chats[0].disconnect()
        await server.stop()

    server, chats = EmbeddedServer(), list[ChatTransport]()
    loop = asyncio.new_event_loop()
    work = loop.create_task(talk())
    with pytest.raises(error, match="the end"):
        loop.run_until_complete(work)
    assert told == ["go"]
    loop.run_until_complete(go_on())
    assert chats[0].status == "disconnected"
    work.cancel()
    loop.run_until_complete(asyncio.wait([work]))
    loop.close()


@pytest.mark.sampled(3)
@pytest.mark.parametrize("closed", ["before the call", "before its turn"])
@pytest.mark.parametrize("own_thread", [True, False])
@pytest.mark.filterwarnings("error")
def test_a86_an_async_handler_whose_loop_closes_first_is_dropped_without_a_warning(
    own_thread: bool, closed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler_calls, "LOOP_CHECK_INTERVAL", 0.01)
    home, loop = asyncio.new_event_loop(), asyncio.new_event_loop()
    called = threading.Event()

    def answer(_: Any) -> Any:
        async def never() -> None:
            raise AssertionError

        if closed == "before the call":
            home.close()
        called.set()
        return never()

    async def subscribe() -> Subscribers[Any]:
        return Subscribers(answer)

    told = home.run_until_complete(subscribe())
    way = Handover(own_thread=own_thread)
    way.move(loop)
    way.put(Delivery("news", told))
    if not own_thread:
        loop.run_until_complete(asyncio.sleep(0))
    assert called.wait(PATIENCE)
    home.close()
    mark = way.mark()
    loop.run_until_complete(asyncio.wait_for(mark.reached(), PATIENCE))
    loop.close()
    gc.collect()


def test_a86_an_async_handler_on_a_loop_that_ends_before_its_turn_is_dropped() -> None:
    loop = asyncio.new_event_loop()

    async def later(_: Any) -> None:
        raise AssertionError

    async def put() -> None:
        way = Handover(own_thread=False)
        way.move(loop)
        way.put(Delivery("news", Subscribers(later)))
        (other,) = asyncio.all_tasks() - {asyncio.current_task()}
        other.cancel()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loop.run_until_complete(put())
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


async def test_A86_a_handler_or_recorder_that_blocks_delays_nothing_else() -> None:
    gate = threading.Event()
    async with EmbeddedServer() as server:
        for options in ({}, {"record": lambda step: gate.wait(PATIENCE)}):
            gate.clear()
            chat = transport_of("websocket", server.ws_url, **options)
            if not options:
                chat.on_message(lambda event: gate.wait(PATIENCE))
            await chat.connect()
            async with transport_of("websocket", server.ws_url, sender="bob") as bob:
                assert await (await bob.send("y")).settled() is DeliveryState.ACKED
                assert await (await chat.send("x")).settled() is DeliveryState.ACKED
            gate.set()
            await chat.disconnect()


async def test_A86_a_handler_may_wait_for_its_own_transport() -> None:
    async with EmbeddedServer() as server:
        chat, got = transport_of("websocket", server.ws_url), list[str]()

        def answer(event: ChatEvent) -> None:
            if event.message is not None and event.message.text == "go":
                got.append(asyncio.run(chat.send("reply")).message.text)

        chat.on_message(answer)
        async with chat:
            await chat.send("go")
            await until(lambda: got)
    assert got == ["reply"]


async def test_A85_a_transport_in_use_raises_an_error_in_a_fork() -> None:
    async with EmbeddedServer() as server, transport_of("websocket", server.ws_url) as chat:

        def use() -> str:
            chat.submit("from the child")
            return "sent"

        assert in_a_fork(use).startswith(
            "RuntimeError: this transport was in use when the process was forked"
        )
        assert await (await chat.send("x")).settled() is DeliveryState.ACKED


async def test_a_transport_that_nobody_refers_to_is_closed_with_a_warning() -> None:
    async with EmbeddedServer() as server:
        chat = transport_of("websocket", server.ws_url)
        chat.on_message(
            functools.partial(lambda chat, event: None, chat)
        )  # A reference cycle, as most handlers create one.
        await chat.connect()
        receipt = chat._receipts.new(OutgoingMessage(text="x", client_id="1"))
        driver, gone = chat._driver, weakref.ref(chat)
        del chat

        def collected() -> bool:
            gc.collect()
            return gone() is None

        with pytest.warns(ResourceWarning, match="was never disconnected"):
            await until(collected)  # A handler's thread holds it until it has made its last call.
        await until(lambda: not driver._links)
        assert await asyncio.wait_for(receipt.settled(), PATIENCE) is DeliveryState.DROPPED


def event_of(size: int) -> ChatEvent:
    return ChatEvent("message", message=ChatMessage(id="1", text="x" * size))


async def test_A99_the_inbox_is_bounded_in_bytes_and_says_how_many_have_gone() -> None:
    inbox = Inbox(max_bytes=10 * size_of(event_of(60_000)))
    for _ in range(25):
        inbox.put(event_of(60_000))
    overrun = await inbox.get()
    assert overrun is not None
    assert (overrun.type, overrun.payload) == ("overrun", 15)
    assert [event is not None and event.type for event in [await inbox.get() for _ in range(10)]] == [
        "message"
    ] * 10
    assert inbox._bytes == 0


async def test_A99_events_without_a_reader_are_not_kept() -> None:
    async with EmbeddedServer() as server:
        chat = transport_of("websocket", server.ws_url)
        async with chat:
            assert chat._audience.inbox._events, "without a handler all since connect()"
            leave = chat.on_message(lambda event: None)
            await (await chat.send("x")).settled()
            hear(chat)
            assert not chat._audience.inbox._events
            reader = aiter(chat)
            await chat.send("y")
            event = await asyncio.wait_for(anext(reader), PATIENCE)
            assert event.message is not None
            assert event.message.text == "y"
            leave()


def test_sizes_count_all_large_parts() -> None:
    assert size_of(event_of(1000)) > 1000
    assert size_of(ChatEvent("message", message=ChatMessage(id="1", text="é" * 1000))) > 4000
    assert size_of(ChatEvent("message", message=ChatMessage(id="1", data=b"x" * 1000))) > 1000
    nested = ChatEvent("own", payload={"a": ["x" * 1000, b"y" * 1000, 1]})
    assert size_of(nested) > 2000


async def test_held_items_that_are_not_sent_again_stay_and_typing_is_dropped() -> None:
    told: list[str] = []
    line = Handover(own_thread=False)
    line.move(asyncio.get_running_loop())
    subscribers: Subscribers[Any] = Subscribers(lambda event: told.append(getattr(event, "type", event)))
    line.hold()
    for number, news in enumerate(
        (ChatEvent("resync"), event_of(1), ChatEvent("typing"), event_of(1), ChatEvent("own"))
    ):
        line.put(Delivery(news, subscribers, from_server=True, cursor_before=str(number), size=10))
    line.put(Delivery("status", subscribers))
    assert told == ["status"], "items that don't come from the server aren't held back"
    assert line.cursor_before == ("1",)
    messages, cursor = line.take_back()
    assert (len(messages), cursor) == (2, "1")
    assert line.cursor_before is None
    line.release()
    await asyncio.wait_for(line.mark().reached(), PATIENCE)
    assert told == ["status", "resync", "own"]
    assert line.pressure == 0


async def test_one_turn_of_a_loop_makes_a_bounded_number_of_calls() -> None:
    told: list[int] = []
    line = Handover(own_thread=False)
    line.move(asyncio.get_running_loop())
    subscribers: Subscribers[int] = Subscribers(told.append)
    line.hold()
    for number in range(3 * handover.CALLS_PER_TURN):
        line.put(Delivery(ChatEvent("own", payload=number), subscribers, from_server=True))
    line.release()
    await asyncio.sleep(0)
    assert 0 < len(told) <= handover.CALLS_PER_TURN
    await asyncio.wait_for(line.mark().reached(), PATIENCE)
    assert len(told) == 3 * handover.CALLS_PER_TURN
