"""The command `simulate`: one run of a scenario, and its answer."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chatlab.cli.options import Changes, ScenarioName, TimeScale, changed_scenario, scale_of
from chatlab.cli_errors import check_outputs, draw, format_number, image_path, report_errors, writable_path
from chatlab.fileio import atomic_write
from chatlab.text import visible_line

if TYPE_CHECKING:
    from chatlab.experiment.percentiles import Value

GROUP_METRICS = ("people", "attempts", "never_connected", "gave_up", "unrecovered", "recovery_p99", "lost")
"""The metrics of each group that are printed."""
RECORDED = ("lateness", "statuses", "returns")
"""The kinds of plots that show recorded people only."""


def _plot_option(text: str | None) -> str | None:
    """Check the value of --plot; a typer callback."""
    if text:
        image_path(_plot_choice(text)[1])
    return text or None


def _plot_choice(text: str) -> tuple[str, Path]:
    """Return the kind of plot and the file of a text such as `herd.png`, `crowd` or `crowd:herd.png`."""
    from chatlab.plots.run import PLOTS

    kind, colon, file = text.partition(":")
    if kind not in PLOTS:
        name = Path(text).name
        if (colon and len(kind) > 1 and kind.isidentifier()) or (name == text and "." not in name):
            close = get_close_matches(kind, PLOTS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"choose one of {', '.join(PLOTS)}"
            raise typer.BadParameter(f"there is no kind {kind!r}, nor a suffix such as .png; {hint}")
        return "", Path(text)
    return kind, Path(file if colon and file else f"{kind}.png")


def _told(name: str, metrics: Mapping[str, Value]) -> str:
    """Return the text of a metric."""
    from chatlab.experiment.percentiles import describe_never

    value = metrics[name]
    return describe_never(name, metrics) if value == inf else format_number(value)


def simulate(
    scenario: ScenarioName,
    world: Annotated[
        str, typer.Option(metavar="NAME", help="The world to run it in: model, wire or live.")
    ] = "model",
    time_scale: TimeScale = None,
    changes: Changes = [],  # noqa: B006 - typer copies it
    sample: Annotated[
        int, typer.Option(metavar="N", min=0, help="Number of people to record; the first are taken.")
    ] = 50,
    everything: Annotated[bool, typer.Option("--all", help="Print all metrics.")] = False,
    out: Annotated[
        Path | None, typer.Option(callback=writable_path, help="Save the run to this file, as JSON Lines.")
    ] = None,
    series: Annotated[
        Path | None,
        typer.Option(callback=writable_path, help="Save the counts of each second to this file, as CSV."),
    ] = None,
    plot: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|KIND|KIND:FILE",
            callback=_plot_option,
            help="Draw what the run is about into this image file, or choose: crowd (attempts and connected "
            "people), lateness (latency over time), latency (its distribution), statuses, returns or queue.",
        ),
    ] = None,
) -> None:
    """Run a scenario, and say what happened; then print the metrics that matter in it.

    Exit codes: 0 whatever happened; 1 a wrong setting or a file that can't be written;
    2 a wrong option; 130 interrupted.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from chatlab.errors import SettingsError
    from chatlab.experiment.answer import relevant
    from chatlab.experiment.worlds.runner import run

    kind, image = _plot_choice(plot) if plot else ("", None)
    with report_errors("simulate"):
        check_outputs(scenario, out=out, series=series, plot=image)
        if kind in RECORDED and not sample:
            raise SettingsError(f"sample: give 1 or more; the plot {kind} shows recorded people only")
        changed = changed_scenario("simulate", scenario, changes)
        result = run(changed, world, sample=sample, time_scale=scale_of("simulate", time_scale, world))
    console = Console()
    console.print(result.answer, highlight=False, markup=False)
    console.print()
    title = f"{result.scenario.name or Path(scenario).name} in the {world} world"
    shown = list(result.metrics) if everything else relevant(result.metrics)
    rest = len(result.metrics) - len(shown)
    caption = "times are in seconds" + (f"; --all prints {rest} more" if rest else "")
    table = Table("metric", "value", title=title, title_justify="left", caption=caption)
    for name in shown:
        table.add_row(name, _told(name, result.metrics))
    console.print(table)
    if result.group_metrics:
        headings = [name.replace("_", "_\n") for name in GROUP_METRICS]  # So they fit into 80 columns.
        groups = Table(
            "group", *headings, caption="run.groups in Python has more", box=SIMPLE_HEAD, padding=0
        )
        for name, metrics in result.group_metrics.items():
            groups.add_row(visible_line(name), *(_told(key, metrics) for key in GROUP_METRICS))
        console.print(groups)
    if out is not None:
        with report_errors("simulate"):
            result.save(out)
    if series is not None:
        with report_errors("simulate"), atomic_write(series) as part:
            result.per_second().to_csv(part)
    if image is not None:
        from chatlab.plots.run import LANES, fitting, plot_run

        with report_errors("simulate"):
            draw(plot_run(result, kind), image)
        drawn = LANES if (kind or fitting(result)) == "statuses" else len(result.people)
        if (kind or fitting(result)) in RECORDED and (count := result.scenario.people.count) > drawn:
            typer.echo(f"{image} shows the first {min(drawn, len(result.people))} of {count:,} people")
