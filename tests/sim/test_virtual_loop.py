"""Real asyncio code on simulated time."""

from __future__ import annotations

import asyncio
import contextvars
import selectors
import socket
import threading
from collections.abc import Coroutine, Generator, Iterator
from contextlib import contextmanager
from math import inf
from typing import Any, TypeVar

import pytest

from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.virtual_loop import Deadlock, VirtualLoop, VirtualSelector

T = TypeVar("T")


def run(
    work: Coroutine[Any, Any, T], environment: LadderEnvironment | None = None, *, debug: bool = False
) -> T:
    """Run a coroutine on a loop of its own."""
    environment = environment or LadderEnvironment()
    with asyncio.Runner(debug=debug, loop_factory=lambda: VirtualLoop(environment)) as runner:
        return runner.run(work)


def now() -> float:
    return asyncio.get_running_loop().time()


@contextmanager
def closing_loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop(LadderEnvironment())
    try:
        yield loop
    finally:
        loop.close()


# Time


async def test_A_day_passes_at_once_and_exactly() -> None:
    """On the test's own loop too, since the virtual one has a thread of its own here."""

    async def sleep() -> list[float]:
        times = []
        for _ in range(24):
            await asyncio.sleep(3600)
            times.append(now())
        return times

    assert await asyncio.to_thread(run, sleep()) == [3600.0 * hour for hour in range(1, 25)]


def test_time_goes_on_if_a_float_has_no_nanoseconds_left() -> None:
    async def sleep() -> float:
        await asyncio.sleep(1e10)
        await asyncio.sleep(0.5)
        return now()

    assert run(sleep()) == 1e10 + 0.5


def test_the_environments_processes_and_the_loops_tasks_share_one_clock() -> None:
    environment, seen = LadderEnvironment(), list[tuple[str, float]]()

    def process() -> Generator[Any, Any, None]:
        for _ in range(3):
            yield environment.timeout(2)
            seen.append(("process", environment.now))

    async def task() -> None:
        environment.process(process())
        for _ in range(3):
            await asyncio.sleep(3)
            seen.append(("task", now()))

    run(task(), environment)
    assert seen == [
        ("process", 2), ("task", 3), ("process", 4), ("task", 6), ("process", 6), ("task", 9),
    ]  # fmt: skip


def test_at_equal_times_the_order_is_that_of_scheduling() -> None:
    """asyncio's own heap of timers keeps no such order; 40 equal ones come out of it shuffled."""

    async def schedule() -> list[int]:
        loop, order = asyncio.get_running_loop(), list[int]()
        for number in range(40):
            loop.call_at(5.0, order.append, number)
        await asyncio.sleep(6.0)
        return order

    assert run(schedule()) == list(range(40))


def test_callbacks_made_ready_by_a_step_run_before_time_goes_on() -> None:
    environment = LadderEnvironment()

    async def wait() -> float:
        future = asyncio.get_running_loop().create_future()
        environment.call_at(1.0, future.set_result, None)
        environment.call_at(1.0 + 1e-9, lambda: None)
        await future
        return now()

    assert run(wait(), environment) == 1.0


def test_a_time_that_has_passed_is_now_and_the_infinite_one_never() -> None:
    async def schedule() -> list[float]:
        loop, times = asyncio.get_running_loop(), list[float]()
        await asyncio.sleep(1.0)
        loop.call_at(0.5, lambda: times.append(now()))
        loop.call_at(inf, lambda: times.append(inf))
        await asyncio.sleep(10.0)
        return times

    assert run(schedule()) == [1.0]


def test_a_timer_can_be_cancelled_until_it_is_due() -> None:
    async def schedule() -> list[str]:
        loop, calls = asyncio.get_running_loop(), list[str]()
        early = loop.call_later(1.0, calls.append, "early")
        loop.call_at(2.0, lambda: due.cancel())
        due: asyncio.TimerHandle = loop.call_at(2.0, calls.append, "due")
        done = loop.call_at(2.0, calls.append, "done")
        loop.call_at(2.0, done.cancel)
        early.cancel()
        assert early.cancelled()
        assert done.when() == 2.0
        await asyncio.sleep(3.0)
        return calls

    assert run(schedule()) == ["done"]


def test_a_timer_keeps_its_context() -> None:
    name = contextvars.ContextVar("name", default="none")

    async def schedule() -> list[str]:
        loop, seen = asyncio.get_running_loop(), list[str]()
        name.set("mine")
        loop.call_later(1.0, lambda: seen.append(name.get()))
        name.set("later")
        given = contextvars.Context()
        loop.call_later(1.0, lambda: seen.append(name.get()), context=given)
        await asyncio.sleep(2.0)
        return seen

    assert run(schedule()) == ["mine", "none"]


