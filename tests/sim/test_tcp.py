"""Simulated TCP, as asyncio protocols and real stacks see it. `D` is the latency of every packet."""

from __future__ import annotations

import asyncio
import socket
from math import inf
from typing import Any, Literal

import httpcore._utils
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from chatlab.live.listening import stop_listening
from chatlab.sim.capacity import AcceptQueue
from chatlab.sim.endpoint import HIGH_WATER, RECEIVE_BUFFER, SEND_BUFFER
from chatlab.sim.internet import FIRST_PORT
from chatlab.sim.latency import Delay
from chatlab.sim.path import Path
from chatlab.sim.retransmission import GIVE_UP
from chatlab.sim.virtual_loop import Deadlock
from tests.sim.tcp_world import D, Heard, World

ROOM = RECEIVE_BUFFER + SEND_BUFFER


# Opening


def test_a_connection_takes_a_round_trip() -> None:
    async def work(world: World) -> None:
        client, server = await world.pair()
        assert client.events == [(2 * D, "made")]
        assert server.events == [(D, "made")]

    World().run(work)


def test_with_TLS_a_connection_takes_two_round_trips() -> None:
    async def work(world: World) -> None:
        client, server = await world.pair()
        assert client.events == [(4 * D, "made")]
        assert server.events == [(D, "made")]

    World(tls=True).run(work)


def test_a_port_without_listener_refuses_after_a_round_trip() -> None:
    async def work(world: World) -> None:
        with pytest.raises(ConnectionRefusedError):
            await world.connect()
        assert world.now == 2 * D
        assert not list(world.internet.connections())

    World().run(work)


def test_a_path_may_refuse() -> None:
    async def work(world: World) -> None:
        await world.listen()
        world.path.refusing = 1
        with pytest.raises(ConnectionRefusedError):
            await world.connect()
        world.path.refusing = 0
        await world.connect()

    World().run(work)


def test_an_unreachable_path_never_opens_a_connection() -> None:
    async def work(world: World) -> None:
        listening = await world.listen()
        world.path.unreachable_until = inf
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1000):
                await world.connect()
        assert listening.accepted == []

    World().run(work)


def test_a_cancelled_connect_is_reported_to_the_server() -> None:
    async def work(world: World) -> None:
        listening = await world.listen()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5 * D):
                await world.connect()
        [server] = listening.accepted
        await server.lost
        assert server.events == [(D, "made"), (3 * D, ConnectionResetError)]
        assert not list(world.internet.connections())

    World().run(work)


def test_a_connect_cancelled_in_the_TLS_handshake_is_reported_at_once() -> None:
    async def work(world: World) -> None:
        listening = await world.listen()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3.5 * D):
                await world.connect()
        [server] = listening.accepted
        await server.lost
        assert server.events == [(D, "made"), (4.5 * D, "eof"), (4.5 * D, "lost")]

    World(tls=True).run(work)


@pytest.mark.parametrize(("asleep", "packets"), [(0.5, 3), (1.5, 3), (2.5, 4)])
def test_a_reset_ends_the_TLS_handshake(asleep: float, packets: int) -> None:
    """Nor uses up streams: it only answers what arrives before the reset does."""

    async def work(world: World) -> None:
        await world.listen()
        connecting = asyncio.create_task(world.connect())
        await asyncio.sleep(asleep * D)
        world.connection.reset()
        with pytest.raises(ConnectionResetError):
            await connecting
        assert world.now == (asleep + 1) * D
        await asyncio.sleep(10)
        assert world.drawn == packets

    World(tls=True).run(work)


@pytest.mark.parametrize("asleep", [1.5, 2.5])
def test_a_server_close_in_the_TLS_handshake_is_seen_at_once(asleep: float) -> None:
    async def work(world: World) -> None:
        listening = await world.listen()
        connecting = asyncio.create_task(world.connect())
        await asyncio.sleep(asleep * D)
        listening.accepted[0].transport.abort()
        with pytest.raises(ConnectionResetError):
            await connecting
        assert world.now == (asleep + 1) * D
        await asyncio.sleep(10)
        assert world.drawn == 3

    World(tls=True).run(work)


