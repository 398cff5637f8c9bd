"""Loss, retransmission and slow start of simulated TCP, with times computed by hand.

The latency is 40 ms, so the time-out is 0.28 s: a round trip of 0.08 and four times the floor of 0.05.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from math import inf, log2
from typing import Any

import pytest

from chatlab.random_streams import RandomStreams
from chatlab.sim.path import Impairment
from chatlab.sim.retransmission import SEGMENT, SYN_TIMES
from tests.sim.tcp_world import NEVER_LOST, Heard, World

D = 0.04
RTO = 0.28
LOST = 0.0
"""The random number of a packet that is lost as long as any packets are."""
ACK = NEVER_LOST
"""The random number of an ack that isn't lost."""


def lossy_world(up: Sequence[float] = (), down: Sequence[float] = (), *, tls: bool = False) -> World:
    return World(latency=D, lossy=True, up=up, down=down, tls=tls)


def lose(world: World, share: float, until: float = inf) -> None:
    world.path.lose(0.0, until, share)


def near(time: float) -> Any:
    return pytest.approx(time)


def bytes_of(heard: Heard) -> list[tuple[float, bytes]]:
    return [(at, what) for at, what in heard.events if isinstance(what, bytes)]


# Data


@pytest.mark.parametrize(
    ("cut", "left_at"),
    [(0.2, RTO), (1.5, 8 * RTO), (5.0, 32 * RTO), (12.0, 64 * RTO), (700.0, 512 * RTO + 5 * 120)],
)
def test_data_sent_into_a_cut_arrives_after_it(cut: float, left_at: float) -> None:
    """The time-out doubles, up to two minutes."""

    async def work(world: World) -> None:
        client, server = await world.pair()
        world.path.lose(0.0, world.now + cut)
        client.transport.write(b"x")
        await asyncio.sleep(1500)
        assert bytes_of(server) == [(near(2 * D + left_at + D), b"x")]

    lossy_world().run(work)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_sender_gives_up_at_the_time_out_that_follows_924_seconds_after_the_first(direction: str) -> None:
    """The probe and the first time-out take twice RTO, the others 0.56, 1.12 … 71.68 s and seven times 120
    s."""

    async def work(world: World) -> None:
        ends = await world.pair()
        sender, receiver = ends if direction == "up" else reversed(ends)
        start = world.now
        world.path.lose(0.0, 5000)
        sender.transport.write(b"x")
        await asyncio.sleep(5000)
        assert sender.news == [(near(start + 2 * RTO + RTO * (2**9 - 2) + 7 * 120), TimeoutError)]
        assert receiver.news == []

    lossy_world().run(work)


def test_one_number_decides_about_all_transmissions() -> None:
    """It is compared with the product of the shares: 0.5, 0.25, 0.125."""

    async def work(world: World) -> None:
        client, server = await world.pair()
        lose(world, 0.5)
        client.transport.write(b"x")
        await asyncio.sleep(5)
        assert bytes_of(server) == [(near(2 * D + 2 * RTO + D), b"x")]

    lossy_world([NEVER_LOST, 0.2, ACK]).run(work)


def test_a_later_cut_loses_what_is_sent_again_in_it() -> None:
    async def work(world: World) -> None:
        client, server = await world.pair()
        lose(world, 0.5)
        client.transport.write(b"x")
        await asyncio.sleep(0.1)
        world.path.lose(0.0, world.now + 1.0)
        await asyncio.sleep(5)
        assert bytes_of(server) == [(near(2 * D + 4 * RTO + D), b"x")]

    lossy_world([NEVER_LOST, 0.3, ACK]).run(work)


def test_nothing_overtakes_a_lost_packet() -> None:
    async def work(world: World) -> None:
        client, server = await world.pair()
        lose(world, 0.5)
        client.transport.write(b"lost")
        await asyncio.sleep(0.1)
        client.transport.write(b"behind")
        client.transport.close()
        await asyncio.sleep(5)
        at = near(2 * D + RTO + D)
        assert server.news == [(at, b"lostbehind"), (at, "eof"), (at, "lost")]

    lossy_world([NEVER_LOST, 0.3, ACK]).run(work)


def test_all_that_was_sent_into_a_cut_leaves_with_the_first_ack() -> None:
    """The first leaves again after 2.24 s. What came after its first retransmission waits for its ack."""

    async def work(world: World) -> None:
        client, server = await world.pair()
        start = world.now
        world.path.lose(0.0, start + 1.5)
        client.transport.write(b"1")
        await asyncio.sleep(0.5)
        client.transport.write(b"2")
        await asyncio.sleep(0.5)
        client.transport.write(b"3")
        await asyncio.sleep(5)
        first = start + 8 * RTO + D
        assert bytes_of(server) == [
            (near(first), b"1"),
            (near(first + D + D), b"23"),
        ]

    lossy_world().run(work)


