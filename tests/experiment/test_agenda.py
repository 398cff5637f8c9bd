"""An agenda keeps the order of what is due at once, and lets faults happen in their time."""

from __future__ import annotations

import asyncio

from chatlab.experiment.agenda import Agenda
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


async def test_a_closed_agenda_calls_nobody() -> None:
    loop = asyncio.get_running_loop()
    agenda, calls, done = Agenda(loop), list[str](), loop.create_future()
    agenda.call_later(0.0, calls.append, "late")
    agenda.close()
    agenda.close()
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