@pytest.mark.parametrize("stops", [False, True])
def test_a_server_answers_the_ClientHello_of_a_client_that_has_closed(stops: bool) -> None:
    """Unless it has stopped: it reads what came before the end."""

    async def work(world: World) -> None:
        listening = await world.listen()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(4 * D):
                await world.connect()
        if stops:
            listening.server.close()
        await asyncio.sleep(10)
        assert world.drawn == (3 if stops else 4)

    World(tls=True, queue=AcceptQueue(0.5, 3), overflow="refuse").run(work)


def test_a_slow_listener_accepts_one_after_the_other_and_few_wait() -> None:
    async def work(world: World) -> None:
        listening = await world.listen()
        results = await asyncio.gather(*(world.connect() for _ in range(5)), return_exceptions=True)
        assert [type(result) for result in results].count(ConnectionRefusedError) == 2
        await asyncio.sleep(10)
        assert [server.events[0] for server in listening.accepted] == [
            (D + 1, "made"), (D + 2, "made"), (D + 3, "made"),
        ]  # fmt: skip

    World(queue=AcceptQueue(1.0, 3), overflow="refuse").run(work)


def test_bytes_wait_until_the_server_has_accepted() -> None:
    async def work(world: World) -> None:
        listening = await world.listen()
        client = await world.connect()
        client.transport.write(b"early")
        await asyncio.sleep(5)
        assert listening.accepted[0].events == [(D + 2, "made"), (D + 2, b"early")]

    World(queue=AcceptQueue(0.5, 3), overflow="refuse").run(work)


def test_TLS_waits_for_the_server_to_accept() -> None:
    async def work(world: World) -> None:
        await world.listen()
        client = await world.connect()
        assert client.events == [(D + 2 + D, "made")]

    World(tls=True, queue=AcceptQueue(0.5, 3), overflow="refuse").run(work)


def test_a_closed_listener_resets_connections_in_its_accept_queue() -> None:
    async def work(world: World) -> None:
        listening = await world.listen()
        client = await world.connect()
        listening.server.close()
        await client.lost
        assert client.news == [(3 * D, ConnectionResetError)]
        again = await world.listen()
        await world.connect()
        await asyncio.sleep(10)
        assert listening.accepted == []
        assert again.accepted[0].events == [(5 * D - D + 2, "made")]  # Nobody is waiting before it.

    World(queue=AcceptQueue(0.5, 3), overflow="refuse").run(work)


# Bytes


def test_bytes_take_the_latency_and_are_counted() -> None:
    async def work(world: World) -> None:
        client, server = await world.pair()
        client.transport.write(b"hello")
        client.transport.writelines([b"you", memoryview(b"there")])
        server.transport.write(bytearray(b"welcome"))
        await asyncio.sleep(1)
        assert server.news == [(3 * D, b"helloyouthere")]
        assert client.news == [(3 * D, b"welcome")]
        assert (world.internet.bytes_up, world.internet.bytes_down) == (13, 7)
        client.transport.close()
        await asyncio.sleep(1)
        assert not list(world.internet.connections())
        assert (world.internet.bytes_up, world.internet.bytes_down) == (13, 7)

    World().run(work)


def test_requests_are_counted() -> None:
    async def work(world: World) -> None:
        client, server = await world.pair()
        client.transport.write(b"POST / HTTP/1.1\r\n\r\n")
        client.transport.write(b"the body")
        server.transport.write(b"GET / isn't asked by a server")
        client.transport.write(b"GET / HTTP/1.1\r\n\r\n")
        assert world.internet.requests == 2
        client.transport.abort()
        await asyncio.sleep(1)
        assert world.internet.requests == 2

    World().run(work)


