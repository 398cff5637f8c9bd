"""Makes a run of what a world has recorded: the same figures for every world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter

import numpy as np

from chatlab.experiment.column_recorder import Ledger
from chatlab.experiment.metrics import Crowd, Incident, Value, latency_histogram, measure, series
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.sim.as_written.settings import AsWritten
from chatlab.sim.faults import Fault, HalfOpen
from chatlab.sim.scene import Scene
from chatlab.trace import Step


def outcome(
    world: str,
    scenario: Scenario,
    recorded: Sequence[str],
    ledger: Ledger,
    heard_until: Sequence[float],
    faults: Sequence[Incident],
    traffic: Mapping[str, Value],
    steps: list[Step],
    counts: Mapping[str, list[int]] | None = None,
) -> Run:
    """Return the run. `recorded` are the people of the `steps`; all else is everybody's. `counts` are what
    the server saw in each second, see `Meter`."""
    people = scenario.people
    transport = scenario.transport
    acks = transport.acks if isinstance(transport, AsWritten) else True
    crowd = Crowd(np.arange(people.count) % people.rooms, np.array(heard_until), acks)
    counts = dict(counts or {})
    busiest = {"requests_per_second_max": max(counts["requests"])} if counts else {}
    return Run(
        world,
        scenario,
        list(recorded),
        {**measure(ledger, crowd, scenario.duration, faults), **traffic, **busiest},
        _of_one_length(series(ledger, scenario.duration) | counts),
        latency_histogram(ledger, crowd),
        steps,
    )


def incidents(faults: Sequence[Fault], scenes: Sequence[Scene]) -> list[Incident]:
    """Return the faults as the metrics see them, in the order of their beginnings."""
    return sorted(
        (
            Incident(
                fault.at,
                fault.end_at,
                None if fault.general else np.array([victim.person for victim in scene.hit], dtype=np.int64),
                fault.deaf_until,
                fault.breaks,
                isinstance(fault, HalfOpen),
            )
            for fault, scene in zip(faults, scenes, strict=True)
        ),
        key=attrgetter("begins_at", "ends_at"),
    )


def _of_one_length(of: dict[str, list[int]]) -> dict[str, list[int]]:
    """Make all as long as the longest: a live run may last into one more second, of which not all know."""
    seconds = max(map(len, of.values()))
    return {
        name: counts + [counts[-1] if name == "connected" else 0] * (seconds - len(counts))
        for name, counts in of.items()
    }
