"""Threads for code that may block: one for each piece of work under way, and none keeps the program from
ending."""

from __future__ import annotations

import logging
import threading

import pytest

from chatlab.live.workers import Workers
from tests.live.watch import PATIENCE, until
from tests.processes import interpreted


async def test_work_that_blocks_delays_no_other() -> None:
    workers = Workers()
    gate = threading.Event()
    blocked = [workers.call(lambda: gate.wait(PATIENCE)) for _ in range(5)]
    assert workers.call(lambda: "done").result(PATIENCE) == "done"
    gate.set()
    assert [work.result(PATIENCE) for work in blocked] == [True] * 5


async def test_a_thread_is_used_again_and_ends_when_idle() -> None:
    workers = Workers(idle=0.01)
    first = workers.call(threading.current_thread).result(PATIENCE)
    await until(lambda: not first.is_alive())
    workers = Workers()
    first = workers.call(threading.current_thread).result(PATIENCE)
    await until(lambda: len(workers._idle) == 1)
    assert workers.call(threading.current_thread).result(PATIENCE) is first


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration])
async def test_exceptions_are_returned_or_logged_and_the_thread_goes_on(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise error("out of order")

    workers = Workers()
    with pytest.raises(error):
        workers.call(fail).result(PATIENCE)
    workers.run(fail)
    await until(lambda: caplog.records)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert workers.call(lambda: "still there").result(PATIENCE) == "still there"


def test_a_thread_that_hangs_does_not_keep_the_interpreter() -> None:
    code = (
        "import threading\n"
        "from chatlab.live.workers import workers\n"
        "begun = threading.Event()\n"
        "workers.run(lambda: (begun.set(), threading.Event().wait()))\n"
        "begun.wait()\n"
    )
    assert interpreted(code) == (0, "", "")
