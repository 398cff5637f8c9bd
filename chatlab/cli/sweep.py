"""The command `sweep`: many settings of one scenario."""

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
    open_processes,
    warn,
)
from chatlab.cli_errors import check_outputs, format_number, report_errors, writable_path
from chatlab.fileio import atomic_write


def sweep(
    scenario: ScenarioName,
    over: Annotated[
        list[str],
        typer.Option(
            metavar="PATH=VALUES", help="A setting and its values, such as people.count=100,1000; repeatable."
        ),
    ],
    changes: Changes = [],  # noqa: B006 - typer copies it
    seeds: Annotated[
        int,
        typer.Option(metavar="N", min=1, max=100_000, help="Number of seeds for each setting, from 0 up."),
    ] = 1,
    processes: Processes = 1,
    world: WorldName = "model",
    metrics: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="The metrics to print, separated by commas; the file of --out has all.",
            show_default="sent, lost, latency_p95, recovery_p99, unrecovered, attempts",
        ),
    ] = "sent,lost,latency_p95,recovery_p99,unrecovered,attempts",
    out: Annotated[
        Path | None,
        typer.Option(callback=writable_path, help="Save every run to this file, as a row of CSV."),
    ] = None,
) -> None:
    """Run a scenario with many settings, and print each setting's metrics.

    Of several seeds, these are the median, and under it the least and the greatest value.

    Exit codes: 0 all ran; 1 a wrong setting, or a run failed; 2 a wrong option;
    130 interrupted.
    """
    import warnings
    from math import inf

    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table

    from chatlab.experiment.cells import read_all_choices
    from chatlab.experiment.effect import describe_choices
    from chatlab.experiment.percentiles import describe_never
    from chatlab.experiment.scenario import Scenario
    from chatlab.experiment.sweep import check_metrics, without_difference
    from chatlab.experiment.sweep import sweep as run_sweep
    from chatlab.experiment.worlds.runner import run

    shown = [name.strip() for name in metrics.split(",")]
    with report_errors("sweep"):
        check_outputs(scenario, out=out)
        check_metrics(shown, run(Scenario(duration=1.0)).metrics)
        start = changed_scenario("sweep", scenario, changes)
        choices = read_all_choices(over)
        inert = describe_choices(start, choices)
        warn("sweep", inert)
        with (
            warnings.catch_warnings(action="ignore", category=RuntimeWarning),  # printed below
            open_processes(processes) as executor,
        ):
            table = run_sweep(start, choices, seeds=range(seeds), executor=executor, world=world)
    paths = list(choices)
    medians = "median, least – greatest of the seeds; " if seeds > 1 else ""
    printed = Table(caption=f"{medians}times are in seconds")
    for name in [*paths, *shown]:
        printed.add_column(name.replace(".", ".\n").replace("_", "_\n"), overflow="fold")
    console = Console()
    for setting, runs in table.groupby(paths, sort=False, dropna=False):
        total = {str(name): float(count) for name, count in runs.sum(numeric_only=True).items()}
        texts = []
        for name in shown:
            median = runs[name].median()
            text = describe_never(name, total) if median == inf else format_number(median)
            least, greatest = format_number(runs[name].min()), format_number(runs[name].max())
            texts.append(text if least == greatest else f"{text}\n{least} – {greatest}")
        printed.add_row(*map(str, setting), *texts)
    warn(
        "sweep",
        (
            f"{path} made no difference: every metric is the same at each of its values"
            for path in without_difference(table, paths)
            if not any(path in sentence for sentence in inert)
        ),
    )
    if Measurement.get(console, console.options.update(max_width=10_000), printed).minimum > console.width:
        printed.box, printed.pad_edge, printed.padding = SIMPLE_HEAD, False, (0, 0)
    console.print(printed)
    if out is not None:
        with report_errors("sweep"), atomic_write(out) as part:
            table.to_csv(part, index=False)
    failed = table[table["error"].notna()]
    for row in failed.to_dict("records"):
        settings = ", ".join(f"{name}={row[name]}" for name in [*paths, "seed"])
        typer.echo(f"chatlab sweep: with {settings}: {row['error']}", err=True)
    if len(failed):
        raise typer.Exit(1)
