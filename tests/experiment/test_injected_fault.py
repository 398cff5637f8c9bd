"""A fault that is ended before its time."""

from __future__ import annotations

import asyncio

import pytest

from chatlab.experiment.fault_proxy import FaultProxy
from chatlab.experiment.injected_fault import STEPS_TO_END
from chatlab.sim.fault_context import FaultContext
from chatlab.sim.faults import Fault, HighLatency, Injection

URL = "http://127.0.0.1:9"


class Ending(Fault, frozen=True, kw_only=True, tag="ending"):
    """A fault that takes `steps` steps after it is ended (None: any number), and then undoes its change."""

    steps: int | None = 0

    def inject(self, context: FaultContext) -> Injection:
        path, taken = context.hit[0].path, 0
        path.refusing += 1
        try:
            while not (yield 3600.0) or self.steps is None or taken < self.steps:
                taken += 1
        finally:
            path.refusing -= 1


@pytest.mark.parametrize("steps", [0, 3, STEPS_TO_END - 1])
async def test_a_fault_that_is_ended_takes_its_last_steps_at_once(steps: int) -> None:
    async with FaultProxy(URL) as proxy:
        injected = proxy.inject(Ending(at=0.0, steps=steps))
        assert proxy.path.refusing == 1
        injected.end()
        assert proxy.path.refusing == 0
        assert not injected.under_way


async def test_a_fault_that_never_ends_is_ended_with_an_error() -> None:
    async with FaultProxy(URL) as proxy:
        injected = proxy.inject(Ending(at=0.0, steps=None))
        with pytest.raises(RuntimeError, match=r"Ending\.inject: it goes on after its end"):
            injected.end()
        assert injected.ended_at == pytest.approx(asyncio.get_running_loop().time(), abs=1.0)
        assert proxy.path.refusing == 0
        injected.end()  # Nothing is left of it.


async def test_a_fault_that_never_ends_keeps_no_other_fault_and_no_port() -> None:
    proxy = FaultProxy(URL)
    await proxy.accept()
    proxy.inject(Ending(at=0.0, steps=None))
    later = proxy.inject(HighLatency(at=0.0, duration=60.0))
    with pytest.raises(RuntimeError, match="goes on after its end"):
        await proxy.close()
    assert later.ended_at is not None
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(proxy.host, proxy.port)