def test_what_was_sent_before_the_first_retransmission_has_timers_of_its_own() -> None:
    async def work(world: World) -> None:
        client, server = await world.pair()
        start = world.now
        world.path.lose(0.0, start + 1.5)
        client.transport.write(b"1")
        await asyncio.sleep(0.2)
        client.transport.write(b"2")
        await asyncio.sleep(5)
        first = start + 8 * RTO + D
        assert bytes_of(server) == [(near(first), b"1"), (near(first + 0.2), b"2")]

    lossy_world().run(work)


def test_what_is_sent_behind_several_under_recovery_waits_for_the_first_of_them() -> None:
    """The second of them is acknowledged 0.2 s later."""

    async def work(world: World) -> None:
        client, server = await world.pair()
        start = world.now
        world.path.lose(0.0, start + 1.5)
        client.transport.write(b"1")
        await asyncio.sleep(0.2)
        client.transport.write(b"2")
        await asyncio.sleep(0.5)
        client.transport.close()
        await asyncio.sleep(5)
        first = start + 8 * RTO + D
        assert server.news == [
            (near(first), b"1"),
            (near(first + 0.2), b"2"),
            (near(first + 0.2), "eof"),
            (near(first + 0.2), "lost"),
        ]

    lossy_world().run(work)


def test_a_recovery_that_is_over_does_not_matter_to_the_next() -> None:
    async def work(world: World) -> None:
        client, server = await world.pair()
        world.path.lose(0.0, world.now + 0.2)
        client.transport.write(b"x")
        await asyncio.sleep(1)
        start = world.now
        world.path.lose(0.0, start + 1.5)
        client.transport.write(b"1")
        await asyncio.sleep(1)
        client.transport.write(b"2")
        await asyncio.sleep(5)
        first = start + 8 * RTO + D
        assert bytes_of(server)[1:] == [(near(first), b"1"), (near(first + 2 * D), b"2")]

    lossy_world().run(work)


def test_a_packet_gives_one_sample_that_of_its_last_segment() -> None:
    """The first segment's ack is lost, which nobody notices."""

    async def work(world: World) -> None:
        client, server = await world.pair()
        lose(world, 0.5)
        client.transport.write(b"x" * 2 * SEGMENT)
        await asyncio.sleep(1)
        start = world.now
        client.transport.write(b"y")
        await asyncio.sleep(1)
        assert bytes_of(server)[-1] == (near(start + RTO + D), b"y")

    lossy_world([NEVER_LOST, 0.9, LOST, 0.9, ACK, 0.3, ACK]).run(work)


def test_a_burst_goes_on_while_a_segment_is_recovered() -> None:
    async def work(world: World) -> None:
        client, server = await world.pair()
        lose(world, 0.5, until=0.2)
        client.transport.write(b"x")
        await asyncio.sleep(0.2)
        client.transport.write(b"y" * 31 * SEGMENT)  # A new burst would take two round trips for them.
        await asyncio.sleep(1)
        assert [at for at, _ in bytes_of(server)] == [near(2 * D + RTO + D)]

    lossy_world([NEVER_LOST, 0.3, ACK]).run(work)


def test_a_lost_ack_inflates_the_estimate() -> None:
    """The sample is a probe and a round trip, so the next time-out is 0.125 + 4 * 0.1 instead of 0.28."""

    async def work(world: World) -> None:
        client, server = await world.pair()
        lose(world, 0.5)
        client.transport.write(b"1")
        await asyncio.sleep(1)
        start = world.now
        client.transport.write(b"2")
        await asyncio.sleep(5)
        error = RTO  # R is 0.08 + 0.28, SRTT was 0.08.
        smoothed = 0.08 + error / 8
        deviation = 0.04 + (error - 0.04) / 4
        probe = 2 * smoothed + 0.2
        assert probe < smoothed + 4 * deviation
        assert bytes_of(server)[1] == (near(start + probe + D), b"2")

    lossy_world([NEVER_LOST, NEVER_LOST, LOST, 0.3, ACK]).run(work)


def test_a_FIN_alone_is_sent_again_and_has_the_number_of_the_latest_packet() -> None:
    async def work(world: World) -> None:
        client, server = await world.pair()
        lose(world, 0.5)
        client.transport.close()
        await server.lost
        at = near(2 * D + RTO + D)
        assert server.news == [(at, "eof"), (at, "lost")]

    lossy_world([0.3]).run(work)


