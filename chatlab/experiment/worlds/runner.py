"""Runs a scenario in one of the worlds."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from msgspec import Struct

from chatlab.errors import SettingsError
from chatlab.experiment.column_recorder import Ledger
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.results import incidents, outcome
from chatlab.sim.as_written.settings import AsWritten
from chatlab.sim.model import Model

Watch = Callable[[float], object]
"""Hears how many of a scenario's seconds are over; what it raises ends the run."""


class Manner(Struct, frozen=True):
    """How to run: whose steps to record, how fast, and who watches."""

    sample: int
    time_scale: float
    watch: Watch | None


World = Callable[[Scenario, Manner], Run]
"""Runs a scenario in such a manner."""

GLANCES = 1000
"""How often a watched model is looked at."""
SAMPLE = 50
"""Number of people whose steps are recorded, unless more are asked for."""


def run(
    scenario: Scenario,
    world: str = "model",
    *,
    sample: int = SAMPLE,
    time_scale: float = 1.0,
    watch: Watch | None = None,
) -> Run:
    """Run a scenario in a world, and record the steps of the first `sample` people.

    The live world takes `duration / time_scale` seconds; the others don't wait. In the model world `watch` is
    called a thousand times with how many of the scenario's seconds are over, and may raise to end the run.

    Errors: `SettingsError` when there is no such world, or it can't run this scenario.
    """
    if world not in WORLDS:
        raise SettingsError(f"world: there is no {world!r}; choose one of {', '.join(WORLDS)}")
    if isinstance(scenario.transport, AsWritten) and world != "model":
        scenario.transport.config()  # which says why there is none
    return WORLDS[world](scenario, Manner(sample, time_scale, watch))


def _run_model(scenario: Scenario, manner: Manner) -> Run:
    transport = scenario.transport
    if transport.dialect != "chatlab":
        raise SettingsError(
            f"transport.dialect: the model's server speaks 'chatlab', got {transport.dialect!r}"
        )
    ledger = Ledger()
    with closing(_model(scenario, ledger, manner.sample)) as model:
        if manner.watch is not None:
            for glance in range(1, GLANCES):
                at = glance * scenario.duration / GLANCES
                model.environment.call_at(at, manner.watch, at)
        model.run(scenario.duration)
        if manner.watch is not None:
            manner.watch(scenario.duration)
        recorded = [person.name for person in model.everybody[: manner.sample]]
        heard_until = [person.heard_until for person in model.everybody]
        traffic = {
            "requests": model.network.requests,
            "bytes_up": model.bytes_up,
            "bytes_down": model.bytes_down,
            "queue_max": model.server.queue.longest,
            "work_max": model.server.work.longest,
        }
        steps, counts = model.steps, model.meter.close()
        faults = incidents(scenario.faults, model.scenes)
    del model  # A large crowd has gone before its figures are worked out.
    return outcome("model", scenario, recorded, ledger, heard_until, faults, traffic, steps, counts)


def _model(scenario: Scenario, ledger: Ledger, sample: int) -> Model:
    transport = scenario.transport
    return Model(
        scenario.seed,
        transport if isinstance(transport, AsWritten) else transport.config(),
        scenario.people,
        scenario.network,
        scenario.server,
        scenario.faults,
        ledger,
        sample,
        extras=True,
    )


def _run_wire(scenario: Scenario, manner: Manner) -> Run:
    from chatlab.experiment.worlds.wire_world import run_wire  # The real stacks take long to import.

    return run_wire(scenario, manner.sample)


def _run_live(scenario: Scenario, manner: Manner) -> Run:
    from chatlab.experiment.worlds.live_world import run_live

    return run_live(scenario, manner.sample, manner.time_scale)


WORLDS: dict[str, World] = {"model": _run_model, "wire": _run_wire, "live": _run_live}
"""The worlds by their names."""
