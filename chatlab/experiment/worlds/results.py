"""Make a `Run` from a world's records, with the same metrics for every world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter

import numpy as np

from chatlab.experiment.column_recorder import Column, ColumnRecorder
from chatlab.experiment.deliveries import Population
from chatlab.experiment.metrics import measure, measure_groups
from chatlab.experiment.percentiles import Value
from chatlab.experiment.recovery import Incident, first_fault
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.series import Latencies, series
from chatlab.sim.as_written.settings import AsWritten
from chatlab.sim.fault_context import FaultContext
from chatlab.sim.faults import Fault
from chatlab.sim.meter import NodeCounts
from chatlab.trace import Step


def make_run(
    world: str,
    scenario: Scenario,
    recorded: Sequence[str],
    recorder: ColumnRecorder,
    complete_until: Sequence[float],
    faults: Sequence[Incident],
    traffic: Mapping[str, Value],
    steps: list[Step],
    counts: Mapping[str, list[int]] | None = None,
    nodes: NodeCounts | None = None,
    needs: Mapping[str, list[int]] | None = None,
) -> Run:
    """Return the run.

    `steps` are those of the people named in `recorded`; everything else covers all people. `counts` are the
    server's counts of each second, and `nodes` those of its nodes, see `Meter`. `needs` are `Needs.totals`.
    """
    people = scenario.people
    rooms, groups = np.arange(people.count) % people.rooms, people.membership.column()
    population = Population(rooms, np.array(complete_until), _acks(scenario, groups), groups)
    counts = dict(counts or {})
    busiest: dict[str, Value] = {}
    if counts:
        begins_at = first_fault(faults, scenario.duration)
        after = None if begins_at is None else max(counts["queue"][int(begins_at) :], default=0)
        busiest = {"queue_max_after": after, "requests_per_second_max": max(counts["requests"])}
    latencies = Latencies(recorder, population)
    node_counts = nodes or NodeCounts()
    counted = _padded(series(recorder, scenario.duration) | counts)
    return Run(
        world,
        scenario,
        list(recorded),
        {**measure(recorder, population, scenario.duration, faults), **traffic, **busiest},
        counted,
        latencies.histogram(),
        steps,
        group_metrics=measure_groups(recorder, population, scenario.duration, faults, people.membership.names)
        if people.groups
        else {},
        node_totals=node_counts.totals,
        node_series=node_counts.series,
        need_totals=dict(needs or {}),
        second_latencies=latencies.by_second(max(map(len, counted.values()))),
    )


def _acks(scenario: Scenario, groups: Column) -> Column | None:
    """Return whether each person's transport learns of acks; None: all do."""
    own = [group.transport or scenario.transport for group in scenario.people.groups]
    acks = [not isinstance(each, AsWritten) or each.acks for each in (*own, scenario.transport)]
    return None if all(acks) else np.array(acks)[groups]


def incidents(faults: Sequence[Fault], contexts: Sequence[FaultContext], nodes: int = 1) -> list[Incident]:
    """Return the faults at a server of that many nodes as the metrics need them, in the order of their
    beginnings."""
    return sorted(
        (
            Incident(
                fault.at,
                fault.ends_at(nodes),
                None
                if fault.general
                else np.array([target.person for target in context.hit], dtype=np.int64),
                fault.deaf_until,
                fault.severity,
                fault.leaves_half_open,
                fault.others_serve(nodes),
            )
            for fault, context in zip(faults, contexts, strict=True)
        ),
        key=attrgetter("begins_at", "ends_at"),
    )


def _padded(counts: dict[str, list[int]]) -> dict[str, list[int]]:
    """Return all series, padded to the length of the longest. A live run may last into one more second."""
    seconds = max(map(len, counts.values()))
    return {
        name: values + [values[-1] if name == "connected" else 0] * (seconds - len(values))
        for name, values in counts.items()
    }
