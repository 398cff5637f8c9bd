"""An agenda keeps the order of what is due at once, and lets faults happen in their time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from chatlab.experiment.worlds.scheduler import Agenda
from chatlab.sim.faults import Happening


async def test_an_agenda_keeps_the_order_of_what_is_due_at_once() -> None:
    loop = asyncio.get_running_loop()
    agenda, calls, done = Agenda(loop), list[str](), loop.create_future()
    at = agenda.now + 0.01
    agenda.call_at(at + 0.005, done.set_result, None)
    for name in "abcdef":
        agenda.call_at(at, calls.append, name)
    agenda.call_at(at - 0.005, calls.append, "first")
    agenda.call_at(at, agenda.call_at, at, calls.append, "from within")
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
def test_no_entry_is_lost_or_early_however_late_the_loop_is(
    entries: list[tuple[int, list[int]]], turns_at: list[int]
) -> None:
    loop = HeldUp()
    agenda, due, called = Agenda(loop), list[int](), list[tuple[int, float]]()

    def enter(time: int, entered: Sequence[int]) -> None:
        due.append(time)
        agenda.call_at(time, call, time, entered)

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


async def test_a_closed_agenda_calls_nobody() -> None:
    loop = asyncio.get_running_loop()
    agenda, calls, done = Agenda(loop), list[str](), loop.create_future()
    agenda.call_later(0.0, calls.append, "late")
    agenda.close()
    agenda.close()
    agenda.call_later(0.0, calls.append, "later still")
    loop.call_later(0.01, done.set_result, None)
    await done
    assert calls == []


async def test_a_fault_happens_at_once_up_to_where_it_waits() -> None:
    loop = asyncio.get_running_loop()
    agenda, calls, done = Agenda(loop), list[str](), loop.create_future()

    def happening() -> Happening:
        calls.append("begins")
        yield 0.005
        calls.append("ends")
        done.set_result(None)

    agenda.let_happen(happening())
    assert calls == ["begins"]
    await done
    assert calls == ["begins", "ends"]
