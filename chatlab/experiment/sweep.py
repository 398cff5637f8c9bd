"""Sweeps: a scenario run again and again with other settings and other luck, as one tidy table.

A task is a scenario as TOML text, and what comes back is a row of figures; so tasks are small wherever they
run. The table has the order of the settings, whatever the order in which runs finish.
"""

from __future__ import annotations

import os
import pickle
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import AbstractContextManager, nullcontext
from difflib import get_close_matches
from multiprocessing import get_context
from typing import TYPE_CHECKING, Literal

from chatlab.errors import SettingsError
from chatlab.experiment.cells import Cell, Choices, cells_of
from chatlab.experiment.metrics import Value
from chatlab.experiment.process_pool import ProcessPool
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import WORLDS, run

if TYPE_CHECKING:
    import pandas as pd

Measure = Callable[[Run], Mapping[str, Value]]
"""Takes from a run what the table is to have of it."""
Figures = dict[str, Value]


def sweep(
    scenario: Scenario,
    over: Mapping[str, Choices],
    *,
    seeds: Iterable[int] | None = None,
    executor: Executor | Literal["processes"] | None = None,
    world: str = "model",
    metrics: Sequence[str] | Measure | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Run the scenario with every combination of settings and seeds; return a table with one run a row.

    `over` maps paths such as `"people.count"`, `"transport.reconnect.jitter"` or `"faults[0].duration"` to
    values, as TOML has them or as settings; a mapping gives each value the name that stands in the table.
    Without `seeds` the scenario's own is used. Columns: a path each, `seed`, the metrics (all, those named,
    or what a function makes of the run) and `error`, which is missing where all went well.

    `executor` is any `concurrent.futures.Executor`, such as Dask's `Client.get_executor()`; "processes" is
    one process a core, and wants scripts to call it under `if __name__ == "__main__"`. Without, runs follow
    each other here. A run that fails, or whose process is killed, leaves the others alone, and is told of in
    a `RuntimeWarning`. An interrupt kills the processes of "processes".

    Errors: `SettingsError` naming the path and what there is, or a function that other processes can't find,
    before anything runs; or the metric that runs don't have.
    """
    from tqdm.auto import tqdm

    if world not in WORLDS:
        raise SettingsError(f"world: there is no {world!r}; choose one of {', '.join(WORLDS)}")
    cells = cells_of(scenario, over, seeds)
    names = [metrics] if isinstance(metrics, str) else metrics
    measure = names if callable(names) else None
    wanted = None if names is None or callable(names) else list(names)
    found: list[Figures | str] = [""] * len(cells)
    if measure is not None and (
        executor == "processes" or isinstance(executor, ProcessPool | ProcessPoolExecutor)
    ):
        _check_found_elsewhere(measure)
    with _pool(executor) as pool, tqdm(total=len(cells), disable=not progress, unit="run") as bar:
        for number, outcome in _outcomes(cells, pool, world, measure):
            if wanted is not None and not isinstance(outcome, str):
                check_metrics(wanted, outcome)
                outcome = {name: outcome[name] for name in wanted}
            found[number] = outcome
            bar.update()
    return _table(list(over), cells, found)


# Running it


def run_cell(scenario: str, world: str, measure: Measure | None) -> Figures | str:
    """Run a scenario, given as TOML, and return its figures, or what went wrong. It is what executors run."""
    try:
        result = run(Scenario.from_toml(scenario), world, sample=0)
        return result.metrics if measure is None else dict(measure(result))
    except (Exception, SystemExit) as error:
        return _words(error)


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".removesuffix(": ")


def _pool(executor: Executor | str | None) -> AbstractContextManager[Executor | None]:
    """Return the executor; one that was made here is closed at the end."""
    if executor == "processes":
        return processes()
    if isinstance(executor, str):
        raise SettingsError(f"executor: give an Executor, 'processes' or None, got {executor!r}")
    return nullcontext(executor)


def processes(count: int | None = None) -> ProcessPool:
    """Return a pool of `count` processes, or one a core.

    A fork of threads isn't safe, so they aren't forked from this process but, on Linux, from one that has
    loaded the simulator and nothing else: so the next pool is there at once. macOS's own libraries can't be
    forked, and Windows can't fork at all.
    """
    count = os.cpu_count() or 1 if count is None else count
    if sys.platform != "linux":
        return ProcessPool(count, get_context("spawn"))
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return ProcessPool(count, context)


def _check_found_elsewhere(measure: Measure) -> None:
    """Check that other processes find the function: they are told but where it is.

    A script's main module they load from its file, but a notebook has none.
    """
    try:
        address = pickle.dumps(measure)
    except Exception as error:  # each Python has another for it
        reason = str(error)
    else:
        if b"__main__" not in address or hasattr(sys.modules["__main__"], "__file__"):
            return
        reason = "it's in no file"
    name = getattr(measure, "__name__", repr(measure))
    raise SettingsError(
        f"metrics: other processes can't find {name} ({reason}); "
        "define it at the top of a module and import it, or leave out the executor"
    )


def _outcomes(
    cells: Sequence[Cell], executor: Executor | None, world: str, measure: Measure | None
) -> Iterator[tuple[int, Figures | str]]:
    """Yield the number and the outcome of each cell, as they are done."""
    tasks = ((cell.scenario.to_toml(), world, measure) for cell in cells)
    if executor is None:
        yield from ((number, run_cell(*task)) for number, task in enumerate(tasks))
        return
    futures: dict[Future[Figures | str], int] = {}
    try:
        for number, task in enumerate(tasks):
            try:
                futures[executor.submit(run_cell, *task)] = number
            except RuntimeError as error:  # a pool that has broken takes no more
                yield number, _words(error)
        for future in as_completed(futures):
            yield futures[future], _outcome(future)
    finally:
        for future in futures:
            future.cancel()


def _outcome(future: Future[Figures | str]) -> Figures | str:
    """Return what came of a cell: its executor may have lost it, or been unable to carry it."""
    try:
        return future.result()
    except Exception as error:
        return _words(error)


# What came of it


def check_metrics(wanted: Iterable[str], figures: Figures) -> None:
    """Check that a run's figures have all the metrics.

    Errors: `SettingsError` naming one that they don't have, and what there is.
    """
    for name in wanted:
        if name not in figures:
            close = get_close_matches(name, figures, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise SettingsError(f"metrics: there is no {name!r}{hint}; choose from {', '.join(figures)}")


def _table(paths: Sequence[str], cells: Sequence[Cell], outcomes: Sequence[Figures | str]) -> pd.DataFrame:
    import pandas as pd

    failed = [
        (cell, outcome) for cell, outcome in zip(cells, outcomes, strict=True) if isinstance(outcome, str)
    ]
    names = dict.fromkeys(name for outcome in outcomes if isinstance(outcome, dict) for name in outcome)
    rows = []
    for cell, outcome in zip(cells, outcomes, strict=True):
        figures, error = ({}, outcome) if isinstance(outcome, str) else (outcome, None)
        settings = dict(zip(paths, cell.labels, strict=True))
        rows.append(
            settings
            | {"seed": cell.scenario.seed}
            | {name: figures.get(name) for name in names}
            | {"error": error}
        )
    if failed:
        cell, error = failed[0]
        settings = dict(zip(paths, cell.labels, strict=True)) | {"seed": cell.scenario.seed}
        shown = ", ".join(f"{name}={value}" for name, value in settings.items())
        count = f"{len(failed)} of {len(cells)} runs failed"
        warnings.warn(f"{count}, see 'error'; the first, with {shown}: {error}", RuntimeWarning, stacklevel=3)
    columns = [*paths, "seed", *names, "error"]
    table = pd.DataFrame(rows, columns=columns)
    return table.astype({name: float for name in names if table[name].dtype == object})
