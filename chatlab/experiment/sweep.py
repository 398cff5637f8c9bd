"""Sweeps: a scenario run again and again with other settings and other luck, as one tidy table.

A task is a scenario as TOML text, and what comes back is a row of figures; so tasks are small wherever they
run. The table has the order of the settings, whatever the order in which runs finish.
"""

from __future__ import annotations

import pickle
import re
import sys
import tomllib
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import AbstractContextManager, nullcontext
from difflib import get_close_matches
from itertools import product
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np

from chatlab.errors import SettingsError
from chatlab.experiment.metrics import Value
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.toml import NONE, from_plain, to_plain, to_whole
from chatlab.experiment.worlds import WORLDS, run
from chatlab.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

Choices = Mapping[str, Any] | Iterable[Any]
"""The values of a setting, or by the names that the table is to have for them."""
Measure = Callable[[Run], Mapping[str, Value]]
"""Takes from a run what the table is to have of it."""
Figures = dict[str, Value]


class Cell(msgspec.Struct, frozen=True):
    """One run of a sweep: the table's name of each swept setting, and the scenario."""

    labels: tuple[Any, ...]
    scenario: Scenario


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
    each other here. A run that fails leaves the others alone, and is told of in a `RuntimeWarning`.

    Errors: `SettingsError` naming the path and what there is, or a function that other processes can't find,
    before anything runs; or the metric that runs don't have.
    """
    from tqdm.auto import tqdm

    if world not in WORLDS:
        raise SettingsError(f"world: there is no {world!r}; choose one of {', '.join(WORLDS)}")
    cells = _cells(scenario, over, seeds)
    names = [metrics] if isinstance(metrics, str) else metrics
    measure = names if callable(names) else None
    wanted = None if names is None or callable(names) else list(names)
    found: list[Figures | str] = [""] * len(cells)
    if measure is not None and (executor == "processes" or isinstance(executor, ProcessPoolExecutor)):
        _check_found_elsewhere(measure)
    with _pool(executor) as pool, tqdm(total=len(cells), disable=not progress, unit="run") as bar:
        for number, outcome in _outcomes(cells, pool, world, measure):
            if wanted is not None and not isinstance(outcome, str):
                check_metrics(wanted, outcome)
                outcome = {name: outcome[name] for name in wanted}
            found[number] = outcome
            bar.update()
    return _table(list(over), cells, found)


def read_choices(text: str) -> tuple[str, list[Any]]:
    """Return the path and the values that a text such as `people.count=100,1000` gives; values are TOML's.

    Strings need quotes only where they hold a comma. Errors: `SettingsError`.
    """
    path, equals, values = text.partition("=")
    if not equals or not path.strip() or not values.strip():
        raise SettingsError(f"{text!r}: give a setting and its values, such as people.count=100,1000")
    try:
        choices: list[Any] = tomllib.loads(f"values = [{values}]")["values"]
    except tomllib.TOMLDecodeError:
        choices = [_read_value(value.strip()) for value in values.split(",")]
    return path.strip(), choices


def read_all_choices(texts: Iterable[str]) -> dict[str, list[Any]]:
    """Return what several such texts give. Errors: `SettingsError`, where a path is given twice too."""
    choices: dict[str, list[Any]] = {}
    for path, values in map(read_choices, texts):
        if path in choices:
            raise SettingsError(f"{path}: give all its values at once, as {path}=1,2")
        choices[path] = values
    return choices


def _read_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


# What is to be run


def _cells(scenario: Scenario, over: Mapping[str, Choices], seeds: Iterable[int] | None) -> list[Cell]:
    if "seed" in over:
        raise SettingsError("seed: give it as seeds=, not in over=")
    axes = [_choices(path, choices) for path, choices in over.items()]
    numbers = [scenario.seed] if seeds is None else [_plain(seed) for seed in seeds]
    if not numbers:
        raise SettingsError("seeds: give at least one")
    cells = []
    for choice in product(*axes):
        raw = to_plain(scenario)
        for path, (_, value) in zip(over, choice, strict=True):
            _place(raw, scenario, path, value)
        labels = tuple(label for label, _ in choice)
        cells += [Cell(labels, from_plain(raw | {"seed": seed}, Scenario)) for seed in numbers]
    return cells


def _choices(path: str, choices: Choices) -> list[tuple[Any, Any]]:
    """Return the values of one setting with their names in the table."""
    if isinstance(choices, str) or not isinstance(choices, Iterable):
        raise SettingsError(f"{path}: give a list of values, got {choices!r}")
    if isinstance(choices, Mapping):
        named = [(str(name), _plain(value)) for name, value in choices.items()]
    else:
        named = [(_label(value), _plain(value)) for value in choices]
    if not named:
        raise SettingsError(f"{path}: give at least one value")
    return named


def _plain(value: Any) -> Any:
    """Return a value as TOML has it."""
    if isinstance(value, np.generic):
        return value.item()
    return NONE if value is None else to_whole(value)


def _label(value: Any) -> Any:
    value = to_plain(value) if isinstance(value, Settings | list | tuple) else _plain(value)
    return msgspec.json.encode(value).decode() if isinstance(value, dict | list) else value


def _place(raw: Any, settings: Any, path: str, value: Any) -> None:
    """Put a value where a path such as `faults[0].at` leads. Whether it may be there is checked later."""
    *parents, last = re.findall(r"[^.\[\]]+", path) or [""]
    where = ""
    for key in parents:
        settings, raw, where = _step(settings, raw, key, where)
    if isinstance(raw, list):
        raw[_index(raw, last, where)] = value
    else:
        raw[last] = value


def _step(settings: Any, raw: Any, key: str, where: str) -> tuple[Any, Any, str]:
    if isinstance(raw, list):
        index = _index(raw, key, where)
        return settings[index] if index < len(settings or ()) else None, raw[index], f"{where}[{index}]"
    settings = getattr(settings, key, None)
    if not isinstance(raw.get(key), dict | list):  # it's at its default, and its tag must not get lost
        raw[key] = to_plain(settings) if isinstance(settings, Settings | tuple) else {}
    return settings, raw[key], f"{where}.{key}".removeprefix(".")


def _index(raw: list[Any], key: str, where: str) -> int:
    if not key.isdecimal() or int(key) >= len(raw):
        there = f"from [0] to [{len(raw) - 1}]" if raw else "none: it's empty"
        raise SettingsError(f"{where}: there is no [{key}]; choose {there}")
    return int(key)


# Running it


def run_cell(scenario: str, world: str, measure: Measure | None) -> Figures | str:
    """Run a scenario, given as TOML, and return its figures, or what went wrong. It is what executors run."""
    try:
        result = run(Scenario.from_toml(scenario), world, sample=0)
        return result.metrics if measure is None else dict(measure(result))
    except Exception as error:
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


def processes(count: int | None = None) -> ProcessPoolExecutor:
    """Return a pool of so many processes, or one a core.

    A fork of threads isn't safe, so they aren't forked from this process but, on Linux, from one that has
    loaded the simulator and nothing else: so the next pool is there at once. macOS's own libraries can't be
    forked, and Windows can't fork at all.
    """
    if sys.platform != "linux":
        return ProcessPoolExecutor(count, mp_context=get_context("spawn"))
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return ProcessPoolExecutor(count, mp_context=context)


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
