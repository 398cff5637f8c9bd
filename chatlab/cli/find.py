"""The command `find`: the setting at which bounds are just kept, or the best one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chatlab.cli.options import (
    Changes,
    Processes,
    ScenarioName,
    WorldName,
    changed_scenario,
    end_runs,
    open_processes,
)
from chatlab.cli_errors import INTERRUPTED, check_outputs, format_number, report_errors, writable_path
from chatlab.fileio import atomic_write

NONE_KEEPS = 3
"""Exit code if no value keeps the bounds."""
ROWS = 20
"""Most values that are printed: those nearest to the one that was found."""


def find(
    scenario: ScenarioName,
    vary: Annotated[
        str,
        typer.Option(
            metavar="PATH=LOW:HIGH",
            help="The setting and its range, such as transport.reconnect.max_delay=1:60, or its choices, "
            "such as transport.preset=socket.io,Ably.",
        ),
    ],
    keep: Annotated[
        list[str],
        typer.Option(
            metavar="BOUND",
            help='A bound to keep with every seed, such as "attempts_per_second_max<=2000"; repeatable.',
        ),
    ] = [],  # noqa: B006 - typer copies it
    best: Annotated[
        str, typer.Option(metavar="METRIC", help="Find the best value of this metric instead of the limit.")
    ] = "",
    changes: Changes = [],  # noqa: B006 - typer copies it
    seeds: Annotated[
        int, typer.Option(metavar="N", min=1, max=1_000, help="Number of seeds for each value, from 0 up.")
    ] = 5,
    runs: Annotated[int, typer.Option(metavar="N", min=1, max=100_000, help="Most runs to make.")] = 200,
    processes: Processes = 1,
    world: WorldName = "model",
    out: Annotated[
        Path | None,
        typer.Option(callback=writable_path, help="Save every run to this file, as a row of CSV."),
    ] = None,
) -> None:
    """Find the setting at which bounds are just kept, or the best one.

    All values are run with the same seeds. The answer is a sentence, and the TOML to use.

    Exit codes: 0 found, or kept everywhere; 1 a wrong setting or a failed run;
    2 a wrong option; 3 no value keeps the bounds; 130 interrupted.
    """
    from rich.console import Console
    from rich.table import Table

    from chatlab.experiment.bounds import read_bounds
    from chatlab.experiment.find import find as find_setting

    with report_errors("find"):
        check_outputs(scenario, out=out)
        start = changed_scenario("find", scenario, changes)
        bounds = read_bounds(keep)
        with open_processes(processes) as executor:
            found = find_setting(
                start,
                vary,
                keep=bounds,
                best=best or None,
                seeds=range(seeds),
                runs=runs,
                executor=executor,
                world=world,
            )
            end_runs(executor, found.interrupted)
    shown = list(dict.fromkeys([*(bound.metric for bound in bounds), *([best] if best else [])]))
    caption = (
        f"median, least – greatest of {seeds} seeds; times are in seconds"
        if seeds > 1
        else "times are in seconds"
    )
    table = Table(found.path, *shown, "kept", caption=caption)
    groups = list(found.runs.groupby(found.path, sort=False))
    if len(groups) > ROWS:
        at = next((number for number, (value, _) in enumerate(groups) if value == found.value), 0)
        first = min(max(0, at - ROWS // 2), len(groups) - ROWS)
        groups = groups[first : first + ROWS]
    for value, group in groups:
        texts = []
        for name in shown:
            low, middle, high = (format_number(number) for number in group[name].quantile([0, 0.5, 1]))
            texts.append(low if low == high else f"{middle}, {low} – {high}")
        mark = "yes" if found.kept[value] else "no"
        table.add_row(format_number(value) if isinstance(value, float) else str(value), *texts, mark)
    console = Console()
    console.print(table)
    console.print(found.answer, highlight=False, markup=False)
    if found.toml:
        typer.echo(f"\n{found.toml}", nl=False)
    if out is not None:
        with report_errors("find"), atomic_write(out) as part:
            found.runs.to_csv(part, index=False)
    if found.interrupted:
        raise typer.Exit(INTERRUPTED)
    if found.value is None and not all(found.kept.values()):
        raise typer.Exit(NONE_KEEPS)
