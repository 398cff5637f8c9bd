"""A loop on a clock that may hurry, and that forgets what holds it up."""

from __future__ import annotations

import asyncio
import time

from chatlab.experiment.scaled_loop import ScaledLoop


def test_a_loop_of_scaled_time_hurries_its_timers_and_stands_until_it_begins() -> None:
    loop = ScaledLoop(50.0)
    try:
        assert loop.time() == 0.0

        async def sleep() -> float:
            await asyncio.sleep(0)
            assert loop.time() == 0.0
            loop.begin()
            loop.begin()
            await asyncio.sleep(5.0)
            return loop.time()

        began_at = time.monotonic()
        slept = loop.run_until_complete(sleep())
        assert slept >= 5.0
        assert 0.1 <= time.monotonic() - began_at < 5.0
    finally:
        loop.close()


def test_what_a_loop_is_held_up_by_does_not_count() -> None:
    loop = ScaledLoop(10.0)
    try:

        async def dawdle() -> tuple[float, float]:
            loop.begin()
            await asyncio.sleep(0.1)
            before = loop.time()
            time.sleep(0.2)  # noqa: ASYNC251 - 2 s of the loop's
            await asyncio.sleep(0)
            return before, loop.time()

        before, after = loop.run_until_complete(dawdle())
        assert after - before < 1.0
    finally:
        loop.close()