def test_pieces_written_at_once_leave_a_narrow_line_one_after_the_other() -> None:
    async def work(world: World) -> None:
        client, server = await world.pair()
        impairment = world.add_impairment(bandwidth=4.0)
        client.transport.writelines([b"ab", b"cdef"])
        await asyncio.sleep(4)
        world.remove_impairment(impairment)
        client.transport.writelines([b"gh", b"ij"])
        await asyncio.sleep(4)
        start = 2 * D
        assert server.news == [
            (start + 0.5 + D, b"ab"), (start + 1.5 + D, b"cdef"), (start + 4 + D, b"ghij"),
        ]  # fmt: skip

    World().run(work)


def test_a_slow_packet_delays_those_behind_it() -> None:
    async def work(world: World) -> None:
        client, server = await world.pair()
        client.transport.write(b"slow")
        await asyncio.sleep(0.5)
        client.transport.write(b"quick")
        await asyncio.sleep(10)
        assert server.news == [(2 * D + 5, b"slowquick")]

    World([D, D, 5.0, 0.01]).run(work)


def test_bytes_sent_at_one_instant_draw_one_delay() -> None:
    async def work(world: World) -> None:
        client, server = await world.pair()
        before = world.drawn
        for _ in range(5):
            client.transport.write(b"x")
            await asyncio.sleep(0)
        client.transport.close()
        await server.lost
        assert world.drawn == before + 1
        assert server.news == [(3 * D, b"xxxxx"), (3 * D, "eof"), (3 * D, "lost")]

    World().run(work)


def test_a_line_carries_one_byte_after_the_other_for_all_its_connections() -> None:
    async def work(world: World) -> None:
        listening = await world.listen()
        one, two = await world.connect(), await world.connect()
        world.add_impairment(bandwidth=100.0)
        one.transport.write(b"x" * 50)
        two.transport.write(b"y" * 100)
        listening.accepted[0].transport.write(b"the other way is free")
        await asyncio.sleep(10)
        assert listening.accepted[0].news == [(4 * D + 0.5 + D, b"x" * 50)]
        assert listening.accepted[1].news == [(4 * D + 1.5 + D, b"y" * 100)]
        assert one.news == [(4 * D + 0.21 + D, b"the other way is free")]

    World().run(work)


def test_an_impairments_latency_is_added() -> None:
    async def work(world: World) -> None:
        client, server = await world.pair()
        impairment = world.add_impairment(delays=(lambda: 1.0, lambda: 0.5))
        client.transport.write(b"late")
        await asyncio.sleep(3)
        world.remove_impairment(impairment)
        client.transport.write(b"soon")
        await asyncio.sleep(3)
        assert server.news == [(2 * D + 1.5 + D, b"late"), (3 + 3 * D, b"soon")]

    World().run(work)


# Ends


def test_a_FIN_follows_the_last_bytes_even_at_the_same_instant() -> None:
    async def work(world: World) -> None:
        client, server = await world.pair()
        client.transport.write(b"last words")
        client.transport.close()
        client.transport.close()
        assert client.transport.is_closing()
        client.transport.write(b"nobody hears this")
        await server.lost
        assert client.news == [(2 * D, "lost")]
        assert server.news == [(3 * D, b"last words"), (3 * D, "eof"), (3 * D, "lost")]

    World().run(work)


def test_one_direction_may_end_before_the_other() -> None:
    async def work(world: World) -> None:
        client, server = await world.pair()
        server.stays = True
        assert client.transport.can_write_eof()
        client.transport.write(b"request")
        client.transport.write_eof()
        client.transport.write_eof()
        with pytest.raises(RuntimeError):
            client.transport.write(b"more")
        await asyncio.sleep(1)
        assert server.news == [(3 * D, b"request"), (3 * D, "eof")]
        server.transport.write(b"answer")
        server.transport.close()
        await client.lost
        assert client.news == [(1 + 3 * D, b"answer"), (1 + 3 * D, "eof"), (1 + 3 * D, "lost")]
        assert not list(world.internet.connections())

    World().run(work)


def test_an_aborted_end_is_gone_at_once_and_the_other_sees_a_FIN() -> None:
    async def work(world: World) -> None:
        client, server = await world.pair()
        server.transport.abort()
        server.transport.abort()
        server.transport.close()
        await client.lost
        assert server.news == [(2 * D, "lost")]
        assert client.news == [(3 * D, "eof"), (3 * D, "lost")]

    World().run(work)


