"""A full accept queue of simulated TCP: refused, answered by a proxy, or ignored, with times by hand.

The latency is 40 ms. A client's first bytes leave at 0.08 s, and again after 0.28, 0.56, 1.12, 2.24 s.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chatlab.sim.capacity import AcceptQueue
from chatlab.sim.latency import Delay
from chatlab.sim.opening import SYN_ACK_TIMES
from tests.sim.tcp_world import Heard, World

D = 0.04
RTO = 0.28
SENT = 2 * D
"""Time at which the first bytes leave unless the SYN is ignored."""


def near(time: float) -> Any:
    return pytest.approx(time)


def full_world(free_at: float, *, backlog: int = 1, tls: bool = False) -> World:
    """Return a world whose accept queue is full until `free_at`, and then accepts one each `free_at` s."""
    queue = AcceptQueue(1 / free_at, backlog)
    return World(latency=D, tls=tls, queue=queue)


async def fill(world: World, after: float = D) -> None:
    """Take the last place in the queue at a time at which no other connection has its own."""
    await asyncio.sleep(after)
    world.internet.queue.enter(world.now)


async def call(world: World, hello: bytes = b"hello") -> Heard:
    """Connect, and send at once."""
    client = await world.connect()
    client.transport.write(hello)
    return client


def started_at(heard: Heard) -> float:
    return heard.events[0][0]


def test_a_queue_knows_whether_it_is_full() -> None:
    queue = AcceptQueue(1.0, 2)
    assert queue.is_limited
    queue.enter(0.0)
    assert not queue.is_full(0.0)
    queue.enter(0.0)
    assert queue.is_full(0.9)
    assert not queue.is_full(1.0)
    unlimited = AcceptQueue(None, 0)
    assert not unlimited.is_limited
    assert not unlimited.is_full(0.0)


def test_first_bytes_take_the_place_and_not_the_SYN() -> None:
    async def work(world: World) -> None:
        listening = await world.listen()
        client = await world.connect()
        await asyncio.sleep(0.3)
        client.transport.write(b"hello")
        await asyncio.sleep(5)
        [server] = listening.accepted
        assert server.events == [
            (near(2 * D + 0.3 + D + 0.5), "made"),
            (near(2 * D + 0.3 + D + 0.5), b"hello"),
        ]

    full_world(0.5).run(work)


def test_a_SYN_that_meets_a_full_queue_is_sent_again() -> None:
    async def work(world: World) -> None:
        listening = await world.listen()
        world.internet.queue.enter(world.now)
        await call(world)
        assert world.now == near(2 + 2 * D)  # Those of 0 and 1 s have met a full queue.
        await asyncio.sleep(5)
        assert started_at(listening.accepted[0]) == near(2 + 3 * D + 1.5)

    full_world(1.5).run(work)


def test_first_bytes_that_meet_a_full_queue_are_sent_again() -> None:
    """The client believes that it is connected. The try after 0.56 s is the first that meets room."""

    async def work(world: World) -> None:
        listening = await world.listen()
        filling = asyncio.create_task(fill(world, 1.5 * D))  # Between the SYN and the first bytes.
        client = await call(world)
        await filling
        assert client.events == [(near(2 * D), "made")]
        await asyncio.sleep(5)
        accepted_at = SENT + 2 * RTO + D + 0.5
        assert listening.accepted[0].events == [(near(accepted_at), "made"), (near(accepted_at), b"hello")]

    full_world(0.5).run(work)


def test_the_answer_to_a_repeated_SYN_ACK_takes_the_place() -> None:
    """It arrives two latencies after that left. The tries before and behind it are at 2.36 s and 4.6 s."""

    async def work(world: World) -> None:
        listening = await world.listen()
        filling = asyncio.create_task(fill(world, 1.5 * D))
        await call(world)
        await filling
        await asyncio.sleep(20)
        accepted_at = near(D + SYN_ACK_TIMES[1] + 2 * D + 2.9)
        assert listening.accepted[0].events == [(accepted_at, "made"), (accepted_at, b"hello")]

    full_world(2.9).run(work)


def test_bytes_come_later_than_the_accept_if_an_ACK_took_the_place() -> None:
    async def work(world: World) -> None:
        listening = await world.listen()
        world.internet.queue._interval = 0.9  # The ACK of 1.12 s meets room, and is accepted at 1.13 s.
        filling = asyncio.create_task(fill(world, 1.5 * D))
        await call(world)
        await filling
        world.internet.queue._interval = 0.01
        await asyncio.sleep(20)
        accepted_at = D + SYN_ACK_TIMES[0] + 2 * D + 0.01
        assert listening.accepted[0].events == [
            (near(accepted_at), "made"),
            (near(SENT + 4 * RTO + D), b"hello"),
        ]

    World(latency=D, queue=AcceptQueue(1.0, 1)).run(work)


def test_what_is_sent_behind_waits_in_order() -> None:
    async def work(world: World) -> None:
        listening = await world.listen()
        filling = asyncio.create_task(fill(world, 1.5 * D))
        client = await call(world)
        await asyncio.sleep(0.5)
        client.transport.write(b" world")
        client.transport.close()
        await filling
        await asyncio.sleep(5)
        accepted_at = near(SENT + 2 * RTO + D + 0.5)
        assert listening.accepted[0].events == [
            (accepted_at, "made"), (accepted_at, b"hello world"), (accepted_at, "eof"), (accepted_at, "lost"),
        ]  # fmt: skip
        assert not list(world.internet.connections())

    full_world(0.5).run(work)


def test_the_ClientHello_takes_the_place_and_is_sent_again() -> None:
    async def work(world: World) -> None:
        await world.listen()
        filling = asyncio.create_task(fill(world, 1.5 * D))
        client = await world.connect()
        await filling
        assert client.events == [(near(SENT + 2 * RTO + D + 0.5 + D), "made")]

    full_world(0.5, tls=True).run(work)


def test_a_client_that_gave_up_before_the_SYN_ACK_takes_no_place() -> None:
    async def work(world: World) -> None:
        listening = await world.listen()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5 * D):
                await world.connect()
        await asyncio.sleep(5)
        assert listening.accepted == []
        assert world.internet.queue.longest == 0
        assert not list(world.internet.connections())

    full_world(0.5).run(work)


def test_a_middlebox_resets_a_handshake_whose_bytes_are_ignored() -> None:
    async def work(world: World) -> None:
        listening = await world.listen()
        filling = asyncio.create_task(fill(world, 1.5 * D))
        client = await call(world)
        await filling
        await asyncio.sleep(0.5)
        world.connection.reset()
        await client.lost
        await asyncio.sleep(3.08 - world.now)  # Now there is room.
        world.internet.queue.take_peak(world.now)
        await asyncio.sleep(50)
        assert listening.accepted == []
        assert world.internet.queue.take_peak(world.now) == 0
        assert not list(world.internet.connections())

    full_world(3.0).run(work)


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("restarts", [False, True])
def test_a_stopped_server_has_forgotten_the_handshake(tls: bool, restarts: bool) -> None:
    """The next try meets a reset, also once the server is back. It leaves 2.24 s after the first."""

    async def work(world: World) -> None:
        listening = await world.listen()
        filling = asyncio.create_task(fill(world, 1.5 * D))
        calling = asyncio.create_task(call(world))
        await filling
        await asyncio.sleep(1.5)
        listening.server.close()
        again = await world.listen() if restarts else None
        at = SENT + 8 * RTO + 2 * D
        if tls:
            with pytest.raises(ConnectionResetError):
                await calling
            assert world.now == near(at)
        else:
            client = await calling
            await client.lost
            assert client.news == [(near(at), ConnectionResetError)]
        await asyncio.sleep(50)
        assert listening.accepted == []
        assert again is None or again.accepted == []

    full_world(3.0, tls=tls).run(work)


def test_the_answer_to_a_repeated_SYN_ACK_meets_a_reset_too() -> None:
    async def work(world: World) -> None:
        listening = await world.listen()
        client = await world.connect()  # It sends nothing.
        await asyncio.sleep(1 + 1.5 * D - world.now + D)  # The SYN-ACK is under way again.
        listening.server.close()
        await client.lost
        assert client.news == [(near(D + 1 + 3 * D), ConnectionResetError)]

    full_world(0.5).run(work)


def test_a_stopped_server_repeats_no_SYN_ACK() -> None:
    async def work(world: World) -> None:
        listening = await world.listen()
        client = await world.connect()  # It sends nothing.
        listening.server.close()
        await asyncio.sleep(50)
        assert client.news == []

    full_world(0.5).run(work)


def test_only_a_client_that_has_the_SYN_ACK_answers_it_again() -> None:
    """The first is lost; it comes a second later. The one of three seconds is answered."""

    async def work(world: World) -> None:
        listening = await world.listen()
        world.path.lose(0.0, 2.0, 0.5)
        client = await world.connect()  # It sends nothing.
        assert client.events == [(near(1 + 2 * D), "made")]
        await asyncio.sleep(10)
        assert started_at(listening.accepted[0]) == near(D + 3 + 2 * D + 0.5)

    World(latency=D, queue=AcceptQueue(2.0, 1), lossy=True, down=[0.3]).run(work)


def test_a_silent_connection_tries_no_more() -> None:
    async def work(world: World) -> None:
        listening = await world.listen()
        filling = asyncio.create_task(fill(world, 1.5 * D))
        await call(world)
        await filling
        world.connection.silence(0.2, ["up"])
        await asyncio.sleep(50)
        assert listening.accepted == []

    full_world(0.5).run(work)


@pytest.mark.parametrize("latencies", [0.5, 1.5])
def test_a_partition_loses_a_repeated_SYN_ACK_and_its_answer(latencies: float) -> None:
    """They leave one and two latencies after the first second."""

    async def work(world: World) -> None:
        listening = await world.listen()
        await world.connect()  # It sends nothing.
        await asyncio.sleep(1 + latencies * D - world.now)
        world.path.lose(0.0, world.now + D)
        await asyncio.sleep(10)
        assert started_at(listening.accepted[0]) == near(D + 3 + 2 * D + 0.5)

    full_world(0.5).run(work)


def test_a_try_in_a_partition_does_not_arrive() -> None:
    async def work(world: World) -> None:
        listening = await world.listen()
        filling = asyncio.create_task(fill(world, 1.5 * D))
        await call(world)
        await filling
        world.path.lose(0.0, 2.0)
        await asyncio.sleep(10)
        assert started_at(listening.accepted[0]) == near(SENT + 8 * RTO + D + 0.5)

    full_world(0.5).run(work)


def test_a_proxy_takes_what_meets_a_full_queue() -> None:
    async def work(world: World) -> None:
        listening = await world.listen()
        world.internet.queue.enter(world.now)
        client = await world.connect()
        [connection] = world.internet.connections()
        assert connection.overflowed
        client.transport.write(b"hello")
        await asyncio.sleep(1)
        assert listening.accepted[0].events == [(near(D), "made"), (near(3 * D), b"hello")]

    World(latency=D, queue=AcceptQueue(0.1, 1), overflow="503").run(work)


def test_a_proxy_queues_what_meets_room() -> None:
    async def work(world: World) -> None:
        listening = await world.listen()
        await world.connect()
        [connection] = world.internet.connections()
        assert not connection.overflowed
        await asyncio.sleep(20)
        assert started_at(listening.accepted[0]) == near(D + 10)

    World(latency=D, queue=AcceptQueue(0.1, 1), overflow="503").run(work)


def test_it_draws_no_numbers_of_loss_without_loss() -> None:
    async def work(world: World) -> None:
        drawn = list[str]()

        def draw(name: str) -> Delay:
            def number() -> float:
                drawn.append(name)
                return 0.5

            return number

        world.path.lose_up, world.path.lose_down = draw("up"), draw("down")
        await world.listen()
        await call(world)
        await asyncio.sleep(5)
        assert drawn == []

    full_world(0.5).run(work)
