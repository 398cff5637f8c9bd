"""The process pool: a process that dies fails only its own call, and an interrupt ends all at once."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

import pytest

from chatlab.experiment.process_pool import ProcessDied
from chatlab.experiment.sweep import processes

FOREVER = 3600.0
posix = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")


def until_gone(pid: int) -> None:
    """Wait until a process has ended."""
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)


class Odd(Exception):
    """An exception that can be sent, and not be received."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(one)


def be_odd() -> None:
    raise Odd(1, 2)


def refuse_interrupts() -> int:
    os.kill(os.getpid(), signal.SIGINT)
    return os.getpid()


@posix
def test_a_process_that_dies_fails_its_own_call() -> None:
    with processes(2) as pool:
        first, dead = pool.submit(os.getpid), pool.submit(os.abort)
        with pytest.raises(ProcessDied, match=r"process \d+ was killed \(SIGABRT\); is there enough mem"):
            dead.result()
        assert [pool.submit(abs, -n).result() for n in range(4)] == [0, 1, 2, 3]
        os.kill(first.result(), signal.SIGKILL)  # It has nothing to do, so no call fails.
        until_gone(first.result())
        assert [call.result() for call in [pool.submit(abs, -n) for n in range(4)]] == [0, 1, 2, 3]


@posix
def test_an_error_of_a_call_concerns_only_that_call() -> None:
    with processes(1) as pool:
        pid = pool.submit(refuse_interrupts).result()
        with pytest.raises(ZeroDivisionError):
            pool.submit(divmod, 1, 0).result()
        with pytest.raises(SystemExit):
            pool.submit(sys.exit, 3).result()
        with pytest.raises(TypeError, match="two"):
            pool.submit(be_odd).result()
        with pytest.raises(RuntimeError, match="the answer can't be sent: TypeError"):
            pool.submit(threading.Lock).result()
        with pytest.raises(Exception, match="lambda"):
            pool.submit(lambda: None).result()
        assert pool.submit(os.getpid).result() == pid
    with pytest.raises(RuntimeError, match="closed"):
        pool.submit(os.getpid)


def meet() -> int:
    """Keep the process busy, so that another one must take the next call."""
    time.sleep(0.5)
    return os.getpid()


@posix
@pytest.mark.parametrize("cause", [KeyboardInterrupt, ValueError])
def test_an_interrupt_ends_the_processes_at_once(cause: type[BaseException]) -> None:
    running: list[Future[None]] = []

    def interrupt() -> None:
        with processes(2) as pool:
            meeting = [pool.submit(meet) for _ in range(2)]
            pids.update(call.result() for call in meeting)
            running.extend(pool.submit(time.sleep, FOREVER) for _ in range(3))
            while not all(call.running() for call in running[:2]):
                time.sleep(0.01)
            raise cause

    pids: set[int] = set()
    with pytest.raises(cause):
        interrupt()
    wait(running)
    assert len(pids) == 2
    assert [call.cancelled() for call in running] == [False, False, True]
    assert all(isinstance(call.exception(), ProcessDied) for call in running[:2])
    for pid in pids:
        until_gone(pid)


def test_without_a_process_every_call_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatlab.experiment.process_pool._run_worker", sys.exit)
    with processes(1) as pool:
        for call in [pool.submit(abs, 1) for _ in range(2)]:
            with pytest.raises(ProcessDied, match=r"^no process could be started: .*__main__"):
                call.result()


SCRIPT = """
import os, signal, sys, time
from chatlab.experiment import processes
def hang():
    print(os.getpid(), flush=True)
    time.sleep(3600)
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background ignores it
    with processes(2) as pool:
        calls = [pool.submit(hang) for _ in range(2)]
        for call in calls:
            call.result()
"""


@posix
@pytest.mark.proof
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_processes_end_with_the_one_that_started_them(tmp_path: Path, number: signal.Signals) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        pids = [int(process.stdout.readline()) for _ in range(2)]
        try:
            process.send_signal(number)
            for pid in pids:
                until_gone(pid)
            complaints = process.stderr.read()
        finally:
            process.kill()
    assert len(re.findall("Traceback", complaints)) == (number is signal.SIGINT)


NOTEBOOK = """
from chatlab import Scenario, sweep
busy = Scenario.from_toml("duration = 100000\\npeople = {{ count = 60, send_rate = 1.0 }}")
open({!r}, "w").close()
sweep(busy, {{"people.rooms": [1, 2, 3]}}, executor="processes", progress=False)
"""


@posix
@pytest.mark.proof
def test_the_stop_button_of_a_notebook_ends_a_sweep_at_once(tmp_path: Path) -> None:
    from jupyter_client.manager import start_new_kernel

    begun = tmp_path / "begun"
    manager, client = start_new_kernel()

    def run_cell(code: str, *, interrupt: bool = False) -> Any:
        asked = client.execute(code, stop_on_error=False)
        while interrupt and not begun.exists():
            time.sleep(0.1)
        if interrupt:
            time.sleep(4)  # Sooner there may be no process yet.
            manager.interrupt_kernel()
        while True:
            answer = client.get_shell_msg(timeout=60)
            if answer["parent_header"]["msg_id"] == asked:
                return answer["content"]

    try:
        assert run_cell(NOTEBOOK.format(str(begun)), interrupt=True)["ename"] == "KeyboardInterrupt"
        assert run_cell("while __import__('multiprocessing').active_children(): pass")["status"] == "ok"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