def test_bytes_for_a_closed_end_are_answered_with_a_reset() -> None:
    async def work(world: World) -> None:
        client, server = await world.pair()
        server.stays = True
        client.transport.close()
        await asyncio.sleep(1)
        server.transport.write(b"are you there?")
        await server.lost
        assert server.news == [(3 * D, "eof"), (1 + 4 * D, ConnectionResetError)]

    World().run(work)


def test_a_close_with_bytes_unread_resets() -> None:
    async def work(world: World) -> None:
        client, server = await world.pair()
        server.transport.pause_reading()
        assert not server.transport.is_reading()
        client.transport.write(b"unread")
        await asyncio.sleep(1)
        server.transport.close()
        await client.lost
        assert client.news == [(1 + 3 * D, ConnectionResetError)]

    World().run(work)


def test_a_middlebox_reset_reaches_both_ends_behind_bytes_under_way() -> None:
    async def work(world: World) -> None:
        client, server = await world.pair()
        client.transport.write(b"just sent")
        world.connection.reset()
        await asyncio.gather(client.lost, server.lost)
        assert client.news == [(3 * D, ConnectionResetError)]
        assert server.news == [(3 * D, b"just sent"), (3 * D, ConnectionResetError)]
        assert not list(world.internet.connections())

    World().run(work)


def test_a_reset_during_the_opening() -> None:
    async def work(world: World) -> None:
        await world.listen()
        opening = asyncio.ensure_future(world.connect())
        await asyncio.sleep(0.5 * D)
        world.connection.reset()
        with pytest.raises(ConnectionResetError):
            await opening

    World().run(work)


def test_an_end_that_does_not_read_sees_a_reset_when_it_writes() -> None:
    async def work(world: World) -> None:
        client, _ = await world.pair()
        client.transport.pause_reading()
        world.connection.reset()
        await asyncio.sleep(1)
        assert client.news == []
        client.transport.write(b"x")
        await client.lost
        assert client.news == [(1 + 2 * D, ConnectionResetError)]

    World().run(work)


def test_a_silence_that_begins_later_ends_none_that_began_before() -> None:
    async def work(world: World) -> None:
        client, server = await world.pair()
        world.connection.silence(1.0, ["up"])
        world.connection.silence(5.0, ["up", "down"])
        await asyncio.sleep(2)
        client.transport.write(b"up")
        server.transport.write(b"down")
        await asyncio.sleep(1)
        assert (server.news, [what for _, what in client.news]) == ([], [b"down"])

    World().run(work)


def test_a_silent_connection_carries_nothing_until_its_system_gives_up() -> None:
    async def work(world: World) -> None:
        client, server = await world.pair()
        client.transport.write(b"under way")
        world.connection.silence(world.now, ["up", "down"])
        server.transport.write(b"never seen")
        await server.lost
        await client.lost
        assert client.news == server.news == [(round(2 * D + GIVE_UP, 9), TimeoutError)]

    World().run(work)


def test_a_protocol_that_raises_loses_its_connection() -> None:
    async def work(world: World) -> None:
        client, server = await world.pair()
        reports = list[dict[str, Any]]()
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reports.append(context))

        def fail(data: bytes) -> None:
            raise ZeroDivisionError

        server.data_received = fail  # type: ignore[method-assign]
        client.transport.write(b"x")
        await asyncio.gather(server.lost, client.lost)
        assert server.news == [(3 * D, ZeroDivisionError)]
        assert [type(report["exception"]) for report in reports] == [ZeroDivisionError]

    World().run(work)


# Proxies


def test_a_proxy_resets_a_connection_after_its_idle_timeout() -> None:
    async def work(world: World) -> None:
        client, server = await world.pair()
        world.add_impairment(idle_timeout=5.0)
        await asyncio.sleep(4)
        client.transport.write(b"x")
        await asyncio.gather(client.lost, server.lost)
        assert server.news == [(4 + 3 * D, b"x"), (9 + 4 * D, ConnectionResetError)]
        assert client.news == [(9 + 4 * D, ConnectionResetError)]

    World().run(work)


