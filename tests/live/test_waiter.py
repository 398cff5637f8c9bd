"""A waiter: woken from any thread, even if its loop has ended."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from typing import Any

import pytest

from chatlab.live.waiter import Waiter
from tests.live.watch import PATIENCE


async def wait(waiter: Waiter) -> None:
    await waiter.woken


async def test_it_is_woken_on_its_own_thread_and_once_more_does_no_harm() -> None:
    waiter = Waiter()
    task = asyncio.create_task(wait(waiter))
    await asyncio.sleep(0)
    assert not task.done()
    assert waiter.wake()
    assert waiter.wake()
    await asyncio.wait_for(task, PATIENCE)
    await waiter.woken


async def test_it_is_woken_from_another_thread() -> None:
    waiter = Waiter()
    woken: list[bool] = []
    thread = threading.Thread(target=lambda: woken.extend((waiter.wake(), waiter.wake())))
    thread.start()
    await asyncio.wait_for(wait(waiter), PATIENCE)
    thread.join()
    assert woken == [True, True]


async def test_one_that_was_cancelled_may_still_be_woken() -> None:
    waiter = Waiter()
    task = asyncio.create_task(wait(waiter))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()
    assert waiter.wake()


def test_wake_returns_whether_the_loop_still_runs() -> None:
    loop = asyncio.new_event_loop()
    waiters: list[Waiter] = []

    async def make() -> None:
        waiters.append(Waiter())
        await waiters[0].woken

    task = loop.create_task(make())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(waiters[0].wake()))
    thread.start()
    thread.join()
    assert answers == [False]
    thread = threading.Thread(target=lambda: answers.append(waiters[0].wake()))
    thread.start()
    thread.join()
    assert answers == [False, False]
    assert not waiters[0].wake()
    assert not task.done()
    task._log_destroy_pending = False  # type: ignore[attr-defined]


async def test_all_waiters_of_one_turn_wake_the_loop_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    call_soon, calls = loop.call_soon_threadsafe, []

    def noted(*arguments: Any) -> Any:
        calls.append(arguments)
        return call_soon(*arguments)

    monkeypatch.setattr(loop, "call_soon_threadsafe", noted)
    for turn in (1, 2):
        waiters = [Waiter() for _ in range(100)]
        thread = threading.Thread(target=lambda waiters=waiters: [waiter.wake() for waiter in waiters])
        thread.start()
        thread.join()  # Before the loop has its next turn.
        assert not any(waiter.woken.done() for waiter in waiters)
        await asyncio.wait_for(asyncio.gather(*map(wait, waiters)), PATIENCE)
        assert len(calls) == turn


def test_waiters_woken_during_the_loops_call_are_not_lost() -> None:
    """Wake from two threads as fast as possible, so that some wake-ups fall into the call that wakes the
    others."""

    async def wait_for_all() -> None:
        waiters = [Waiter() for _ in range(20_000)]
        threads = [
            threading.Thread(target=lambda part=part: [waiter.wake() for waiter in part])
            for part in (waiters[::2], waiters[1::2])
        ]
        for thread in threads:
            thread.start()
        await asyncio.wait_for(asyncio.gather(*map(wait, waiters)), PATIENCE)
        for thread in threads:
            thread.join()

    asyncio.run(wait_for_all())


def test_a_loop_that_closes_before_the_call_is_not_kept_alive() -> None:
    loop = asyncio.new_event_loop()
    loops = weakref.ref(loop)
    waiters: list[Waiter] = []

    async def make() -> None:
        waiters.append(Waiter())

    loop.run_until_complete(make())
    thread = threading.Thread(target=waiters[0].wake)
    thread.start()
    thread.join()
    loop.close()
    waiters.clear()
    del loop
    gc.collect()
    assert loops() is None
