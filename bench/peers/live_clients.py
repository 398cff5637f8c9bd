"""Clients for the live benchmark, each in a process of its own: ours, and bare libraries that do the same.

`python -m bench.peers.live_clients WORK NAME URL COUNT` prints what it took as JSON.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import datetime
from functools import partial
from importlib import import_module
from itertools import count
from time import perf_counter, process_time
from typing import Any, Literal

import httpx
import msgspec
from websockets.asyncio.client import connect

from bench.peers.live_measure import used
from bench.peers.live_servers import TEXT
from chatlab.live.background_loop import background_loop
from chatlab.live.client.concrete_transports import SSETransport, WebSocketTransport
from chatlab.live.client.kinds import websocket_url
from chatlab.live.client.transport import ChatTransport
from chatlab.messages import ChatEvent
from chatlab.settings import OutboxConfig, SSEConfig, WebSocketConfig

WINDOW = 64
"""Messages in flight in the measurements of rates."""

Send = Callable[[str], Awaitable[object]]
"""Function that sends a text, and returns once the server has accepted it."""
Sender = Callable[[str], AbstractAsyncContextManager[Send]]
Receiver = Callable[[str, Callable[[], None]], AbstractAsyncContextManager[None]]
"""Function that connects to an address, and calls back with every message."""
Loop = Literal["own", "current"]

ADA = {"room": "lobby", "sender": "ada"}


class Frame(msgspec.Struct):
    """A frame of a server: a message, or another kind, which the clients here ignore."""

    type: str
    id: str = ""
    sender: str = ""
    text: str = ""
    client_id: str = ""
    posted_at: datetime | None = None


class Post(msgspec.Struct, tag_field="type", tag="message"):
    """A message of a bare client: of the same shape as ours, without a check of its size."""

    text: str
    client_id: str


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Frame).decode


def with_ada(url: str) -> str:
    return str(httpx.URL(url).copy_merge_params(ADA))


def our_websocket(url: str, loop: Loop) -> WebSocketTransport:
    outbox = OutboxConfig(max_in_flight=10 * WINDOW)
    config = WebSocketConfig(url=websocket_url(url), room="lobby", sender="ada", outbox=outbox)
    return WebSocketTransport(config, loop=loop)


def our_sse(url: str, loop: Loop) -> SSETransport:
    return SSETransport(SSEConfig(url=url, room="lobby", sender="ada"), loop=loop)


# Who sends, and waits for the acknowledgement


@asynccontextmanager
async def chatlab_sender(
    url: str, make: Callable[[str, Loop], ChatTransport], loop: Loop
) -> AsyncIterator[Send]:
    async with make(url, loop) as chat:

        async def send(text: str) -> None:
            receipt = await chat.send(text)
            await receipt.settled()

        yield send


@asynccontextmanager
async def websockets_sender(url: str) -> AsyncIterator[Send]:
    """A client that takes the echo of a message as its ack."""
    waiting: dict[str, asyncio.Future[None]] = {}
    numbers = count(1)

    async with connect(with_ada(websocket_url(url)), compression=None) as connection:

        async def read() -> None:
            async for frame in connection:
                item = decode(frame)
                if item.type == "message" and (acked := waiting.pop(item.client_id, None)):
                    acked.set_result(None)

        async def send(text: str) -> None:
            client_id = f"{next(numbers)}"
            acked = waiting[client_id] = asyncio.get_running_loop().create_future()
            await connection.send(encode(Post(text=text, client_id=client_id)).decode())
            await acked

        reading = asyncio.create_task(read())
        yield send
        reading.cancel()


@asynccontextmanager
async def httpx_sender(url: str) -> AsyncIterator[Send]:
    """A client that takes the response to a POST as the ack."""
    numbers = count(1)
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        token = (await client.get("/csrf")).json()["token"]
        headers = {"Content-Type": "application/json", "X-CSRF-Token": token}

        async def send(text: str) -> None:
            content = encode(Post(text=text, client_id=f"{next(numbers)}"))
            response = await client.post("/messages", params=ADA, headers=headers, content=content)
            response.raise_for_status()

        yield send


@asynccontextmanager
async def socketio_sender(url: str) -> AsyncIterator[Send]:
    client = import_module("socketio").AsyncClient()
    await client.connect(url, transports=["websocket"])
    try:

        async def send(text: str) -> None:
            await client.call("message", {"text": text})

        yield send
    finally:
        await client.disconnect()


@asynccontextmanager
async def on_own_thread(url: str, sender: Sender) -> AsyncIterator[Send]:
    """A bare client in a loop on a thread of its own, as our transports by default."""
    loop = background_loop()

    async def there(work: Coroutine[Any, Any, Any]) -> Any:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))

    async with AsyncExitStack() as stack:
        send = await there(stack.enter_async_context(sender(url)))

        async def send_there(text: str) -> object:
            return await send(text)

        yield lambda text: there(send_there(text))
        await there(stack.aclose())


SENDERS: dict[str, Sender] = {
    "chatlab WebSocket": partial(chatlab_sender, make=our_websocket, loop="current"),
    "chatlab WebSocket, own thread": partial(chatlab_sender, make=our_websocket, loop="own"),
    "websockets": websockets_sender,
    "websockets, own thread": partial(on_own_thread, sender=websockets_sender),
    "python-socketio": socketio_sender,
    "chatlab POST": partial(chatlab_sender, make=our_sse, loop="current"),
    "chatlab POST, own thread": partial(chatlab_sender, make=our_sse, loop="own"),
    "httpx": httpx_sender,
    "httpx, own thread": partial(on_own_thread, sender=httpx_sender),
}


# Who receives what is poured out


@asynccontextmanager
async def chatlab_receiver(
    url: str, got: Callable[[], None], make: Callable[[str, Loop], ChatTransport], loop: Loop
) -> AsyncIterator[None]:
    chat = make(url, loop)

    def take(event: ChatEvent) -> None:
        if event.type == "message":
            got()

    chat.on_message(take)
    async with chat:
        yield


@asynccontextmanager
async def websockets_receiver(url: str, got: Callable[[], None]) -> AsyncIterator[None]:
    async with connect(websocket_url(url), compression=None) as connection:

        async def read() -> None:
            async for frame in connection:
                if decode(frame).type == "message":
                    got()

        reading = asyncio.create_task(read())
        yield
        reading.cancel()


@asynccontextmanager
async def httpx_sse_receiver(url: str, got: Callable[[], None]) -> AsyncIterator[None]:
    connect_sse = import_module("httpx_sse").aconnect_sse
    async with (
        httpx.AsyncClient(trust_env=False) as client,
        connect_sse(client, "GET", httpx.URL(url).copy_with(path="/stream")) as source,
    ):

        async def read() -> None:
            async for event in source.aiter_sse():
                if decode(event.data).type == "message":
                    got()

        reading = asyncio.create_task(read())
        yield
        reading.cancel()


RECEIVERS: dict[str, Receiver] = {
    "chatlab WebSocket": partial(chatlab_receiver, make=our_websocket, loop="current"),
    "chatlab WebSocket, own thread": partial(chatlab_receiver, make=our_websocket, loop="own"),
    "websockets": websockets_receiver,
    "chatlab SSE": partial(chatlab_receiver, make=our_sse, loop="current"),
    "chatlab SSE, own thread": partial(chatlab_receiver, make=our_sse, loop="own"),
    "httpx-sse": httpx_sse_receiver,
}


# The work


async def rate(sender: Sender, url: str, number: int, window: int = WINDOW) -> dict[str, float]:
    """Send `number` messages, `window` at once."""
    async with sender(url) as send:
        left = iter(range(number))

        async def work() -> None:
            for _ in left:
                await send(TEXT)

        await send(TEXT)
        wall, cpu = perf_counter(), process_time()
        await asyncio.gather(*(work() for _ in range(window)))
        return {"wall": (perf_counter() - wall) / number, "cpu": (process_time() - cpu) / number}


async def trips(sender: Sender, url: str, number: int) -> dict[str, float]:
    """Send `number` messages, one after the other."""
    async with sender(url) as send:
        await send(TEXT)
        times = []
        wall, cpu = perf_counter(), process_time()
        for _ in range(number):
            start = perf_counter()
            await send(TEXT)
            times.append(perf_counter() - start)
        took = {"wall": (perf_counter() - wall) / number, "cpu": (process_time() - cpu) / number}
    times.sort()
    return {**took, "p50": times[number // 2], "p99": times[number * 99 // 100]}


async def receive(receiver: Receiver, url: str, number: int) -> dict[str, float]:
    """Read `number` messages; the clock starts with the first, so the time to connect doesn't count."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    came = 0
    began = ended = (0.0, 0.0)

    def got() -> None:
        nonlocal came, began, ended
        came += 1
        if came == 1:
            began = perf_counter(), process_time()
        elif came == number:
            ended = perf_counter(), process_time()
            loop.call_soon_threadsafe(done.set)

    async with receiver(f"{url}?pour={number}", got):
        await done.wait()
    wall, cpu = (end - begin for begin, end in zip(began, ended, strict=True))
    return {"wall": wall / number, "cpu": cpu / number}


async def idle(sender: Sender, url: str, number: int, seconds: float = 31.0) -> dict[str, float]:
    """Keep `number` connections open; return the bytes and the CPU seconds a second of each."""
    async with AsyncExitStack() as stack:
        await (await stack.enter_async_context(sender(url)))(TEXT)
        _, before = used()
        for _ in range(number):
            await stack.enter_async_context(sender(url))
        cpu, resident = used()
        print("open", flush=True)
        await asyncio.sleep(seconds)
        print("idle", flush=True)
        spent = used()[0] - cpu
    return {"bytes": (resident - before) / number, "cpu": spent / seconds / number, "seconds": seconds}


async def main(work: str, name: str, url: str, number: int) -> dict[str, float]:
    match work:
        case "rate":
            return await rate(SENDERS[name], url, number)
        case "trips":
            return await trips(SENDERS[name], url, number)
        case "receive":
            return await receive(RECEIVERS[name], url, number)
        case _:
            return await idle(SENDERS[name], url, number)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))))
