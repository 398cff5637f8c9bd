"""Connecting to the first address that answers; a look-up that hangs delays no other."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from chatlab.errors import ConnectError
from chatlab.live.client import connecting, lookup
from chatlab.live.client.connecting import connect
from chatlab.live.client.kinds import KINDS, make_config, make_transport
from chatlab.live.client.lookup import addresses_of
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.settings import ReconnectConfig
from tests.live.watch import until
from tests.processes import interpreted
from tests.sizes import rows

ONCE = ReconnectConfig(max_attempts=0)


def entry(address: str) -> tuple[Any, ...]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return family, socket.SOCK_STREAM, 6, "", (address, 0, 0, 0) if ":" in address else (address, 0)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str] | threading.Event]:
    """Names with their addresses; the look-up of a name with an event waits for the event, and fails."""
    table: dict[str, list[str] | threading.Event] = {}
    real = socket.getaddrinfo

    def look_up(host: Any, *args: Any, **options: Any) -> Any:
        found = table.get(host.decode() if isinstance(host, bytes) else host)
        if found is None:
            return real(host, *args, **options)
        if isinstance(found, threading.Event):
            found.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return [entry(address) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return table


@contextmanager
def black_hole(port: int) -> Iterator[str]:
    """Return an address that answers no SYN: the listener's accept queue is full."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.2", port))
        listener.listen(0)
        fill = [socket.socket() for _ in range(4)]
        for one in fill:
            one.setblocking(False)
            one.connect_ex(("127.0.0.2", port))
        yield "127.0.0.2"
        for one in fill:
            one.close()


@pytest.mark.skipif(sys.platform != "linux", reason="all of 127.0.0.0/8 is this machine on Linux only")
@pytest.mark.parametrize("kind", KINDS)
async def test_A96_every_transport_tries_the_second_address(kind: str, names: dict[str, Any]) -> None:
    async with EmbeddedServer(allowed_hosts=["dual.test"]) as server:
        with black_hole(server.port) as silent:
            names["dual.test"] = [silent, "127.0.0.1"]
            config = make_config(kind, f"http://dual.test:{server.port}", reconnect=ONCE, connect_timeout=5.0)
            async with make_transport(config, loop="current") as chat:
                assert (await (await chat.send("by the second")).settled()).value == "acked"


async def test_A96_an_address_that_refuses_is_passed_over_at_once(names: dict[str, Any]) -> None:
    async with EmbeddedServer() as server:
        names["dual.test"] = ["127.0.0.9", "127.0.0.8", "127.0.0.1"]
        stream = await connect("dual.test", server.port)
        assert stream.get_extra_info("server_addr")[0] == "127.0.0.1"
        stream.abort()