def test_a_removed_proxy_resets_nothing() -> None:
    async def work(world: World) -> None:
        client, _ = await world.pair()
        impairment = world.add_impairment(idle_timeout=5.0)
        await asyncio.sleep(4)
        world.remove_impairment(impairment)
        await asyncio.sleep(100)
        assert client.news == []

    World().run(work)


def test_a_buffering_proxy_buffers_only_event_streams() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"

    async def work(world: World) -> None:
        client, server = await world.pair()
        world.add_impairment(buffer=len(head) + 10)
        server.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        await asyncio.sleep(1)
        assert len(client.news) == 1
        server.transport.write(head)
        server.transport.write(b"12345")
        await asyncio.sleep(1)
        assert len(client.news) == 1
        server.transport.write(b"67890")
        await asyncio.sleep(1)
        assert client.news[1] == (2 + 3 * D, head + b"1234567890")
        server.transport.write(b"the rest")
        await asyncio.sleep(1)
        server.transport.close()
        await client.lost
        assert client.news[2:] == [(4 + 3 * D, b"the rest"), (4 + 3 * D, "eof"), (4 + 3 * D, "lost")]

    World().run(work)


def test_a_buffering_proxy_flushes_before_a_reset() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"

    async def work(world: World) -> None:
        client, server = await world.pair()
        world.add_impairment(buffer=inf)
        server.transport.write(head)
        await asyncio.sleep(1)
        world.connection.reset()
        await client.lost
        assert client.news == [(1 + 3 * D, head), (1 + 3 * D, ConnectionResetError)]

    World().run(work)


def test_a_removed_buffering_proxy_flushes() -> None:
    async def work(world: World) -> None:
        client, server = await world.pair()
        impairment = world.add_impairment(buffer=inf)
        server.transport.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        await asyncio.sleep(5)
        assert not world.connection.up_to_date
        world.remove_impairment(impairment)
        await asyncio.sleep(1)
        assert world.connection.up_to_date
        assert [at for at, _ in client.news] == [5 + 3 * D]

    World().run(work)


# Flow control


def test_a_slow_reader_makes_the_writer_pause() -> None:
    async def work(world: World) -> None:
        client, server = await world.pair()
        server.transport.pause_reading()
        client.transport.write(b"x" * ROOM)
        assert client.transport.get_write_buffer_size() == 0
        client.transport.write(b"y" * HIGH_WATER)
        assert client.news == []
        client.transport.write(b"z")
        assert client.transport.get_write_buffer_size() == HIGH_WATER + 1
        assert client.news == [(2 * D, "pause")]
        client.transport.close()
        await asyncio.sleep(5)
        server.transport.resume_reading()
        await server.lost
        assert client.news[1:] == [(5 + 2 * D, "resume"), (5 + 2 * D, "lost")]
        received = b"".join(item for _, item in server.news if isinstance(item, bytes))
        assert received == b"x" * ROOM + b"y" * HIGH_WATER + b"z"
        assert server.news[-2:] == [(5 + 7 * D, "eof"), (5 + 7 * D, "lost")]  # After two more round trips.

    World().run(work)


def test_a_FIN_waits_for_the_bytes_before_it() -> None:
    async def work(world: World) -> None:
        client, server = await world.pair()
        server.stays = True
        server.transport.pause_reading()
        client.transport.write(b"x" * (ROOM + 1))
        client.transport.write_eof()
        await asyncio.sleep(5)
        server.transport.resume_reading()
        await asyncio.sleep(1)
        assert sum(len(item) for _, item in server.news if isinstance(item, bytes)) == ROOM + 1
        assert server.news[-1] == (5 + 3 * D, "eof")

    World().run(work)


