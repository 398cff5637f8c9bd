"""The readers of the server benchmark, all in one process; they only count, to cost little.

`python -m bench.peers.server_readers WORK KIND URL COUNT` connects them, and prints what each part of the
work took as JSON; it goes on after a line of input. A message is counted by its one tilde, so nothing is
parsed that would take time from the server beside it.
"""

import asyncio
import json
import os
import struct
import sys
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

from bench.peers.live_servers import TEXT

MARK = b"~"
ALONE, BURST, POLLS = 100, 200, 30
"""The numbers of messages that are sent one by one, at once, and to held polls."""
PATIENCE = 60.0


def frame(number: int) -> bytes:
    """A message as a masked text frame. Source: RFC 6455 §5.2; a mask of zeros changes nothing."""
    text = f'{{"type":"message","client_id":"{os.getpid()}-{number}","text":"{TEXT}~"}}'.encode()
    return struct.pack("!BBHL", 0x81, 0x80 | 126, len(text), 0) + text


class Readers:
    """The number of messages that all readers together still have to get."""

    def __init__(self) -> None:
        self.left = 0
        self.done = asyncio.Event()

    def expect(self, messages: int) -> None:
        self.left = messages
        self.done.clear()

    def got(self, messages: int) -> None:
        self.left -= messages
        if self.left <= 0:
            self.done.set()

    async def all_of_them(self) -> None:
        await asyncio.wait_for(self.done.wait(), PATIENCE)


class Reader(asyncio.Protocol):
    """One connection, which begins with a request."""

    def __init__(self, readers: Readers, request: bytes) -> None:
        self.readers = readers
        self.request = request
        self.opened = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self.request)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(ConnectionError("the server hung up"))


class Member(Reader):
    """A WebSocket."""

    def data_received(self, data: bytes) -> None:
        if not self.opened.done():
            if b" 101 " not in data:
                self.opened.set_exception(ConnectionError(data.decode("latin-1")))
                return
            self.opened.set_result(None)
        if messages := data.count(MARK):
            self.readers.got(messages)


class Poll(Reader):
    """A long poll that is sent again, after the cursor of its answer, as soon as it is answered."""

    def __init__(self, readers: Readers, ask: Callable[[bytes], bytes]) -> None:
        super().__init__(readers, ask(b""))
        self._ask = ask
        self._answer = b""

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, end, body = self._answer.partition(b"\r\n\r\n")
        length = int(header(head, b"content-length") or b"0")
        if not end or len(body) < length:
            return
        self._answer = b""
        if not self.opened.done():
            self.opened.set_result(None)
        self.transport.write(self._ask(head))
        if messages := body.count(MARK):
            self.readers.got(messages)


def header(head: bytes, name: bytes) -> bytes:
    """Return a header's value; empty if it is missing."""
    _, found, rest = head.lower().partition(b"\r\n" + name + b": ")
    return head[len(head) - len(rest) :].partition(b"\r\n")[0] if found else b""


async def connect(url: str, count: int, make: Callable[[int], Reader], at_once: int = 50) -> list[Any]:
    port = urlsplit(url).port
    assert port is not None
    loop = asyncio.get_running_loop()
    readers: list[Any] = []
    for first in range(0, count, at_once):
        some = [
            loop.create_connection(partial(make, number), "127.0.0.1", port)
            for number in range(first, min(first + at_once, count))
        ]
        group = [protocol for _, protocol in await asyncio.gather(*some)]
        await asyncio.wait_for(asyncio.gather(*(reader.opened for reader in group)), PATIENCE)
        readers += group
    return readers


def upgrade(path: str) -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    ).encode()


MEMBERS = {
    "chatlab": "/ws?room=lobby&sender=reader{}&history=0",
    "websockets": "/",
    "nchan": "/ws/lobby",
}


def poll_chatlab(head: bytes) -> bytes:
    after = header(head, b"chat-cursor").decode()
    query = f"after={after}" if after else "history=0"
    return f"GET /messages/poll?room=lobby&{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def poll_nchan(head: bytes) -> bytes:
    after = "".join(
        f"{name}: {header(head, theirs).decode()}\r\n"
        for name, theirs in (("If-Modified-Since", b"last-modified"), ("If-None-Match", b"etag"))
        if header(head, theirs)
    )
    return f"GET /sub/lobby HTTP/1.1\r\nHost: 127.0.0.1\r\n{after}\r\n".encode()


POLLS_OF = {"chatlab": poll_chatlab, "nchan": poll_nchan}


async def told(**figures: float) -> None:
    """Print a round's figures, and wait for the start of the next."""
    print(json.dumps(figures), flush=True)
    await asyncio.to_thread(sys.stdin.readline)


async def one_by_one(
    readers: Readers, member: Member, first: int, messages: int, each: int
) -> dict[str, float]:
    """Send messages, each once all have the previous one; return the median and the slowest time."""
    times = []
    for number in range(first, first + messages):
        readers.expect(each)
        start = perf_counter()
        member.transport.write(frame(number))
        await readers.all_of_them()
        times.append(perf_counter() - start)
    times.sort()
    return {"p50": times[messages // 2], "p99": times[messages * 99 // 100], "messages": messages}


async def fan_out(kind: str, url: str, count: int) -> None:
    readers = Readers()
    path = MEMBERS[kind]
    members = await connect(url, count, lambda number: Member(readers, upgrade(path.format(number))))
    await one_by_one(readers, members[0], 0, 5, count)
    await told()
    await told(**await one_by_one(readers, members[0], 5, ALONE, count))
    readers.expect(BURST * count)
    start = perf_counter()
    members[0].transport.write(b"".join(map(frame, range(1_000, 1_000 + BURST))))
    await readers.all_of_them()
    await told(seconds=perf_counter() - start, messages=BURST)


async def held(kind: str, url: str, count: int) -> None:
    """Run held polls, and one member who sends."""
    readers = Readers()
    (member,) = await connect(url, 1, lambda number: Member(Readers(), upgrade(MEMBERS[kind].format(number))))
    member.transport.write(frame(0))
    await told()
    if kind == "nchan":  # Whose first answer is that first message.
        readers.expect(count)
    await connect(url, count, lambda number: Poll(readers, POLLS_OF[kind]))
    await asyncio.sleep(0.5)  # Until all of them are held: nothing tells when.
    await told()
    await told(**await one_by_one(readers, member, 1, POLLS, count))


async def main(work: str, kind: str, url: str, count: int) -> None:
    await (fan_out if work == "fan-out" else held)(kind, url, count)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