async def test_A96_if_no_address_answers_the_first_ones_error_counts(names: dict[str, Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    names["dual.test"] = ["127.0.0.1", "127.0.0.2"]
    with pytest.raises(ConnectionRefusedError):
        await connect("dual.test", port)
    names["dual.test"] = []
    with pytest.raises(OSError, match="no address"):
        await connect("dual.test", port)


async def test_A96_a_second_successful_connection_is_closed(
    names: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Complete both attempts in the same turn of the loop, or one right after it was cancelled."""
    monkeypatch.setattr(connecting, "ATTEMPT_DELAY", 0.0)
    open_: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_.add(writer)
        await reader.read()
        open_.discard(writer)
        writer.close()

    listener = await asyncio.start_server(serve, "0.0.0.0", 0)
    port = listener.sockets[0].getsockname()[1]
    names["dual.test"] = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    streams = [await connect("dual.test", port) for _ in range(10)]
    for stream in streams:
        stream.abort()
    await until(lambda: not open_)
    listener.close()


async def test_addresses_alternate_between_families(names: dict[str, Any]) -> None:
    names["h.test"] = ["fd00::1", "fd00::2", "fd00::1", "10.0.0.1", "10.0.0.2"]
    assert await addresses_of("h.test", 1) == ["fd00::1", "10.0.0.1", "fd00::2", "10.0.0.2"]
    assert await addresses_of("fe80::1%eth0", 1) == ["fe80::1%eth0"]
    assert lookup._interleaved([(socket.AF_INET6, 1, 6, "", ("fe80::1", 1, 0, 7))]) == ["fe80::1%7"]


async def test_A97_a_look_up_that_hangs_delays_no_other(names: dict[str, Any]) -> None:
    hanging = names["slow.test"] = threading.Event()
    quick = ReconnectConfig(base_delay=0.01, max_delay=0.01, max_attempts=None)
    async with EmbeddedServer() as server:
        stuck = [
            make_transport(
                make_config(kind, "http://slow.test:9", connect_timeout=0.02, reconnect=quick), loop="current"
            )
            for kind in KINDS
            for _ in range(10)
        ]
        for chat in stuck:
            chat.start()
        await until(lambda: all(chat.last_change.attempt > 2 for chat in stuck[:10]))
        assert sum(map(len, lookup._under_way.values())) <= lookup.MAX_PER_NAME
        healthy = make_config("websocket", f"ws://localhost:{server.port}/ws", reconnect=ONCE)
        async with make_transport(healthy, loop="current"):
            pass
        for chat in stuck:
            await chat.disconnect()
    hanging.set()
    await until(lambda: not lookup._under_way)


async def test_A97_look_ups_that_hang_are_bounded(
    names: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "MAX_LOOKUPS", 3)
    hanging = threading.Event()
    names |= {f"slow{number}.test": hanging for number in range(4)}
    tasks = [asyncio.create_task(addresses_of(f"slow{number}.test", 9)) for number in range(3)]
    await until(lambda: len(lookup._under_way) == 3)
    with pytest.raises(socket.gaierror, match="too many"):
        await addresses_of("slow3.test", 9)
    hanging.set()
    for task in tasks:
        with pytest.raises(socket.gaierror, match="no answer"):
            await task
    assert not lookup._under_way


async def test_A97_a_look_up_under_way_is_shared(names: dict[str, Any]) -> None:
    answer = threading.Event()
    names["slow.test"] = answer
    tasks = [asyncio.create_task(addresses_of("slow.test", 9)) for _ in range(4)]
    await asyncio.sleep(0)
    assert [len(entries) for entries in lookup._under_way.values()] == [1]
    answer.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    await until(lambda: not lookup._under_way)


async def test_A97_a_second_look_up_starts_later(
    names: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "SHARED_FOR", 0.0)
    hanging = names["slow.test"] = threading.Event()
    tasks = [asyncio.create_task(addresses_of("slow.test", 9)) for _ in range(4)]
    await until(lambda: [len(entries) for entries in lookup._under_way.values()] == [lookup.MAX_PER_NAME])
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    hanging.set()
    await until(lambda: not lookup._under_way)


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..b"])
async def test_A24_an_invalid_name_can_not_be_resolved(host: str) -> None:
    chat = make_transport(make_config("sse", f"http://{host}", reconnect=ONCE), loop="current")
    with pytest.raises(ConnectError, match="dns"):
        await chat.connect()
    await chat.disconnect()


EXIT = """
import asyncio, socket, threading
from chatlab.live.client.kinds import make_config, make_transport
asked = threading.Event()
def look_up(*args, **options):
    asked.set()
    threading.Event().wait()
socket.getaddrinfo = look_up
async def main():
    for kind in ("websocket", "sse"):
        chat = make_transport(make_config(kind, f"http://{kind.replace('_', '')}.test:9"), loop=LOOP)
        chat.start()
        await asyncio.to_thread(asked.wait)
        await chat.disconnect()
        asked.clear()
asyncio.run(main())
print("done")
"""


@pytest.mark.parametrize("loop", rows(["own", "current"], "own"))
def test_A97_a_look_up_that_hangs_does_not_keep_the_program_from_ending(loop: str) -> None:
    assert interpreted(EXIT.replace("LOOP", repr(loop))) == (0, "done\n", "")
