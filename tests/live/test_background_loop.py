"""The background thread: one for all, started when needed, ended with the interpreter."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from chatlab.live.background_loop import BackgroundThread, background_loop, background_thread
from tests.live.forks import in_a_fork
from tests.processes import interpreted


def test_all_threads_get_the_same_thread_and_loop() -> None:
    with ThreadPoolExecutor(8) as pool:
        threads = list(pool.map(lambda _: background_thread(), range(64)))
        loops = list(pool.map(lambda _: background_loop(), range(64)))
    assert len(set(map(id, threads))) == len(set(map(id, loops))) == 1
    assert sum(thread.name == "chatlab" for thread in threading.enumerate()) == 1


async def test_work_runs_on_its_loop_in_its_thread() -> None:
    async def where() -> tuple[asyncio.AbstractEventLoop, str]:
        return asyncio.get_running_loop(), threading.current_thread().name

    loop, name = await asyncio.to_thread(background_thread().call, where)
    assert loop is background_loop()
    assert loop is not asyncio.get_running_loop()
    assert name == "chatlab"


def test_importing_starts_nothing_and_the_interpreter_ends_silently() -> None:
    code = (
        "import asyncio, threading, chatlab.live.background_loop as p\n"
        "assert threading.active_count() == 1\n"
        "p.background_thread().call(asyncio.sleep, 0)\n"
        "assert threading.active_count() == 2\n"
    )
    assert interpreted(code) == (0, "", "")


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
async def test_A84_an_exception_that_ends_programs_is_logged_and_the_loop_goes_on(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    thread = BackgroundThread()

    def leave() -> None:
        raise error("from a callback")

    thread.loop.call_soon_threadsafe(leave)
    assert await asyncio.to_thread(thread.call, asyncio.sleep, 0, "still there") == "still there"
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "from a callback" in caplog.text
    thread._close()
    assert thread.loop.is_closed()


async def test_A84_a_closed_loop_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatlab.live.background_loop._background", None)
    first = background_thread()
    first._close()
    second = background_thread()
    assert second is not first
    assert await asyncio.to_thread(second.call, asyncio.sleep, 0, "new") == "new"
    second._close()


async def test_a_call_from_the_thread_itself_is_refused() -> None:
    thread = background_thread()

    async def wait_for_itself() -> None:
        thread.call(asyncio.sleep, 0)

    with pytest.raises(RuntimeError, match="call this from another thread"):
        await asyncio.to_thread(thread.call, wait_for_itself)


def test_A85_a_forked_process_has_a_loop_of_its_own() -> None:
    parents = background_loop()

    def look() -> str:
        answer = background_thread().call(asyncio.sleep, 0, "own")
        return str(answer) if background_loop() is not parents else "shared"

    assert in_a_fork(look) == "own"
    assert background_loop() is parents
    assert background_thread().call(asyncio.sleep, 0, "alive") == "alive"
