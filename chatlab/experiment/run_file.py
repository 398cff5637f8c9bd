"""The fields of a run, and its file: JSON lines, a header with scenario and metrics, then the steps."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar

import msgspec
from msgspec import Struct

from chatlab.errors import SettingsError
from chatlab.experiment.percentiles import Value, read_infinite
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.series import LATENCY_EDGES
from chatlab.fileio import lines_of
from chatlab.trace import Step, decode_steps, encode_steps

FORMAT: Literal[1] = 1
"""Version of the file format."""


class _Version(Struct, frozen=True, tag_field="chatlab", tag="run"):
    """The beginning of a header."""

    format: Literal[1]


class RunFields(Struct, frozen=True):
    """The fields of a `Run`. All but `trace` are in the header, behind the version."""

    world: str
    scenario: Scenario
    people: list[str]
    metrics: dict[str, Value]
    series: dict[str, list[int]]
    latencies: list[int]
    trace: list[Step] = []
    time_scale: float = 1.0
    lateness: float | None = None
    group_metrics: dict[str, dict[str, Value]] = {}
    node_totals: dict[str, list[int]] = {}
    node_series: dict[str, list[list[int]]] = {}
    second_latencies: dict[str, list[float | None]] = {}
    need_totals: dict[str, list[int]] = {}

    def check(self) -> None:
        """Check the lengths of histogram, series and tables.

        Errors: `SettingsError`.
        """
        if len(self.latencies) != len(LATENCY_EDGES) - 1:
            raise SettingsError(f"latencies: expected {len(LATENCY_EDGES) - 1} numbers")
        lengths = [len(counts) for counts in self.series.values()]
        if lengths and max(lengths) - min(lengths) > 1:  # Live runs of version 0.1.0 differ by a second.
            raise SettingsError("series: expected lists of the same length")
        nodes = {*map(len, self.node_totals.values()), *map(len, self.node_series.values())}
        if len(nodes) > 1 or len({len(each) for counts in self.node_series.values() for each in counts}) > 1:
            raise SettingsError("node_totals and node_series: expected lists of the same length")
        if any(len(counts) != len(self.scenario.server.needs) for counts in self.need_totals.values()):
            raise SettingsError("need_totals: expected a count for each need of the server")
        if any(len(column) != max(lengths, default=0) for column in self.second_latencies.values()):
            raise SettingsError("second_latencies: expected lists as long as the series")


R = TypeVar("R", bound=RunFields)


def encode_run(run: RunFields) -> bytes:
    """Return the bytes of a file."""
    header = {name: getattr(run, name) for name in RunFields.__struct_fields__ if name != "trace"}
    version = {"chatlab": "run", "format": FORMAT}
    return msgspec.json.encode(version | header) + b"\n" + encode_steps(run.trace)


def read_run(path: Path, kind: type[R]) -> R:
    """Return the run in a file, as a class of that `kind`.

    Errors: `SettingsError` when the file isn't a run; `OSError` when it can't be read.
    """
    number = 1
    trace: list[Step] = []
    try:
        with path.open("rb") as file:
            lines = lines_of(file)
            header = next(lines, b"")
            msgspec.json.decode(header, type=_Version)
            run = msgspec.json.decode(header, type=kind)
            run.check()
            people = set(run.people)
            for line in lines:
                number += 1
                for step in decode_steps([line]):
                    if step.person not in people:
                        raise SettingsError(f"a step of {step.person!r}, who is not in the header")
                    trace.append(step)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, SettingsError) as error:
        problem = f"not a run of format {FORMAT}: {error} (line {number})"
        raise SettingsError(f"{path.name}: {problem}; give a file that Run.save wrote") from None
    groups = {name: read_infinite(metrics) for name, metrics in run.group_metrics.items()}
    return msgspec.structs.replace(run, trace=trace, metrics=read_infinite(run.metrics), group_metrics=groups)
