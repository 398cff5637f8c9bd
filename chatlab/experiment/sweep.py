"""Sweeps: runs of one scenario with several settings and seeds, as one tidy table.

A task is a scenario as TOML text, and its result is a row of metrics, so both are small to send to other
processes. The rows are in the order of the settings, not in the order in which runs finish.
"""

from __future__ import annotations

import os
import pickle
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import AbstractContextManager, nullcontext
from multiprocessing import get_context
from typing import TYPE_CHECKING, Literal

from chatlab.errors import SettingsError
from chatlab.experiment.cells import Cell, Choices, cells_of
from chatlab.experiment.effect import describe_choices
from chatlab.experiment.percentiles import Value
from chatlab.experiment.process_pool import ProcessPool
from chatlab.experiment.progress import progress_bar
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import WORLDS, run
from chatlab.text import did_you_mean, unknown_name

if TYPE_CHECKING:
    import pandas as pd

Measure = Callable[[Run], Mapping[str, Value]]
"""Returns the metrics of a run for the table."""
Metrics = dict[str, Value]


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
    """Run the scenario with every combination of settings and seeds; return a table with a row for each run.

    `over` maps paths such as `"people.count"`, `"transport.reconnect.jitter"` or `"faults[0].duration"` to
    values, which are settings or TOML's types. A mapping of values gives each its name in the table. Without
    `seeds` the scenario's own is used. The columns are the paths, `seed`, the metrics (all, those named, or
    the result of a function of the run) and `error`, which is missing if the run succeeded.

    `executor` is any `concurrent.futures.Executor`, such as Dask's `Client.get_executor()`. "processes" uses
    one process for each core; a script must call it under `if __name__ == "__main__"`. Without an executor,
    runs are sequential in this process. A failed run, or one whose process was killed, doesn't stop the
    others; a `RuntimeWarning` reports it. Another one names settings without effect. An interrupt kills the
    processes of "processes".

    Errors: before any run, `SettingsError` naming the path and the choices, or a function that other
    processes can't find; after a run, `SettingsError` naming a metric that it doesn't have.
    """
    if world not in WORLDS:
        raise SettingsError(f"world: {unknown_name(world, WORLDS)}")
    cells = cells_of(scenario, over, seeds)
    for sentence in describe_choices(scenario, over):
        warnings.warn(sentence, RuntimeWarning, stacklevel=2)
    names = [metrics] if isinstance(metrics, str) else metrics
    measure = names if callable(names) else None
    wanted = None if names is None or callable(names) else list(names)
    outcomes: list[Metrics | str] = [""] * len(cells)
    if measure is not None and (
        executor == "processes" or isinstance(executor, ProcessPool | ProcessPoolExecutor)
    ):
        _check_picklable(measure)
    with open_pool(executor) as pool, progress_bar(progress, len(cells)) as bar:
        for number, outcome in outcomes_of(cells, pool, world, measure):
            if wanted is not None and not isinstance(outcome, str):
                check_metrics(wanted, outcome)
                outcome = {name: outcome[name] for name in wanted}
            outcomes[number] = outcome
            bar.update()
    return _table(list(over), cells, outcomes)


# Runs


def run_cell(scenario: str, world: str, measure: Measure | None) -> Metrics | str:
    """Run a scenario, given as TOML; return its metrics, or an error's text. Executors call this."""
    try:
        result = run(Scenario.from_toml(scenario), world, sample=0)
        return result.metrics if measure is None else dict(measure(result))
    except (Exception, SystemExit) as error:
        return _describe_error(error)


def _describe_error(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".removesuffix(": ")


def open_pool(executor: Executor | str | None) -> AbstractContextManager[Executor | None]:
    """Return a context manager of the executor. It closes the executor only if it was made here."""
    if executor == "processes":
        return processes()
    if isinstance(executor, str):
        raise SettingsError(f"executor: give an Executor, 'processes' or None, got {executor!r}")
    return nullcontext(executor)


def processes(count: int | None = None) -> ProcessPool:
    """Return a pool of `count` processes; by default one for each core.

    Forking a process that has threads isn't safe. So on Linux processes are forked from a server process that
    has loaded only the simulator. It stays, so the next pool starts at once. Elsewhere processes are spawned:
    macOS's own libraries don't survive a fork, and Windows has none.
    """
    count = os.cpu_count() or 1 if count is None else count
    if sys.platform != "linux":
        return ProcessPool(count, get_context("spawn"))
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return ProcessPool(count, context)


def _check_picklable(measure: Measure) -> None:
    """Check that other processes can import the function: pickle only stores its module and name.

    They load a script's main module from its file, but a notebook has none.
    """
    try:
        address = pickle.dumps(measure)
    except Exception as error:  # Its class depends on the version of Python.
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


def outcomes_of(
    cells: Sequence[Cell], executor: Executor | None, world: str, measure: Measure | None
) -> Iterator[tuple[int, Metrics | str]]:
    """Yield the number and the outcome of each cell, in the order in which they finish."""
    tasks = ((cell.scenario.to_toml(), world, measure) for cell in cells)
    if executor is None:
        yield from ((number, run_cell(*task)) for number, task in enumerate(tasks))
        return
    futures: dict[Future[Metrics | str], int] = {}
    try:
        for number, task in enumerate(tasks):
            try:
                futures[executor.submit(run_cell, *task)] = number
            except RuntimeError as error:  # A broken pool accepts no tasks.
                yield number, _describe_error(error)
        for future in as_completed(futures):
            yield futures[future], _outcome(future)
    finally:
        for future in futures:
            future.cancel()


def _outcome(future: Future[Metrics | str]) -> Metrics | str:
    """Return the outcome of a cell, or a text if its executor has lost it or couldn't send it."""
    try:
        return future.result()
    except Exception as error:
        return _describe_error(error)


# Results


def check_metrics(wanted: Iterable[str], metrics: Metrics) -> None:
    """Check that a run has all the wanted metrics.

    Errors: `SettingsError` naming a missing one, and the choices.
    """
    for name in wanted:
        if name not in metrics:
            hint = did_you_mean(name, metrics)
            raise SettingsError(f"metrics: there is no {name!r}{hint}; choose from {', '.join(metrics)}")


def without_difference(table: pd.DataFrame, paths: Sequence[str]) -> list[str]:
    """Return the paths whose values, of which there are several, made no difference in the table of a sweep.

    They have the same metrics at each value, beside the same seed and the same other settings.
    """
    metrics = [name for name in table if name not in (*paths, "seed")]
    found = []
    for path in paths:
        others = [name for name in (*paths, "seed") if name != path]
        groups = [group for _, group in table.groupby(others, sort=False, dropna=False)]
        if table[path].nunique(dropna=False) > 1 and all(
            len(group[metrics].drop_duplicates()) == 1 for group in groups
        ):
            found.append(path)
    return found


def _table(paths: Sequence[str], cells: Sequence[Cell], outcomes: Sequence[Metrics | str]) -> pd.DataFrame:
    import pandas as pd

    failed = [
        (cell, outcome) for cell, outcome in zip(cells, outcomes, strict=True) if isinstance(outcome, str)
    ]
    names = dict.fromkeys(name for outcome in outcomes if isinstance(outcome, dict) for name in outcome)
    rows = []
    for cell, outcome in zip(cells, outcomes, strict=True):
        metrics, error = ({}, outcome) if isinstance(outcome, str) else (outcome, None)
        settings = dict(zip(paths, cell.labels, strict=True))
        rows.append(
            settings
            | {"seed": cell.scenario.seed}
            | {name: metrics.get(name) for name in names}
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