def test_an_abort_drops_bytes_beyond_the_kernels_buffers() -> None:
    async def work(world: World) -> None:
        client, server = await world.pair()
        server.transport.pause_reading()
        client.transport.write(b"x" * (ROOM + 1000))
        client.transport.abort()
        assert client.transport.get_write_buffer_size() == 0
        await asyncio.sleep(1)
        server.transport.resume_reading()
        await server.lost
        assert sum(len(item) for _, item in server.news if isinstance(item, bytes)) == ROOM
        assert world.internet.bytes_up == ROOM

    World().run(work)


def test_a_reset_ends_a_transport_that_still_has_to_write() -> None:
    async def work(world: World) -> None:
        client, server = await world.pair()
        server.transport.pause_reading()
        client.transport.write(b"x" * (ROOM + 1))
        client.transport.pause_reading()
        client.transport.close()
        world.connection.reset()
        await client.lost
        assert client.news == [(3 * D, ConnectionResetError)]

    World().run(work)


def test_the_limits_can_be_set() -> None:
    async def work(world: World) -> None:
        client, server = await world.pair()
        transport = client.transport
        assert transport.get_write_buffer_limits() == (HIGH_WATER // 4, HIGH_WATER)
        transport.set_write_buffer_limits(high=100)
        assert transport.get_write_buffer_limits() == (25, 100)
        transport.set_write_buffer_limits(low=100)
        assert transport.get_write_buffer_limits() == (100, 400)
        transport.set_write_buffer_limits()
        assert transport.get_write_buffer_limits() == (HIGH_WATER // 4, HIGH_WATER)
        with pytest.raises(ValueError, match="must be >="):
            transport.set_write_buffer_limits(high=1, low=2)
        server.transport.pause_reading()
        own = transport.get_extra_info("socket")
        own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, 1000)
        assert own.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        transport.write(b"x" * ROOM)
        assert transport.get_write_buffer_size() == SEND_BUFFER - 1000

    World().run(work)


# What protocols ask


def test_a_protocol_may_hand_over_to_another() -> None:
    async def work(world: World) -> None:
        client, server = await world.pair()
        other = Heard()
        server.transport.set_protocol(other)
        assert server.transport.get_protocol() is other
        client.transport.write(b"x")
        await asyncio.sleep(1)
        assert server.news == []
        assert other.events == [(3 * D, b"x")]

    World().run(work)


def test_a_transport_knows_its_addresses() -> None:
    async def work(world: World) -> None:
        client, server = await world.pair()
        ours, theirs = client.transport.get_extra_info, server.transport.get_extra_info
        assert ours("peername") == theirs("sockname") == ("127.0.0.1", 80)
        assert ours("sockname") == theirs("peername")
        assert ours("socket").getpeername() == theirs("socket").getsockname() == ("127.0.0.1", 80)
        assert ours("socket").family == socket.AF_INET
        assert ours("sslcontext") is None
        assert world.internet.find(ours("sockname")[1]) is world.connection
        assert list(world.internet.connections(world.path)) == [world.connection]
        assert "127.0.0.1" in repr(server.transport)

    World().run(work)


def test_an_idle_connection_looks_alive_until_something_arrives() -> None:
    """As httpcore sees it, which polls the socket."""

    async def work(world: World) -> None:
        client, server = await world.pair()
        own = client.transport.get_extra_info("socket")
        client.transport.pause_reading()
        assert not httpcore._utils.is_socket_readable(own)
        server.transport.close()
        await asyncio.sleep(1)
        assert httpcore._utils.is_socket_readable(own)
        client.transport.abort()
        await client.lost
        assert httpcore._utils.is_socket_readable(own)

    World().run(work)


# Listening


def test_a_listener_is_a_server_of_asyncios() -> None:
    async def work(world: World) -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Heard, None, 0)
        assert server.is_serving()
        assert server.get_loop() is loop
        [listening] = server.sockets
        assert listening.getsockname() == ("127.0.0.1", FIRST_PORT)
        with pytest.raises(OSError, match="port 8000 is in use"):
            await loop.create_server(Heard, "127.0.0.1", FIRST_PORT)
        other = await loop.create_server(Heard, "127.0.0.1", 0)
        assert other.sockets[0].getsockname()[1] == FIRST_PORT + 1
        await server.start_serving()
        await stop_listening(server)
        server.close()
        await server.wait_closed()
        assert not server.is_serving()
        assert server.sockets == ()
        serving = asyncio.ensure_future(other.serve_forever())
        await asyncio.sleep(1)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert not other.is_serving()

    World().run(work)


