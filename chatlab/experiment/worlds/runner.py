"""Run a scenario in one of the worlds."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from chatlab.errors import SettingsError
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.model_world import ProgressCallback, run_model
from chatlab.sim.as_written.settings import AsWritten
from chatlab.text import unknown_name

SAMPLE = 50
"""Number of people whose steps are recorded by default."""


class RunOptions(Struct, frozen=True):
    """How to run a scenario: people to record, speed of the live clock, progress callback, short cuts."""

    sample: int
    time_scale: float
    watch: ProgressCallback | None
    fast: bool


World = Callable[[Scenario, RunOptions], Run]
"""Runs a scenario with these options."""


def run(
    scenario: Scenario,
    world: str = "model",
    *,
    sample: int = SAMPLE,
    time_scale: float = 1.0,
    watch: ProgressCallback | None = None,
    fast: bool = True,
) -> Run:
    """Run a scenario in a world, and record the steps of the first `sample` people.

    The live world takes `duration / time_scale` seconds; the others don't wait. The model world calls `watch`
    a thousand times with the seconds of the scenario that have passed. An exception of `watch` ends the run.
    With `fast=False` it takes no short cuts: large crowds take longer, with the same figures.

    Errors: `SettingsError` when there is no such world, or it can't run this scenario.
    """
    if world not in WORLDS:
        raise SettingsError(f"world: {unknown_name(world, WORLDS)}")
    transports = [scenario.transport, *(group.transport for group in scenario.people.groups)]
    for transport in transports:
        if isinstance(transport, AsWritten) and world != "model":
            transport.config()  # It raises the error that names the replacement.
    return WORLDS[world](scenario, RunOptions(sample, time_scale, watch, fast))


def _run_model(scenario: Scenario, options: RunOptions) -> Run:
    return run_model(scenario, options.sample, options.watch, fast=options.fast)


def _run_wire(scenario: Scenario, options: RunOptions) -> Run:
    from chatlab.experiment.worlds.wire_world import run_wire  # Importing the real stacks takes long.

    return run_wire(scenario, options.sample)


def _run_live(scenario: Scenario, options: RunOptions) -> Run:
    from chatlab.experiment.worlds.live_world import run_live

    return run_live(scenario, options.sample, options.time_scale)


WORLDS: dict[str, World] = {"model": _run_model, "wire": _run_wire, "live": _run_live}
"""The worlds by name."""
