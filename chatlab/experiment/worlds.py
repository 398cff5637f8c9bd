"""Runs a scenario in one of the worlds."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from chatlab.errors import SettingsError
from chatlab.experiment.ledger import Ledger
from chatlab.experiment.metrics import Crowd, latency_histogram, measure, series
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.sim.model import Model

World = Callable[[Scenario, int], Run]
"""Runs a scenario, and records the steps of so many people."""

SAMPLE = 50
"""So many people's steps are recorded unless more are asked for."""


def run(scenario: Scenario, world: str = "model", *, sample: int = SAMPLE) -> Run:
    """Run a scenario in a world, and record the steps of the first `sample` people.

    Errors: `SettingsError` when there is no such world, or it can't run this scenario.
    """
    if world not in WORLDS:
        raise SettingsError(f"world: there is no {world!r}; choose one of {', '.join(WORLDS)}")
    return WORLDS[world](scenario, sample)


def _run_model(scenario: Scenario, sample: int) -> Run:
    if scenario.transport.dialect != "chatlab":
        raise SettingsError(
            f"transport.dialect: the model's server speaks 'chatlab', got {scenario.transport.dialect!r}"
        )
    ledger = Ledger()
    model = Model(
        scenario.seed,
        scenario.transport.config(),
        scenario.people,
        scenario.network,
        scenario.server,
        scenario.faults,
        ledger,
        sample,
    )
    with _frozen_garbage():
        model.run(scenario.duration)
    people = scenario.people
    crowd = Crowd(
        np.arange(people.count) % people.rooms, np.array([driver.heard_until for driver in model.drivers])
    )
    network = model.network
    windows = sorted((fault.at, fault.end_at) for fault in scenario.faults)
    return Run(
        "model",
        scenario,
        [driver.name for driver in model.drivers[:sample]],
        {
            **measure(ledger, crowd, scenario.duration, windows),
            "requests": network.requests,
            "bytes_up": network.bytes_up,
            "bytes_down": network.bytes_down,
            "queue_max": model.server.queue.longest,
            "work_max": model.server.work.longest,
        },
        series(ledger, scenario.duration),
        latency_histogram(ledger, crowd),
        model.steps,
    )


@contextmanager
def _frozen_garbage() -> Iterator[None]:
    """Spare the garbage collector the walk over what lives as long as the run: up to 15 % of its time."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


WORLDS: dict[str, World] = {"model": _run_model}
"""The worlds by their names."""
