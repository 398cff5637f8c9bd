"""The background thread: one for all, started when needed, gone with the interpreter."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from chatlab.live.portal import background_loop, background_portal


def test_all_threads_get_the_same_portal_and_loop() -> None:
    with ThreadPoolExecutor(8) as pool:
        portals = list(pool.map(lambda _: background_portal(), range(64)))
        loops = list(pool.map(lambda _: background_loop(), range(64)))
    assert len(set(map(id, portals))) == len(set(map(id, loops))) == 1
    assert sum(thread.name == "chatlab" for thread in threading.enumerate()) == 1


async def test_work_runs_on_its_loop_in_its_thread() -> None:
    async def where() -> tuple[asyncio.AbstractEventLoop, str]:
        return asyncio.get_running_loop(), threading.current_thread().name

    loop, name = await asyncio.to_thread(background_portal().call, where)
    assert loop is background_loop()
    assert loop is not asyncio.get_running_loop()
    assert name == "chatlab"


def test_importing_starts_nothing_and_the_interpreter_ends_in_silence() -> None:
    code = (
        "import asyncio, threading, chatlab.live.portal as p\n"
        "assert threading.active_count() == 1\n"
        "p.background_portal().start_task_soon(asyncio.sleep, 0)\n"
        "assert threading.active_count() == 2\n"
    )
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