def test_a_narrow_line_sends_a_packet_again_after_it_has_left() -> None:
    """Its parts leave one after the other, and are lost together."""

    async def work(world: World) -> None:
        client, server = await world.pair()
        world.path.add_impairment(Impairment(bandwidth=10.0))
        lose(world, 0.5)
        client.transport.writelines([b"12345", b"67890"])
        await asyncio.sleep(5)
        start = 2 * D + RTO + D
        assert bytes_of(server) == [
            (near(start + 0.5), b"12345"),
            (near(start + 1), b"67890"),
        ]

    lossy_world([NEVER_LOST, 0.3, ACK]).run(work)


def test_each_segment_has_its_own_number() -> None:
    async def work(world: World) -> None:
        client, server = await world.pair()
        lose(world, 0.5)
        client.transport.write(b"x" * 2 * SEGMENT)
        client.transport.write(b"y")
        await asyncio.sleep(1)
        assert [(at, len(data)) for at, data in bytes_of(server)] == [
            (near(3 * D), 2 * SEGMENT), (near(3 * D + RTO), 1),
        ]  # fmt: skip

    lossy_world([NEVER_LOST, 0.9, ACK, 0.9, ACK, 0.3, ACK]).run(work)


def test_a_proxy_counts_idleness_from_what_was_sent_again() -> None:
    async def work(world: World) -> None:
        client, server = await world.pair()
        world.add_impairment(idle_timeout=3.0)
        world.path.lose(0.0, world.now + 5)
        server.transport.write(b"x")
        assert not world.connection.up_to_date
        await asyncio.sleep(8.96 + D + 1)
        assert world.connection.up_to_date
        await client.lost
        assert client.news == [
            (near(2 * D + 8.96 + D), b"x"),
            (near(2 * D + 8.96 + D + 3 + D), ConnectionResetError),
        ]

    lossy_world().run(work)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.1, 0.4])
def test_the_share_that_takes_k_transmissions_is_that_of_the_closed_form(share: float) -> None:
    """It is p^k (1 - p) for k lost ones. No ack is lost, so all packets have the same time-outs."""
    count = 4000
    uniform = RandomStreams(11).uniform(0, "loss-up")

    async def work(world: World) -> None:
        client, server = await world.pair()
        lose(world, share)
        sent = list[float]()
        for _ in range(count):
            sent.append(world.now)
            client.transport.write(b"x")
            await asyncio.sleep(400)
        delays = [at - start - D for (at, _), start in zip(bytes_of(server), sent, strict=True)]
        losses = Counter(0 if delay < 0.01 else 1 + round(log2(delay / RTO)) for delay in delays)
        for lost in range(5):
            expected = share**lost * (1 - share)
            assert losses[lost] / count == pytest.approx(expected, abs=4 * (expected / count) ** 0.5)

    lossy_world([NEVER_LOST, *(number for _ in range(count) for number in (uniform(), ACK))]).run(work)


# Opening


@pytest.mark.parametrize(("until", "left_at"), [(0.5, 1), (4.5, 5), (5.5, 7), (12.0, 19), (30.0, 35)])
@pytest.mark.parametrize("partition", [False, True])
def test_a_SYN_is_sent_again_until_it_gets_through(partition: bool, until: float, left_at: float) -> None:
    async def work(world: World) -> None:
        if partition:
            world.path.lose(0.0, until)
        else:
            world.path.unreachable_until = until
        client, server = await world.pair()
        assert client.events == [(left_at + 2 * D, "made")]
        assert server.events == [(left_at + D, "made")]

    World(latency=D).run(work)


def test_connecting_fails_131_seconds_after_the_first_SYN() -> None:
    async def work(world: World) -> None:
        await world.listen()
        world.path.unreachable_until = SYN_TIMES[-1] + 1
        with pytest.raises(TimeoutError):
            await world.connect()
        assert world.now == near(131.0)

    World(latency=D).run(work)


def test_a_client_that_gave_up_sends_no_more_SYNs() -> None:
    async def work(world: World) -> None:
        listening = await world.listen()
        world.path.unreachable_until = 2.5
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.2):
                await world.connect()
        await asyncio.sleep(10)
        assert listening.accepted == []
        assert not list(world.internet.connections())

    World(latency=D).run(work)


def test_an_unreachable_server_answers_a_SYN_sent_before() -> None:
    async def work(world: World) -> None:
        await world.listen()
        connecting = asyncio.create_task(world.connect())
        await asyncio.sleep(0.01)
        world.path.unreachable_until = 5.0
        client = await connecting
        assert client.events == [(2 * D, "made")]

    World(latency=D).run(work)


