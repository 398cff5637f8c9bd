"""The inbox: events from any thread, in order, to readers on any loop; bounded; and its end."""

from __future__ import annotations

import asyncio
import threading

import pytest

from chatlab.live.client.inbox import Inbox
from chatlab.messages import ChatEvent
from tests.live.watch import PATIENCE, until


def event(number: int) -> ChatEvent:
    return ChatEvent("x", payload=number)


async def payload(inbox: Inbox) -> int:
    got = await asyncio.wait_for(inbox.get(), PATIENCE)
    assert got is not None
    return int(got.payload)


def waiting(inbox: Inbox) -> int:
    return len(inbox._readers)


async def test_events_come_in_order() -> None:
    inbox = Inbox()
    for number in range(3):
        inbox.put(event(number))
    assert [await payload(inbox) for _ in range(3)] == [0, 1, 2]


async def test_a_reader_waits_for_another_thread() -> None:
    inbox = Inbox()
    reader = asyncio.create_task(payload(inbox))
    await until(lambda: waiting(inbox))
    thread = threading.Thread(target=inbox.put, args=(event(5),))
    thread.start()
    assert await reader == 5
    thread.join()


async def test_beyond_the_capacity_the_oldest_go_and_are_counted() -> None:
    inbox = Inbox(capacity=10)
    for number in range(25):
        inbox.put(event(number))
    overrun = await inbox.get()
    assert overrun == ChatEvent("overrun", reason="15 events were not read in time", payload=15)
    assert [await payload(inbox) for _ in range(10)] == list(range(15, 25))
    inbox.put(event(25))
    assert await payload(inbox) == 25


async def test_a_closed_inbox_is_read_to_its_end_and_may_open_again() -> None:
    inbox = Inbox()
    inbox.put(event(1))
    inbox.set_open(False)
    assert await payload(inbox) == 1
    assert await inbox.get() is None
    assert await inbox.get() is None
    inbox.set_open(True)
    reader = asyncio.create_task(payload(inbox))
    await until(lambda: waiting(inbox))
    inbox.put(event(2))
    assert await reader == 2


async def test_the_end_wakes_all_readers() -> None:
    inbox = Inbox()
    readers = [asyncio.create_task(inbox.get()) for _ in range(3)]
    await until(lambda: waiting(inbox) == 3)
    inbox.set_open(False)
    assert await asyncio.wait_for(asyncio.gather(*readers), PATIENCE) == [None] * 3


async def test_a_cancelled_reader_takes_nothing_with_it() -> None:
    inbox = Inbox()
    readers = [asyncio.create_task(payload(inbox)) for _ in range(2)]
    await until(lambda: waiting(inbox) == 2)
    readers[0].cancel()
    inbox.put(event(1))
    assert await readers[1] == 1
    with pytest.raises(asyncio.CancelledError):
        await readers[0]
    assert waiting(inbox) == 0


async def test_a_reader_that_is_cancelled_when_already_woken_passes_it_on() -> None:
    inbox = Inbox()
    readers = [asyncio.create_task(inbox.get()) for _ in range(2)]
    await until(lambda: waiting(inbox) == 2)
    inbox.put(event(1))  # Wakes the first reader, which runs in the next turn of the loop.
    readers[0].cancel()
    assert await asyncio.wait_for(readers[1], PATIENCE) == event(1)
    assert readers[0].cancelled()


def test_a_reader_whose_loop_has_closed_does_not_swallow_the_wake_of_another() -> None:
    inbox = Inbox()
    dead = asyncio.new_event_loop()
    abandoned = dead.create_task(inbox.get())
    dead.run_until_complete(asyncio.sleep(0))
    dead.close()

    async def read() -> int:
        task = asyncio.create_task(payload(inbox))
        await until(lambda: waiting(inbox) == 2)
        inbox.put(event(1))
        return await task

    assert asyncio.run(read()) == 1
    abandoned._log_destroy_pending = False  # type: ignore[attr-defined]  # that it was left behind is the point
    abandoned.get_coro().close()


def test_many_threads_and_loops_share_it_and_each_event_comes_once() -> None:
    inbox, each, writers, readers = Inbox(capacity=100_000), 2000, 4, 4
    got: list[list[int]] = [[] for _ in range(readers)]

    def write(writer: int) -> None:
        for number in range(each):
            inbox.put(event(writer * each + number))

    async def read(mine: list[int]) -> None:
        while (next_ := await inbox.get()) is not None:
            mine.append(next_.payload)

    threads = [threading.Thread(target=lambda mine=mine: asyncio.run(read(mine))) for mine in got]
    sources = [threading.Thread(target=write, args=(writer,)) for writer in range(writers)]
    for thread in (*threads, *sources):
        thread.start()
    for thread in sources:
        thread.join(PATIENCE)
    inbox.set_open(False)
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert sorted(number for mine in got for number in mine) == list(range(writers * each))
    for mine in got:
        for writer in range(writers):
            own = [number for number in mine if number // each == writer]
            assert own == sorted(own)