# Real stacks


def test_websockets_echoes_in_exactly_two_latencies() -> None:
    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async def work(world: World) -> list[float]:
        times = []
        async with (
            serve(echo, "127.0.0.1", 80, ping_interval=None),
            connect("ws://127.0.0.1:80", proxy=None, ping_interval=None) as connection,
        ):
            times.append(world.now)
            for size in (1, 100_000):
                await connection.send("x" * size)
                assert len(await connection.recv()) == size
                times.append(world.now)
        return times

    assert World().run(work) == pytest.approx([4 * D, 6 * D, 8 * D])


def test_websockets_finds_a_dead_connection_by_its_own_pings() -> None:
    async def hold(connection: ServerConnection) -> None:
        await connection.wait_closed()

    async def work(world: World) -> float:
        async with (
            serve(hold, "127.0.0.1", 80, ping_interval=None),
            connect("ws://127.0.0.1:80", proxy=None, ping_interval=20, ping_timeout=20) as connection,
        ):
            await asyncio.sleep(30)
            world.connection.silence(world.now, ["up", "down"])
            await connection.wait_closed()
            return world.now

    # The ping of 40.4 s is the first without an answer; then the closing handshake times out after 10 s.
    assert World().run(work) == pytest.approx(4 * D + 40 + 20 + 10)


@pytest.mark.parametrize(("direction", "heard"), [("up", "client"), ("down", "server")])
def test_a_connection_that_is_silent_one_way_carries_the_other(
    direction: Literal["up", "down"], heard: str
) -> None:
    """Both systems give up all the same: one sends what isn't acknowledged, and the other's acks vanish."""

    async def work(world: World) -> None:
        client, server = await world.pair()
        world.connection.silence(world.now, [direction])
        began_at = world.now
        for end in (client, server):
            end.transport.write(b"hello")
        await client.lost
        await server.lost
        given_up = (round(began_at + GIVE_UP, 9), TimeoutError)
        both: dict[str, list[object]] = {"client": [given_up], "server": [given_up]}
        both[heard].insert(0, (round(began_at + D, 9), b"hello"))
        assert {"client": client.news, "server": server.news} == both

    World().run(work)


def test_asyncios_own_streams_work() -> None:
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).upper())
        await writer.drain()
        writer.close()

    async def work(world: World) -> tuple[bytes, float]:
        async with await asyncio.start_server(shout, "127.0.0.1", 80):
            reader, writer = await asyncio.open_connection("127.0.0.1", 80)
            writer.write(b"hello")
            writer.write_eof()
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            return answer, world.now

    answer, at = World().run(work)
    assert answer == b"HELLO"
    assert at == pytest.approx(4 * D)


def test_a_loop_whose_tasks_all_wait_for_each_other_says_so() -> None:
    async def work(world: World) -> None:
        client, _ = await world.pair()
        await client.lost

    with pytest.raises(Deadlock):
        World().run(work)


def test_draws_are_those_of_each_direction() -> None:
    """So that the model meets the same streams: opening has its own, and so has each direction."""

    async def work(world: World) -> list[str]:
        drawn = list[str]()

        def draw(name: str) -> Delay:
            def delay() -> float:
                drawn.append(name)
                return D

            return delay

        world.path = Path(draw("up"), draw("down"), draw("connect"))
        client, server = await world.pair()
        client.transport.write(b"x")
        await asyncio.sleep(1)
        server.transport.write(b"y")
        await asyncio.sleep(1)
        client.transport.close()
        await server.lost
        return drawn

    assert World().run(work) == ["connect", "connect", "up", "down"]
