"""The command `compare`: one scenario in several worlds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chatlab.cli.options import Changes, ScenarioName, TimeScale, changed_scenario, scale_of
from chatlab.cli_errors import check_outputs, draw, image_path, report_errors


def compare(
    scenario: ScenarioName,
    worlds: Annotated[
        str, typer.Option(help="The worlds to run it in; the first is compared with each of the others.")
    ] = "model,wire",
    time_scale: TimeScale = None,
    changes: Changes = [],  # noqa: B006 - typer copies it
    plot: Annotated[
        Path | None,
        typer.Option(
            callback=image_path,
            help="Draw the first and the last run into this file, with their differences.",
        ),
    ] = None,
) -> None:
    """Run a scenario in several worlds. If they differ, print the first difference and exit with 1."""
    from chatlab.errors import SettingsError
    from chatlab.experiment.compare import compare as compare_runs
    from chatlab.experiment.worlds.runner import run

    names = [name.strip() for name in worlds.split(",")]
    with report_errors("compare", code=2):
        check_outputs(scenario, plot=plot)
        if len(names) < 2:
            raise SettingsError(f"worlds: give two or more, such as model,wire; got {worlds!r}")
        scenario_to_run = changed_scenario("compare", scenario, changes)
        speed = scale_of("compare", time_scale, *names)
        first, *others = [run(scenario_to_run, name, time_scale=speed) for name in names]
    compared = [compare_runs(first, other) for other in others]
    for comparison in compared:
        typer.echo(str(comparison))
    if plot is not None:
        from chatlab.plots import plot_comparison

        with report_errors("compare", code=2):
            draw(plot_comparison(first, others[-1]), plot)
    if not all(compared):
        raise typer.Exit(1)
