"""Fit a scenario to a measured series: which settings explain it, ranked, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import msgspec
import numpy as np
from msgspec import Struct

from chatlab.errors import SettingsError
from chatlab.experiment.cells import Cell, cells_of
from chatlab.experiment.effect import check_effect
from chatlab.experiment.effect_rules import without_effect
from chatlab.experiment.fit_answer import answer, explains_nothing
from chatlab.experiment.fit_search import FitSearch, Point
from chatlab.experiment.likeness import Array, Candidate, exclusion, possible
from chatlab.experiment.measured import Measured, measured_of, read_measured
from chatlab.experiment.progress import progress_bar
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.sweep import Measure, open_pool, outcomes_of
from chatlab.experiment.trials import Setting, as_toml, read_setting
from chatlab.experiment.worlds.runner import WORLDS

if TYPE_CHECKING:
    import pandas as pd

KINDS = ("attempts", "requests", "sent", "delivered", "connected", "queue", "work")
_OTHER_NAMES: Mapping[str, Sequence[str]] = {"attempts": ("connections", "connects")}


class Fitted(Struct, frozen=True):
    """The result of `fit`.

    `answer` says it in a few sentences. `rows` has the candidates, the best first, see `ranking`. Those named
    in `possible` can't be ruled out. `toml` sets the best one in a scenario's file, and `scenario` has it.

    The measurement is `measured`: counts of the series `of`. `curves` has what each of the first candidates
    would have counted in its seconds: for each seed a list. `intervals` has those of the best candidate's
    unknowns (nominally 90 %), by their paths; it is empty if there were too few runs. If even the best
    candidate is far away, the measurement isn't `explained`. A fit that was `interrupted` has what it had
    found until then.
    """

    answer: str
    best: str
    possible: list[str]
    toml: str
    scenario: Scenario
    rows: list[dict[str, Any]]
    measured: list[float]
    curves: dict[str, list[list[float]]]
    of: str = "attempts"
    intervals: dict[str, tuple[float, float]] = msgspec.field(default_factory=dict)
    explained: bool = True
    interrupted: bool = False

    @property
    def ranking(self) -> pd.DataFrame:
        """A table of the candidates, the best first.

        It has the fitted unknowns, the `offset` (the second of the run in which the measurement begins), how
        far each second is `off` on average, and how surely it is `ruled_out`, in standard deviations.
        """
        import pandas as pd

        return pd.DataFrame(self.rows)

    def __str__(self) -> str:
        return self.answer

    __repr__ = __str__  # A shell and a saved notebook show it: the runs are thousands of characters.

    def _repr_html_(self) -> str:
        return f'<p style="max-width:45em">{escape(self.answer)}</p><pre>{escape(self.toml)}</pre>'


def fit(
    scenario: Scenario,
    to: str | Path | Sequence[float] | Measured,
    over: Mapping[str, Any] | Iterable[str] = (),
    *,
    of: str = "attempts",
    column: str = "",
    offset: tuple[int, int] | int | None = None,
    seeds: Iterable[int] = range(8),
    runs: int = 600,
    executor: Executor | Literal["processes"] | None = None,
    world: str = "model",
    progress: bool = True,
) -> Fitted:
    """Return which settings explain a measured series best, and which others can't be ruled out.

    `to` is a CSV file with a time and a count in each row, or the counts of each second, NaN where one is
    missing. `of` names the series of a run that it measures: "attempts", "connected", "requests" …

    `over` has the candidates: paths with choices, as in `sweep`, such as "transport.preset=socket.io,Ably". A
    path with a range, such as "people.count=500:2000" or `{"faults[0].duration": (5.0, 60.0)}`, is a further
    unknown, which is fitted for each candidate. `offset` is the second of the run in which the measurement
    begins, or the first and the last possible one; by default any. The run must be at least as long as the
    measurement.

    Candidates are compared with a few seeds first; the best ones get all `seeds`. There are at most `runs`
    runs. `executor` and `world` are those of `sweep`. The executor changes nothing in the result. An
    interrupt (Ctrl-C) ends the search once a candidate has runs: the result is what was found until then.

    Errors: `SettingsError` for a bad file, with its line, for an unknown setting, and if a run fails;
    `OSError` if the file can't be read.
    """
    if of not in KINDS:
        raise SettingsError(
            f"of: there is no {of!r}; choose one of {', '.join(KINDS)} (column names a column of the file)"
        )
    if world not in WORLDS:
        raise SettingsError(f"world: there is no {world!r}; choose one of {', '.join(WORLDS)}")
    if isinstance(to, str | Path):
        wanted = (of, *_OTHER_NAMES.get(of, ()), "count", "value")
        measured = read_measured(to, column, wanted, [kind for kind in KINDS if kind != of])
    else:
        measured = to if isinstance(to, Measured) else measured_of(to)
    settings = [*_settings(scenario, over)]
    choices = {setting.path: setting.choices for setting in settings if setting.choices is not None}
    check_effect("over", scenario, choices, [setting.path for setting in settings])
    search = FitSearch(
        scenario, measured, settings, of=of, offsets=_offsets(scenario, measured, offset), seeds=list(seeds)
    )
    search.check(runs)
    interrupted, intervals = False, list[tuple[float, float]]()
    try:
        with open_pool(executor) as pool, progress_bar(progress) as bar:

            def simulate(cells: Sequence[Cell]) -> Iterator[tuple[int, Array]]:
                for number, outcome in outcomes_of(cells, pool, world, cast("Measure", _series)):
                    if isinstance(outcome, str):
                        raise SettingsError(f"a run failed: {outcome}")
                    yield number, np.asarray(outcome[of], dtype=float)
                    bar.update()

            ranked = search.rank(simulate, runs)
            if search.has_unknowns:
                intervals = search.intervals(simulate, ranked[0][0], runs)
    except KeyboardInterrupt:
        ranked, interrupted = search.so_far(), True
        if not ranked:
            raise
    return _fitted(
        scenario,
        measured,
        settings,
        of,
        ranked,
        intervals,
        ran_out=search.ran_out,
        stopped=search.made() if interrupted else 0,
    )


def _series(run: Run) -> Mapping[str, list[int]]:
    return run.series


def _settings(scenario: Scenario, over: Mapping[str, Any] | Iterable[str]) -> Iterable[Setting]:
    given: Iterable[Any] = (
        ({path: values} for path, values in over.items()) if isinstance(over, Mapping) else over
    )
    paths = set[str]()
    for each in given:
        setting = read_setting(scenario, each)
        if setting.path in paths:
            raise SettingsError(f"over: {setting.path} is given twice; give all its values at once")
        paths.add(setting.path)
        yield setting


def _offsets(scenario: Scenario, measured: Measured, offset: tuple[int, int] | int | None) -> tuple[int, int]:
    last = int(np.ceil(scenario.duration)) - len(measured.counts)
    if last < 0:
        raise SettingsError(
            f"duration: {measured.name} spans {len(measured.counts):,} s, the run {scenario.duration:g} s; "
            f"give a duration of {len(measured.counts):,} or more"
        )
    if offset is None:
        return 0, last
    first, final = (offset, offset) if isinstance(offset, int) else offset
    if not 0 <= first <= final <= last:
        raise SettingsError(
            f"offset: give seconds from 0 to {last}, at which the whole measurement is within the run"
        )
    return first, final


# The result


def _fitted(
    scenario: Scenario,
    measured: Measured,
    settings: Sequence[Setting],
    of: str,
    ranked: Sequence[tuple[Point, Candidate]],
    intervals: Sequence[tuple[float, float]],
    *,
    ran_out: bool,
    stopped: int,
) -> Fitted:
    point, best = ranked[0]
    open_ = possible([candidate for _, candidate in ranked])
    names = [each.name for (each, _), may in zip(ranked, open_, strict=True) if may]
    choices = [setting for setting in settings if setting.choices is not None]
    ranges = [setting for setting in settings if setting.choices is None]
    rows = [
        {"candidate": each.name}
        | {setting.path: value for setting, value in zip(ranges, each.unknowns, strict=True)}
        | {
            "offset": candidate.offset,
            "off": candidate.distance,
            "ruled_out": 0.0 if candidate is best else max(0.0, exclusion(candidate, best)),
            "possible": may,
        }
        for (each, candidate), may in zip(ranked, open_, strict=True)
    ]
    given = {
        setting.path: (setting.choices or {})[label]
        for setting, label in zip(choices, point.labels, strict=True)
    }
    given |= {setting.path: value for setting, value in zip(ranges, point.unknowns, strict=True)}
    (cell,) = cells_of(scenario, {path: {"": value} for path, value in given.items()}, None)
    inert = {path: sentence for path in given if (sentence := without_effect(cell.scenario, path))}
    given = {path: value for path, value in given.items() if path not in inert}
    return Fitted(
        " ".join(
            [
                *([f"Interrupted after {stopped:,} runs. So far:"] if stopped else []),
                answer(measured, ranges, of, ranked, names, intervals, inert),
                *(f"With {point.name}, {sentence}." for sentence in inert.values()),
                *(["The runs ran out before the search had ended; allow more runs."] if ran_out else []),
            ]
        ),
        point.name,
        names,
        as_toml(given, cell.scenario),
        cell.scenario,
        rows,
        measured.counts.tolist(),
        {each.name: candidate.window.tolist() for each, candidate in ranked[:3]},
        of,
        intervals={
            setting.path: ends
            for setting, ends in zip(ranges, intervals, strict=False)
            if setting.path not in inert
        },
        explained=not explains_nothing(measured, best),
        interrupted=stopped > 0,
    )
