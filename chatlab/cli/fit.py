"""The command `fit`: the settings that explain a measured series."""

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
from chatlab.cli_errors import (
    INTERRUPTED,
    check_outputs,
    draw,
    format_number,
    image_path,
    report_errors,
    writable_path,
)
from chatlab.fileio import atomic_write

NONE_EXPLAINS = 3
"""Exit code if no candidate explains the file well."""
ROWS = 12
"""Most candidates that are printed."""


def fit(
    scenario: ScenarioName,
    to: Annotated[
        Path, typer.Option(metavar="CSV", help="A file with a row for each second: a time and a count.")
    ],
    over: Annotated[
        list[str],
        typer.Option(
            metavar="PATH=VALUES",
            help="Candidates, such as transport.preset=socket.io,Ably, or an unknown with its range, such as "
            "people.count=500:2000; repeatable.",
        ),
    ] = [],  # noqa: B006 - typer copies it
    of: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="What was counted: attempts, requests, connected, sent, delivered, queue or work.",
        ),
    ] = "attempts",
    column: Annotated[
        str,
        typer.Option(metavar="NAME", help="The file's column with the counts; --of says what they are."),
    ] = "",
    offset: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=0, help="The second of the run in which the file begins.", show_default="any"
        ),
    ] = None,
    changes: Changes = [],  # noqa: B006 - typer copies it
    seeds: Annotated[
        int,
        typer.Option(
            metavar="N", min=2, max=1_000, help="Number of seeds for the best candidates, from 0 up."
        ),
    ] = 8,
    runs: Annotated[int, typer.Option(metavar="N", min=1, max=100_000, help="Most runs to make.")] = 600,
    processes: Processes = 1,
    world: WorldName = "model",
    out: Annotated[
        Path | None, typer.Option(callback=writable_path, help="Save the ranking to this file, as CSV.")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(callback=image_path, help="Draw what was measured and what was fitted into this file."),
    ] = None,
) -> None:
    """Rank the settings that could explain a measured incident, and say how sure that is.

    Exit codes: 0 ranked; 1 a wrong setting or file, or a failed run;
    2 a wrong option; 3 no candidate explains the file well; 130 interrupted.
    """
    from rich.console import Console
    from rich.table import Table

    from chatlab.experiment.fit import fit as fit_scenario

    with report_errors("fit"):
        check_outputs(scenario, out=out, plot=plot)
        start = changed_scenario("fit", scenario, changes)
        with open_processes(processes) as executor:
            fitted = fit_scenario(
                start,
                to,
                over,
                of=of,
                column=column,
                offset=offset,
                seeds=range(seeds),
                runs=runs,
                executor=executor,
                world=world,
            )
            end_runs(executor, fitted.interrupted)
    headings = [name for name in fitted.rows[0] if name not in ("possible", "ruled_out")]
    table = Table(
        *headings,
        "ruled out",
        caption="off: difference of a second, on average; offset: second of the run in which the file begins",
    )
    for row in fitted.rows[:ROWS]:
        texts = [
            format_number(row[name]) if isinstance(row[name], float) else str(row[name]) for name in headings
        ]
        table.add_row(*texts, "no" if row["possible"] else f"yes ({min(row['ruled_out'], 99):.0f} σ)")
    console = Console()
    console.print(table)
    if len(fitted.rows) > ROWS:
        console.print(f"and {len(fitted.rows) - ROWS} more candidates; --out saves all")
    console.print(fitted.answer, highlight=False, markup=False)
    if fitted.toml:
        typer.echo(f"\n{fitted.toml}", nl=False)
    if out is not None:
        with report_errors("fit"), atomic_write(out) as part:
            fitted.ranking.to_csv(part, index=False)
    if plot is not None:
        from chatlab.plots import plot_fit

        with report_errors("fit"):
            draw(plot_fit(fitted), plot)
    if fitted.interrupted:
        raise typer.Exit(INTERRUPTED)
    if not fitted.explained:
        raise typer.Exit(NONE_EXPLAINS)
