"""The scaled loop: order of timers, time of a busy loop, lateness."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest

from chatlab.experiment.worlds import scaled_loop
from chatlab.experiment.worlds.scaled_loop import LoopbackProbe, ScaledLoop


@pytest.fixture
def loop() -> Iterator[ScaledLoop]:
    loop = ScaledLoop(50.0)
    yield loop
    loop.close()


def play(loop: ScaledLoop, scene: Callable[[], Awaitable[object]]) -> None:
    async def begin() -> None:
        loop.begin()
        await scene()

    loop.run_until_complete(begin())


def test_a_loop_scales_its_timers_and_stands_until_it_begins(loop: ScaledLoop) -> None:
    early: list[float] = []

    async def sleep() -> None:
        loop.call_later(1.0, lambda: early.append(loop.time()))
        due_now = loop.create_future()
        loop.call_later(0.0, due_now.set_result, None)
        await due_now
        early.append(loop.time())
        await loop.run_in_executor(None, time.sleep, 0.03)
        assert early == [0.0]
        loop.begin()
        loop.begin()
        await asyncio.sleep(5.0)

    began_at = time.monotonic()
    loop.run_until_complete(sleep())
    assert time.monotonic() - began_at >= 0.1
    assert early == [0.0, 1.0]
    assert (loop.time(), loop.lateness) == (5.0, 0.0)


def test_time_of_a_busy_loop_does_not_count(loop: ScaledLoop) -> None:
    async def dawdle() -> None:
        await asyncio.sleep(0.1)
        time.sleep(0.05)  # noqa: ASYNC251 - 2.5 s of the loop's
        await asyncio.sleep(0)
        assert loop.time() == 0.1
        await loop.run_in_executor(None, time.sleep, 0.01)
        assert loop.time() == 0.1

    play(loop, dawdle)


def test_effects_of_a_timer_precede_the_next_timer(loop: ScaledLoop) -> None:
    log: list[object] = []

    async def scene() -> None:
        near, far = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=near)
        _, other = await asyncio.open_connection(sock=far)

        async def read() -> None:
            while data := await reader.read(10):
                log.append(data)

        task = loop.create_task(read())
        for number in range(9):
            loop.call_at(0.5, log.append, number)
            if number % 4 == 0:
                loop.call_at(0.5, other.write, b"after %d" % number)
        loop.call_at(0.2, log.append, "first")
        await asyncio.sleep(1.0)
        other.close()
        await task
        writer.close()

    play(loop, scene)
    assert log == ["first", 0, b"after 0", 1, 2, 3, 4, b"after 4", 5, 6, 7, 8, b"after 8"]


def test_cancelled_and_past_timers_take_no_time(loop: ScaledLoop) -> None:
    fired: list[str] = []

    async def scene() -> None:
        loop.call_later(1.0, fired.append, "cancelled").cancel()
        past = loop.create_future()
        loop.call_at(-3.0, past.set_result, None)
        loop.call_at(float("inf"), fired.append, "never")
        await past
        await loop.run_in_executor(None, time.sleep, 0.03)
        assert (loop.time(), fired) == (0.0, [])

    play(loop, scene)


def test_a_long_wait_is_split(loop: ScaledLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaled_loop, "MAX_WAIT", 0.01)
    began_at = time.monotonic()
    play(loop, lambda: asyncio.sleep(2.0))
    assert time.monotonic() - began_at >= 0.04
    assert loop.time() == 2.0


def test_a_loop_is_as_late_as_a_byte_on_loopback(loop: ScaledLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    send = LoopbackProbe.send
    monkeypatch.setattr(LoopbackProbe, "send", lambda probe, now: setattr(probe, "_sent_at", 0.25))

    async def scene() -> None:
        await asyncio.sleep(0.25)
        await asyncio.sleep(0.5)
        assert loop.lateness == 0.5  # The byte hasn't come.
        loop._probe._sent_at = None
        send(loop._probe, 0.25)
        monkeypatch.setattr(LoopbackProbe, "send", send)
        await asyncio.sleep(0.25)
        assert loop.time() == 1.0
        assert loop.lateness == 0.5

    play(loop, scene)


def test_a_spinning_loop_advances_and_is_late(loop: ScaledLoop) -> None:
    fired: list[float] = []

    async def spin() -> None:
        loop.call_later(0.2, lambda: fired.append(loop.time()))
        loop.call_later(0.5, lambda: fired.append(loop.time()))
        while len(fired) < 2:  # noqa: ASYNC110 - on purpose
            await asyncio.sleep(0)
        assert fired == pytest.approx([0.2, 0.5])
        assert loop.lateness >= 0.5

    play(loop, spin)