def test_time_outs_are_asyncios_own() -> None:
    async def wait() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30.0):
                await asyncio.Event().wait()
        return now()

    assert run(wait()) == 30.0
    assert run(wait(), debug=True) == 30.0


def test_a_loop_that_would_wait_for_ever_says_so() -> None:
    async def wait() -> None:
        await asyncio.sleep(5.0)
        await asyncio.Event().wait()

    with pytest.raises(Deadlock, match="at 5 s every task waits"):
        run(wait())


def test_nothing_happens_while_something_else_is_ready() -> None:
    """`sleep(0)` takes a round of the loop and no time."""

    async def spin() -> float:
        for _ in range(1000):
            await asyncio.sleep(0)
        return now()

    assert run(spin()) == 0.0


# Threads


def test_an_executors_work_is_done_at_once_in_the_same_thread() -> None:
    async def work() -> tuple[int, float]:
        return await asyncio.to_thread(threading.get_ident), now()

    assert run(work()) == (threading.get_ident(), 0.0)


def test_an_executors_work_may_fail() -> None:
    async def work() -> None:
        await asyncio.get_running_loop().run_in_executor(None, int, "x")

    with pytest.raises(ValueError, match="invalid literal"):
        run(work())


def test_another_threads_call_is_done() -> None:
    """The simulation steps on and on, until the call comes."""
    environment = LadderEnvironment()

    async def wait() -> bool:
        loop, called = asyncio.get_running_loop(), asyncio.Event()
        thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(called.set))
        thread.start()
        while not called.is_set():  # noqa: ASYNC110  # else everything would wait
            await asyncio.sleep(1.0)
        thread.join()
        return True

    assert run(wait(), environment)


def test_a_threadsafe_call_of_the_loops_own_thread_is_in_order_too() -> None:
    async def call() -> list[int]:
        loop, order = asyncio.get_running_loop(), list[int]()
        loop.call_soon(order.append, 1)
        loop.call_soon_threadsafe(order.append, 2)
        loop.call_soon(order.append, 3)
        await asyncio.sleep(1.0)
        return order

    assert run(call()) == [1, 2, 3]


# Names and connections


def test_a_name_is_an_address() -> None:
    async def ask() -> list[Any]:
        loop = asyncio.get_running_loop()
        return [
            await loop.getaddrinfo("example.org", 80),
            await loop.getaddrinfo(b"example.org", "80"),
            await loop.getaddrinfo(None, None),
        ]

    named, bytes_named, nameless = run(ask())
    assert named == bytes_named == [
        (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("example.org", 80))
    ]  # fmt: skip
    assert nameless[0][4] == ("127.0.0.1", 0)


def test_without_an_internet_there_are_no_connections() -> None:
    async def connect() -> None:
        await asyncio.open_connection("127.0.0.1", 80)

    async def serve() -> None:
        await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 80)

    for work in (connect(), serve()):
        with pytest.raises(OSError, match="no network"):
            run(work)


def test_TLS_is_not_implemented() -> None:
    async def connect() -> None:
        await asyncio.open_connection("127.0.0.1", 443, ssl=True)

    with pytest.raises(NotImplementedError):
        run(connect())


# The selector


def test_the_selector_lets_a_given_time_pass() -> None:
    environment = LadderEnvironment()
    selector = VirtualSelector(environment)
    assert selector.select(2.5) == []
    assert environment.now == 2.5
    assert selector.select(0) == []
    assert environment.now == 2.5
    environment.call_at(3.0, selector.wake)
    selector.select(10.0)
    assert environment.now == 3.0
    with pytest.raises(Deadlock):
        selector.select()


def test_the_selector_keeps_files_for_which_nothing_happens() -> None:
    selector = VirtualSelector(LadderEnvironment())
    with socket.socket() as own:
        key = selector.register(own, selectors.EVENT_READ, "data")
        assert selector.get_key(own.fileno()) == key
        assert key.data == "data"
        with pytest.raises(KeyError):
            selector.register(own.fileno(), selectors.EVENT_READ)
        assert selector.unregister(own) == key
        with pytest.raises(KeyError):
            selector.unregister(own)
        selector.register(own, selectors.EVENT_READ)
    selector.close()
    assert not selector.get_map()


def test_a_loop_leaves_no_file_open() -> None:
    """Unclosed ones would be warnings, and so errors."""
    with closing_loop() as loop:
        assert loop.run_until_complete(asyncio.sleep(1.0, "done")) == "done"
        loop.remove_reader(1 << 30)
