"""The command `simulate`: one run of a scenario."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chatlab.cli.options import Changes
from chatlab.cli_errors import check_outputs, draw, format_number, image_path, report_errors, writable_path

DRAWN = 12
"""Number of people whose statuses `--plot` draws."""


def simulate(
    scenario: Annotated[str, typer.Argument(help="A TOML file, or a name from `chatlab scenarios`.")],
    world: Annotated[str, typer.Option(help="The world to run it in: model, wire or live.")] = "model",
    time_scale: Annotated[
        float, typer.Option(help="Speed of the live world: its seconds per second of wall-clock time.")
    ] = 1.0,
    changes: Changes = [],  # noqa: B006 - typer copies it
    sample: Annotated[int, typer.Option(min=0, help="Number of people to record; the first are taken.")] = 50,
    out: Annotated[
        Path | None, typer.Option(callback=writable_path, help="Save the run to this file, as JSON Lines.")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            callback=image_path, help=f"Draw the first {DRAWN} recorded people's statuses into this file."
        ),
    ] = None,
) -> None:
    """Run a scenario and print its metrics."""
    from math import inf

    from rich.console import Console
    from rich.table import Table

    from chatlab.errors import SettingsError
    from chatlab.experiment.cells import with_settings
    from chatlab.experiment.library import find_scenario
    from chatlab.experiment.metrics import describe_never
    from chatlab.experiment.worlds.runner import run

    with report_errors("simulate"):
        check_outputs(scenario, out=out, plot=plot)
        if plot is not None and not sample:
            raise SettingsError("sample: give 1 or more; --plot draws recorded people only")
        result = run(
            with_settings(find_scenario(scenario), changes), world, sample=sample, time_scale=time_scale
        )
    title = f"{result.scenario.name or Path(scenario).name} in the {world} world"
    table = Table("metric", "value", title=title, title_justify="left", caption="times are in seconds")
    for name, value in result.metrics.items():
        table.add_row(name, describe_never(name, result.metrics) if value == inf else format_number(value))
    Console().print(table)
    for number, fault in enumerate(result.scenario.faults):
        if fault.at >= result.scenario.duration:
            typer.echo(
                f"faults[{number}] has no effect: it begins at {fault.at:g} s, and the run ends at "
                f"{result.scenario.duration:g} s",
                err=True,
            )
    if out is not None:
        with report_errors("simulate"):
            result.save(out)
    if plot is not None:
        from chatlab.plots import plot_statuses

        lanes = {name: result.statuses(name) for name in result.people[:DRAWN]}
        with report_errors("simulate"):
            draw(plot_statuses(lanes, faults=result.faults), plot)
        if (count := result.scenario.people.count) > len(lanes):
            typer.echo(f"{plot} shows the first {len(lanes)} of {count:,} people")
