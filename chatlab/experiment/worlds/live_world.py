"""The live world: real transports talk to the real server over loopback, each through a fault proxy.

Everything runs on one event loop in a thread of its own. The loop's clock advances only while the loop
waits, and may run faster than the wall clock (`scaled_loop.py`). So all time-outs and pauses shrink alike,
those of the libraries too, and no number is converted. The proxies are in `proxied_lines.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from anyio import CancelScope
from anyio.from_thread import start_blocking_portal
from msgspec import structs

from chatlab.errors import SettingsError
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.httpcore_clock import httpcore_uses_loop_time
from chatlab.experiment.worlds.open_files import raise_open_file_limit
from chatlab.experiment.worlds.proxied_lines import ProxiedLines
from chatlab.experiment.worlds.scaled_loop import ScaledLoop
from chatlab.experiment.worlds.stack import run_stack
from chatlab.sim.faults import Loss

FILES = 256
"""Open files of the server and of everything else in this process."""
FILES_EACH = 16
"""Open files of one person: the fault proxy's listener, and four for each of a few connections."""

MAX_TIME_SCALE = 1_000
"""Maximum seconds of the loop's clock in one of the wall clock: a millisecond of work then lasts a second."""


def run_live(scenario: Scenario, sample: int, time_scale: float = 1.0) -> Run:
    """Run a scenario on real sockets, from any thread.

    It takes `duration / time_scale` seconds of waiting, plus the time of its work.

    Errors: `SettingsError` if the time scale is out of range, if the world can't run the scenario, or if the
    system allows too few sockets.
    """
    return run_live_together([scenario], sample, time_scale)[0]


def run_live_together(scenarios: Sequence[Scenario], sample: int, time_scale: float = 1.0) -> list[Run]:
    """Run several scenarios at once, each with its own server, as `run_live` does."""
    if not 0 < time_scale <= MAX_TIME_SCALE:
        raise SettingsError(
            f"time_scale: give a number above 0 and up to {MAX_TIME_SCALE:,}, got {time_scale!r}"
        )
    for scenario in scenarios:
        if scenario.people.start != "arriving":
            raise SettingsError(
                f"people.start: real sockets connect within the run, got {scenario.people.start!r}; run it "
                "in the world 'model' or 'wire'"
            )
        where = ["network.loss"] if scenario.network.loss else []
        networks = enumerate(group.network for group in scenario.people.groups)
        where += [f"people.groups[{n}].network.loss" for n, network in networks if network and network.loss]
        where += [f"faults[{n}].loss" for n, fault in enumerate(scenario.faults) if isinstance(fault, Loss)]
        if where:
            raise SettingsError(
                f"{where[0]}: real sockets lose no packets; run it in the world 'model' or 'wire'"
            )
    people = sum(scenario.people.count for scenario in scenarios)
    raise_open_file_limit(FILES + people * FILES_EACH, f"{people:,} people on real sockets")
    with (
        httpcore_uses_loop_time(),
        start_blocking_portal(
            backend_options={"loop_factory": partial(ScaledLoop, time_scale)}, name="chatlab-live"
        ) as portal,
    ):
        runs, lateness = portal.call(_run_all, scenarios, sample)
    return [structs.replace(run, time_scale=time_scale, lateness=lateness) for run in runs]


async def _run_all(scenarios: Sequence[Scenario], sample: int) -> tuple[list[Run], float]:
    """Return the runs, and their loop's lateness in seconds."""
    start = asyncio.Barrier(len(scenarios))
    loop = asyncio.get_running_loop()
    assert isinstance(loop, ScaledLoop)
    tasks = [
        loop.create_task(run_stack("live", scenario, sample, ProxiedLines(start, tls=scenario.network.tls)))
        for scenario in scenarios
    ]
    try:
        return await asyncio.gather(*tasks), loop.lateness
    finally:  # If one fails, the others would wait at the barrier for ever.
        with CancelScope(shield=True):
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
