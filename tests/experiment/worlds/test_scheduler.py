"""The scheduler keeps the order of equal times, and resumes faults after their waits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from chatlab.experiment.worlds.scheduler import LoopScheduler
from chatlab.sim.faults import Injection


async def test_calls_of_equal_times_keep_their_order() -> None:
    loop = asyncio.get_running_loop()
    scheduler, calls, done = LoopScheduler(loop), list[str](), loop.create_future()
    at = scheduler.now + 0.01
    scheduler.call_at(at + 0.005, done.set_result, None)
    for name in "abcdef":
        scheduler.call_at(at, calls.append, name)
    scheduler.call_at(at - 0.005, calls.append, "first")
    scheduler.call_at(at, scheduler.call_at, at, calls.append, "from within")
    await done
    assert calls == ["first", *"abcdef", "from within"]


class HeldUp(asyncio.SelectorEventLoop):
    """A loop whose time is set by hand, so it can be late by as much as a test wants."""

    at = 0.0

    def time(self) -> float:
        return self.at

    def turn(self) -> None:
        """Run what is ready and due by now, and what that leads to at once."""
        for _ in range(9):
            self.call_soon(self.stop)
            self.run_forever()


@given(
    st.lists(st.tuples(st.integers(0, 9), st.lists(st.integers(-9, 9), max_size=3)), min_size=1, max_size=6),
    st.lists(st.integers(1, 12), max_size=4),
)
def test_a_late_loop_loses_no_entry_and_calls_none_early(
    entries: list[tuple[int, list[int]]], turns_at: list[int]
) -> None:
    loop = HeldUp()
    scheduler, due, called = LoopScheduler(loop), list[int](), list[tuple[int, float]]()

    def enter(time: int, entered: Sequence[int]) -> None:
        due.append(time)
        scheduler.call_at(time, call, time, entered)

    def call(time: int, entered: Sequence[int]) -> None:
        called.append((time, loop.at))
        for delay in entered:
            enter(time + delay, ())

    for entry in entries:
        enter(*entry)
    for loop.at in [*sorted(turns_at), 99]:  # the loop's clock
        loop.turn()
    loop.close()
    assert sorted(time for time, _ in called) == sorted(due)
    assert all(time <= at for time, at in called)


async def test_a_closed_scheduler_calls_nothing() -> None:
    loop = asyncio.get_running_loop()
    scheduler, calls, done = LoopScheduler(loop), list[str](), loop.create_future()
    scheduler.call_later(0.0, calls.append, "late")
    scheduler.close()
    scheduler.close()
    scheduler.call_later(0.0, calls.append, "later still")
    loop.call_later(0.01, done.set_result, None)
    await done
    assert calls == []


async def test_a_fault_runs_at_once_up_to_its_first_wait() -> None:
    loop = asyncio.get_running_loop()
    scheduler, calls, done = LoopScheduler(loop), list[str](), loop.create_future()

    def happening() -> Injection:
        calls.append("begins")
        yield 0.005
        calls.append("ends")
        done.set_result(None)

    scheduler.inject(happening())
    assert calls == ["begins"]
    await done
    assert calls == ["begins", "ends"]