def test_a_lost_answer_to_a_SYN_is_sent_again_and_makes_the_client_patient() -> None:
    """Its sample counts from the SYN, so it is 1.08 s; the server's is a round trip."""

    async def work(world: World) -> None:
        listening = await world.listen()
        lose(world, 0.5)
        client = await world.connect()
        assert client.events == [(1 + 2 * D, "made")]
        start = world.now
        client.transport.write(b"x")
        listening.accepted[0].transport.write(b"y")
        await asyncio.sleep(20)
        probe = 2 * 1.08 + 0.2
        assert bytes_of(listening.accepted[0]) == [(near(start + probe + D), b"x")]
        assert bytes_of(client) == [(near(start + RTO + D), b"y")]

    lossy_world([NEVER_LOST, 0.3, ACK], [0.3, 0.3, ACK]).run(work)


def test_a_lost_refusal_is_sent_again() -> None:
    async def work(world: World) -> None:
        lose(world, 0.5)
        with pytest.raises(ConnectionRefusedError):
            await world.connect()
        assert world.now == near(2 + 2 * D)

    lossy_world([0.9], [0.2]).run(work)


def test_the_handshake_of_TLS_is_data() -> None:
    async def work(world: World) -> None:
        await world.listen()
        lose(world, 0.5)
        client = await world.connect()
        assert client.events == [(near(2 * D + RTO + 2 * D + RTO), "made")]

    lossy_world([0.9, 0.3, ACK], [0.9, 0.3, ACK], tls=True).run(work)


def test_a_reset_without_an_estimate_is_sent_again_after_a_second() -> None:
    async def work(world: World) -> None:
        await world.listen()
        connecting = asyncio.create_task(world.connect())
        await asyncio.sleep(0.01)
        world.path.lose(0.0, 0.5)
        world.connection.reset()
        with pytest.raises(ConnectionResetError):
            await connecting
        assert world.now == near(0.01 + 1 + D)

    lossy_world().run(work)


# Slow start


@pytest.mark.parametrize(
    ("segments", "rounds"), [(1, 0), (10, 0), (11, 1), (30, 1), (31, 2), (70, 2), (71, 3), (667, 6)]
)
def test_the_window_doubles_each_round_trip(segments: int, rounds: int) -> None:
    async def work(world: World) -> None:
        client, server = await world.pair()
        client.transport.write(b"x" * (segments * SEGMENT))
        await asyncio.sleep(5)
        arrivals = [(at, len(data) // SEGMENT) for at, data in bytes_of(server)]
        assert arrivals[-1][0] == near(2 * D + rounds * 2 * D + D)
        assert [count for _, count in arrivals[:-1]] == [10 * 2**number for number in range(rounds)]

    World(latency=D).run(work)


def test_with_loss_the_window_is_the_same() -> None:
    async def work(world: World) -> None:
        client, server = await world.pair()
        client.transport.write(b"x" * 10 * SEGMENT)
        client.transport.write(b"y" * 21 * SEGMENT)
        await asyncio.sleep(5)
        assert [(at, len(data) // SEGMENT) for at, data in bytes_of(server)] == [
            (near(3 * D), 10), (near(3 * D + 2 * D), 20), (near(3 * D + 4 * D), 1),
        ]  # fmt: skip

    lossy_world().run(work)


def test_a_burst_begins_when_all_is_acknowledged() -> None:
    async def work(world: World) -> None:
        client, server = await world.pair()
        client.transport.write(b"x" * 10 * SEGMENT)
        await asyncio.sleep(D)
        client.transport.write(b"y")  # The eleventh segment of this burst.
        await asyncio.sleep(1)
        client.transport.write(b"z" * 10 * SEGMENT)
        await asyncio.sleep(1)
        assert [at for at, _ in bytes_of(server)] == [
            near(3 * D), near(3 * D + 2 * D), near(1 + 4 * D),
        ]  # fmt: skip

    World(latency=D).run(work)


def test_a_narrow_line_carries_what_the_window_lets_leave() -> None:
    """Ten segments fill the line for a second, so the eleventh leaves right behind them."""

    async def work(world: World) -> None:
        client, server = await world.pair()
        world.path.add_impairment(Impairment(bandwidth=10.0 * SEGMENT))
        client.transport.write(b"x" * 11 * SEGMENT)
        await asyncio.sleep(5)
        assert [at for at, _ in bytes_of(server)] == [near(2 * D + 1.0 + D), near(2 * D + 1.1 + D)]

    World(latency=D).run(work)
