"""A run: the result of a scenario in one world, which can be viewed, saved, loaded and compared."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from chatlab.errors import SettingsError
from chatlab.experiment.answer import Facts, answer
from chatlab.experiment.run_file import RunFields, encode_run, read_run
from chatlab.experiment.run_html import format_metric, run_html
from chatlab.experiment.series import LATENCY_EDGES
from chatlab.experiment.spans import FaultSpan, StatusSpan, status_spans
from chatlab.fileio import atomic_write
from chatlab.messages import ConnectionStatus
from chatlab.sim.meter import NODE_SERIES, NODE_TOTALS
from chatlab.trace import Step
from chatlab.transports.machine import Deliver

if TYPE_CHECKING:
    import pandas as pd

NEED_TOTALS = ("calls", "refused", "timed_out", "queue_max")
"""The columns of `Run.needs`."""


class Run(RunFields, frozen=True, dict=True):
    """The result of a scenario in one world.

    `metrics` (see `measure`), `series` (counts of each second) and `latencies` (counts in the bins of
    `LATENCY_EDGES`) cover all people. `group_metrics` has metrics of each group of people and of the others,
    see `groups`; it is empty if there are no groups. `trace` has the steps of `people`, a sample.

    In the live world the clock advanced by `time_scale` seconds in each second of waiting. `lateness` is the
    part of its seconds that passed while bytes were still in flight on loopback (None: not measured, as in
    version 0.1.0).

    `node_totals` and `node_series` are the counts behind `nodes` and `nodes_per_second`, and
    `second_latencies` percentiles of the latency in each second (None: nothing was shown). `need_totals` are
    the counts behind `needs`.
    """

    @property
    def seed(self) -> int:
        """The seed of its random numbers."""
        return self.scenario.seed

    def steps(self, person: str | None = None) -> list[Step]:
        """Return one person's steps, or those of all recorded people, in order.

        Errors: `SettingsError` naming the recorded people.
        """
        if person is None:
            return list(self.trace)
        return list(self._steps[self._recorded(person)])

    def statuses(self, person: str) -> list[StatusSpan]:
        """Return one person's statuses from the beginning to the end.

        Errors: `SettingsError` naming the recorded people.
        """
        return status_spans(self._steps[self._recorded(person)], self.scenario.duration)

    @property
    def owed(self) -> int:
        """Number of (message, reader) pairs that were shown or should have been, see `measure`."""
        return sum(self.latencies) + int(self.metrics.get("undelivered") or 0)

    @property
    def faults(self) -> list[FaultSpan]:
        """Spans of the scenario's faults."""
        nodes = self.scenario.server.nodes
        return [FaultSpan(fault.kind, fault.at, fault.ends_at(nodes)) for fault in self.scenario.faults]

    @cached_property
    def _steps(self) -> dict[str, list[Step]]:
        steps: dict[str, list[Step]] = {person: [] for person in self.people}
        for step in self.trace:
            steps[step.person].append(step)
        return steps

    def _recorded(self, person: str) -> str:
        if person in self._steps:
            return person
        shown = ", ".join(self.people[:5]) + (" …" if len(self.people) > 5 else "")
        raise SettingsError(f"no steps of {person!r} were recorded; choose one of {shown or 'nobody'}")

    # Files

    def save(self, path: str | Path) -> None:
        """Write the run as JSON lines: a header with scenario and metrics, then the steps.

        Errors: `OSError` when the file can't be written. It is unchanged then.
        """
        with atomic_write(path) as part:
            part.write_bytes(self.to_json_lines())

    def to_json_lines(self) -> bytes:
        """Return the bytes that `save` writes; equal runs have equal bytes."""
        return encode_run(self)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a saved run.

        Errors: `SettingsError` when the file isn't a run; `OSError` when it can't be read.
        """
        return read_run(Path(path), cls)

    # Views

    @property
    def answer(self) -> str:
        """The answer in a few sentences: who is back, what was lost, and the reasons that the run shows."""
        return answer(Facts(self.scenario, self.metrics, self.series, self.trace))

    def to_frame(self) -> pd.DataFrame:
        """Return the metrics as a tidy table with the columns scenario, world, seed, metric, value."""
        import pandas as pd

        table = pd.DataFrame({"metric": list(self.metrics), "value": list(self.metrics.values())})
        table.insert(0, "seed", self.seed)
        table.insert(0, "world", self.world)
        table.insert(0, "scenario", self.scenario.name)
        return table.astype({"value": float})

    @property
    def groups(self) -> pd.DataFrame:
        """Metrics of the groups, as a table with a row for each group, and one for the others; empty if there
        are no groups.

        `people` and `attempts` are counts, `time_connected` is the sum of the seconds they were connected.
        The others are as in `metrics`; a message that was owed, late or lost belongs to its reader's group.
        """
        import pandas as pd

        rows = [{"group": name} | metrics for name, metrics in self.group_metrics.items()]
        return pd.DataFrame(rows, columns=["group", *next(iter(self.group_metrics.values()), ())])

    def group_of(self, person: str) -> str:
        """Return the name of a recorded person's group.

        Errors: `SettingsError` naming the recorded people.
        """
        membership = self.scenario.people.membership
        return membership.names[membership.group(self.people.index(self._recorded(person)))]

    def per_second(self) -> pd.DataFrame:
        """Return the series as a table with a row for each second and a column for each series.

        `latency_p50` and `latency_p99` are those of the messages shown in that second, in seconds (NaN: none
        was).
        """
        import pandas as pd

        table = pd.DataFrame(self.series)
        for name in ("latency_p50", "latency_p99"):
            column = self.second_latencies.get(name, [None] * len(table))
            table[name] = np.array(column, dtype=float)
        table.index.name = "second"
        return table

    @property
    def nodes(self) -> pd.DataFrame:
        """A table with a row for each node of the server, by number.

        - attempts: connections that the balancer gave it; *refused* ones got a reset or a 503, and *accepted*
          ones a place in the accept queue
        - disconnected: connections that it ended as it drained, stopped or died
        - connected: connections at the end; *connected_max*: the most at one time, those in the accept queue
          included
        - queue_max: the greatest length of the accept queue

        It is empty in the worlds `wire` and `live`, and for files from before nodes were counted.
        """
        import pandas as pd

        table = pd.DataFrame({name: self.node_totals.get(name, []) for name in NODE_TOTALS}, dtype=int)
        table.index = pd.RangeIndex(1, len(table) + 1, name="node")
        return table

    @property
    def needs(self) -> pd.DataFrame:
        """A table with a row for each need of the server, by name.

        - calls: all calls; *refused* ones found the queue full, and others *timed_out*
        - queue_max: the greatest length of the queue, the call under way included

        It is empty if the server needs nothing, and for files from before needs were counted.
        """
        import pandas as pd

        table = pd.DataFrame(self.need_totals or {name: [] for name in NEED_TOTALS}, dtype=int)
        names = [need.name for need in self.scenario.server.needs]
        table.index = pd.Index(names[: len(table)], name="need", dtype=object)
        return table

    def nodes_per_second(self) -> pd.DataFrame:
        """Return a tidy table with the columns second, node, attempts, refused, connected, queue.

        `attempts` and `refused` are as in `nodes`, in that second; `connected` is as of its end; `queue` is
        the greatest length of the accept queue. It is empty if `nodes` is.
        """
        import pandas as pd

        counts = {name: np.array(self.node_series.get(name, []), dtype=np.int64) for name in NODE_SERIES}
        nodes, seconds = counts["attempts"].shape if self.node_series else (0, 0)
        table = pd.DataFrame(
            {
                "second": np.repeat(np.arange(seconds), nodes),
                "node": np.tile(np.arange(1, nodes + 1), seconds),
                **{name: column.T.ravel() for name, column in counts.items()},
            }
        )
        return table

    def latency_shares(self) -> pd.DataFrame:
        """Return the latency distribution as a tidy table: the `share` with a latency of at most `seconds`.

        The share is of all messages owed: it stays below 1 if some were never shown. The table is empty if
        none was shown.
        """
        import pandas as pd

        total = self.owed
        table = pd.DataFrame(
            {"seconds": LATENCY_EDGES[1:], "share": np.cumsum(self.latencies) / max(total, 1)}
        )
        return table if any(self.latencies) else table.iloc[:0]

    def people_table(self) -> pd.DataFrame:
        """Return a table of the recorded people: attempts, messages delivered, seconds in each status.

        Errors: `SettingsError` when nobody was recorded.
        """
        import pandas as pd

        rows = []
        for person, steps in self._steps.items():
            spans = self.statuses(person)
            delivered = sum(
                isinstance(effect, Deliver) and effect.event.message is not None
                for step in steps
                for effect in step.effects
            )
            times = {
                f"time_{status}": sum(span.end - span.start for span in spans if span.status is status)
                for status in ConnectionStatus
            }
            attempts = sum(len(span.attempts) for span in spans)
            rows.append({"person": person, "attempts": attempts, "delivered": delivered} | times)
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        metrics = ", ".join(
            f"{name}={format_metric(name, self.metrics)}" for name in ("sent", "delivered", "lost")
        )
        return f"Run({self.scenario.name!r}, {self.world!r}, {self._size}, {metrics})"

    @property
    def _size(self) -> str:
        count = self.scenario.people.count
        return f"{count:,} {'person' if count == 1 else 'people'}, {self.scenario.duration:g} s"

    def _repr_html_(self) -> str:
        caption = f"{self.world} · {self._size} · seed {self.seed}"
        return run_html(self.scenario.name, caption, self.answer, self.metrics, self.group_metrics)
