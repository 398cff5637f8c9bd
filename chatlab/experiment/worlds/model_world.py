"""The model world: the machines on a modelled network, in SimPy."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from chatlab.dialects import ChatlabDialect, find_dialect
from chatlab.errors import SettingsError
from chatlab.experiment.column_recorder import ColumnRecorder
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.results import incidents, make_run
from chatlab.sim.model import Model, OrderLost, config_of, find_model

ProgressCallback = Callable[[float], object]
"""A function that gets the simulated seconds that have passed. Its exception ends the run."""

PROGRESS_STEPS = 1000
"""Number of calls of the progress callback in a run."""


def run_model(
    scenario: Scenario, sample: int, watch: ProgressCallback | None = None, *, fast: bool = True
) -> Run:
    """Run a scenario in the model world, and record the steps of the first `sample` people.

    With `fast`, use short cuts for large crowds. They change no figure.

    Errors: `SettingsError` when it can't run this scenario.
    """
    transport = scenario.transport
    if not isinstance(find_dialect(transport.dialect), ChatlabDialect):
        raise SettingsError(
            f"transport.dialect: the model's server speaks 'chatlab', got {transport.dialect!r}"
        )
    if watch is not None:
        watch = _forward(watch)
    try:
        return _run(scenario, sample, watch, fast=fast)
    except OrderLost:
        return _run(scenario, sample, watch, fast=False)


def _forward(watch: ProgressCallback) -> ProgressCallback:
    """Return a callback that never goes back, though the run may begin again."""
    reached = 0.0

    def forward(at: float) -> object:
        nonlocal reached
        reached = max(reached, at)
        return watch(reached)

    return forward


def _run(scenario: Scenario, sample: int, watch: ProgressCallback | None, *, fast: bool) -> Run:
    recorder = ColumnRecorder()
    with closing(_model(scenario, recorder, sample, fast)) as model:
        if watch is not None:
            for step in range(1, PROGRESS_STEPS):
                at = step * scenario.duration / PROGRESS_STEPS
                model.environment.call_at(at, watch, at)
        model.run(scenario.duration)
        if watch is not None:
            watch(scenario.duration)
        recorded = [person.name for person in model.everybody[:sample]]
        complete_until = [person.complete_until for person in model.everybody]
        traffic = {
            "requests": model.requests,
            "bytes_up": model.bytes_up,
            "bytes_down": model.bytes_down,
            "queue_max": max(node.queue.longest for node in model.server.nodes),
            "work_max": max(node.work.longest for node in model.server.nodes),
            **model.server.needs.figures(),
        }
        needs = model.server.needs.totals()
        steps, counts, nodes = model.steps, model.meter.close(), model.meter.node_counts()
        faults = incidents(scenario.faults, model.fault_contexts, scenario.server.nodes)
    del model  # Free the memory of a large crowd before the metrics are computed.
    return make_run(
        "model", scenario, recorded, recorder, complete_until, faults, traffic, steps, counts, nodes, needs
    )


def _model(scenario: Scenario, recorder: ColumnRecorder, sample: int, fast: bool) -> Model:
    return find_model(fast=fast)(
        scenario.seed,
        config_of(scenario.transport),
        scenario.people,
        scenario.network,
        scenario.server,
        scenario.faults,
        recorder,
        sample,
    )
