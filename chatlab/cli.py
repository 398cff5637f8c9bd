"""The command line. Commands import their dependencies themselves, which keeps `chatlab --help` quick."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chatlab import stdio
from chatlab.cli_errors import check_outputs, draw, format_number, image_path, report_errors, writable_path
from chatlab.fileio import atomic_write

if TYPE_CHECKING:
    from chatlab.live.server.embedded_server import EmbeddedServer

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def main() -> None:
    """Run the command that the arguments name, and exit."""
    stdio.prepare()
    code: str | int | None = 0
    try:
        app()
    except SystemExit as ended:
        code = ended.code
    if missing := stdio.finish():
        typer.echo(f"chatlab: the standard output is incomplete: {missing.lower()}", err=True)
        code = code or 1
    raise SystemExit(code)


def _print_version(wanted: bool) -> None:
    if wanted:
        from chatlab import __version__

        typer.echo(f"chatlab {__version__}")
        raise typer.Exit


@app.callback()
def chatlab(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A chat console and a chat-network simulator that use the same transports.

    To start: `chatlab lab` opens the notebooks, `chatlab simulate deploy` runs a scenario.
    """


@app.command()
def serve(
    host: Annotated[
        str, typer.Option(help="The address to listen on; all but loopback are open to the network.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes any free one.")] = 8000,
    db: Annotated[
        Path | None,
        typer.Option(
            callback=writable_path,
            help="A file for the history, which is otherwise lost when the server ends.",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A host name that clients use for the server; repeatable."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            help="An origin whose pages may connect, such as https://chat.example; repeatable.",
        ),
    ] = None,
    trust_proxy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS",
            help="A proxy or network whose X-Forwarded-For, -Proto and -Host are trusted; repeatable.",
        ),
    ] = None,
) -> None:
    """Serve chat rooms until interrupted."""
    import asyncio
    from socket import gaierror

    from chatlab.live.server.embedded_server import CommandServer, serve
    from chatlab.live.server.store import StoreError

    def announce(server: EmbeddedServer) -> None:
        typer.echo(f"chatlab is serving {server.url} (WebSocket: {server.ws_url})")

    with report_errors("serve"):
        try:
            server = CommandServer(
                db,
                host,
                port,
                allowed_hosts=allow_host or (),
                allowed_origins=allow_origin or (),
                trusted_proxies=trust_proxy or (),
            )
            asyncio.run(serve(server, announce))
        except StoreError as error:
            raise OSError(str(error)) from None
        except gaierror as error:
            raise OSError(f"host {host}: {error.strerror}; give an address of this machine") from None


@app.command()
def chat(
    url: Annotated[str, typer.Argument(help="http(s)://host:port of a chatlab server, or any ws(s):// URL.")],
    room: Annotated[str, typer.Option(help="The room to join.")] = "lobby",
    name: Annotated[str, typer.Option(envvar=["USER", "USERNAME"], help="Your name in the room.")] = "guest",
    transport: Annotated[
        str,
        typer.Option(
            help="websocket, sse, long_polling, short_polling, or fallback, which takes the best that works.",
            show_default="the best that the dialect supports",
        ),
    ] = "",
    dialect: Annotated[
        str, typer.Option(help="The server's dialect: chatlab, text, nchan or matrix.")
    ] = "chatlab",
    history: Annotated[
        int, typer.Option(min=0, max=1_000_000, help="Number of earlier messages to show first.")
    ] = 50,
    header: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME:VALUE", help="A header to send with each request; repeatable."),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A file with a token to send as `Authorization: Bearer`, read again for each attempt.",
        ),
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Read and print plain lines, as in a pipe.")] = False,
) -> None:
    """Chat in the terminal. In a pipe, send every line of the input."""
    import asyncio
    import os
    import sys

    from chatlab.settings import HeaderSource
    from chatlab.terminal.given_headers import TokenFile, read_headers
    from chatlab.terminal.targets import Target, best_kind

    terminal = sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    if plain or not terminal:
        from chatlab.terminal.plain import run_plain as run
    else:
        from chatlab.terminal.screen import run_screen as run
    with report_errors("chat"):
        headers = HeaderSource(given := read_headers(header or []))
        if token_file is not None:
            file = TokenFile(token_file, given)
            headers = HeaderSource(file)
            if file.hint:
                typer.echo(f"chatlab chat: {file.hint}", err=True)
        target = Target(url=url, room=room, name=name, dialect=dialect, history=history, headers=headers)
        code = asyncio.run(run(target, transport or best_kind(dialect)))
    raise typer.Exit(code)


@app.command()
def lab(
    notebook: Annotated[
        Path | None,
        typer.Argument(
            help="A notebook or folder to open without copying.", show_default="copies of chatlab's notebooks"
        ),
    ] = None,
) -> None:
    """Copy the notebooks into ./chatlab-notebooks, and open JupyterLab on the first one.

    Copies that you changed are never overwritten. Without a browser, the URL is printed.
    """
    from importlib.util import find_spec

    from chatlab.lab import START, copies, copy_notebooks, open_lab, originals

    with report_errors("lab"):
        if find_spec("jupyterlab") is None:
            raise OSError("JupyterLab is missing; install it with: pip install 'chatlab[lab]'")
        if notebook is None:
            folder = copies()
            copied = copy_notebooks(originals(), folder)
            if copied.written:
                typer.echo(f"chatlab lab: notebooks copied into {folder.resolve()}: {len(copied.written)}")
            for name in copied.kept:
                typer.echo(f"chatlab lab: kept {name}, which you changed; rename it to get the newer one")
            notebook = folder / START
        if not notebook.exists():
            raise OSError(f"{notebook} doesn't exist; name a notebook or a folder")
        open_lab(notebook)


DRAWN = 12
"""Number of people whose statuses `simulate --plot` draws."""
Changes = Annotated[
    list[str],
    typer.Option("--set", help="A setting and its value, such as people.count=5000; repeatable."),
]


@app.command()
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


@app.command()
def compare(
    scenario: Annotated[str, typer.Argument(help="A TOML file, or a name from `chatlab scenarios`.")],
    worlds: Annotated[
        str, typer.Option(help="The worlds to run it in; the first is compared with each of the others.")
    ] = "model,wire",
    time_scale: Annotated[
        float, typer.Option(help="Speed of the live world: its seconds per second of wall-clock time.")
    ] = 1.0,
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
    from chatlab.experiment.cells import with_settings
    from chatlab.experiment.compare import compare as compare_runs
    from chatlab.experiment.library import find_scenario
    from chatlab.experiment.worlds.runner import run

    names = [name.strip() for name in worlds.split(",")]
    with report_errors("compare", code=2):
        check_outputs(scenario, plot=plot)
        if len(names) < 2:
            raise SettingsError(f"worlds: give two or more, such as model,wire; got {worlds!r}")
        scenario_to_run = with_settings(find_scenario(scenario), changes)
        first, *others = [run(scenario_to_run, name, time_scale=time_scale) for name in names]
    compared = [compare_runs(first, other) for other in others]
    for comparison in compared:
        typer.echo(str(comparison))
    if plot is not None:
        from chatlab.plots import plot_comparison

        with report_errors("compare", code=2):
            draw(plot_comparison(first, others[-1]), plot)
    if not all(compared):
        raise typer.Exit(1)


@app.command()
def scenarios() -> None:
    """List the ready-made scenarios and the question that each answers."""
    from rich.console import Console
    from rich.table import Table

    from chatlab.experiment.library import scenario_names, scenario_question

    table = Table("name", "question")
    for name in scenario_names():
        table.add_row(name, scenario_question(name))
    Console().print(table)


@app.command()
def sweep(
    scenario: Annotated[str, typer.Argument(help="A TOML file, or a name from `chatlab scenarios`.")],
    over: Annotated[
        list[str],
        typer.Option(help="A setting and its values, such as people.count=100,1000; repeatable."),
    ],
    seeds: Annotated[
        int,
        typer.Option(min=1, max=100_000, help="Number of seeds for each setting, from 0 up."),
    ] = 1,
    processes: Annotated[int, typer.Option(min=1, max=1_000, help="Number of simultaneous runs.")] = 1,
    world: Annotated[str, typer.Option(help="The world to run them in: model, wire or live.")] = "model",
    metrics: Annotated[
        str,
        typer.Option(
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
    """
    import warnings
    from contextlib import nullcontext
    from math import inf

    from rich.console import Console
    from rich.table import Table

    from chatlab.experiment.cells import read_all_choices
    from chatlab.experiment.library import find_scenario
    from chatlab.experiment.metrics import describe_never
    from chatlab.experiment.scenario import Scenario
    from chatlab.experiment.sweep import check_metrics
    from chatlab.experiment.sweep import processes as pool
    from chatlab.experiment.sweep import sweep as run_sweep
    from chatlab.experiment.worlds.runner import run

    shown = [name.strip() for name in metrics.split(",")]
    with report_errors("sweep"):
        check_outputs(scenario, out=out)
        check_metrics(shown, run(Scenario(duration=1.0)).metrics)
        choices = read_all_choices(over)
        with (
            warnings.catch_warnings(action="ignore", category=RuntimeWarning),  # printed below
            pool(processes) if processes > 1 else nullcontext() as executor,
        ):
            table = run_sweep(
                find_scenario(scenario), choices, seeds=range(seeds), executor=executor, world=world
            )
    paths = list(choices)
    medians = "median, least – greatest of the seeds; " if seeds > 1 else ""
    printed = Table(caption=f"{medians}times are in seconds")
    for name in [*paths, *shown]:
        printed.add_column(name.replace(".", ".\n").replace("_", "_\n"), overflow="fold")
    for setting, runs in table.groupby(paths, sort=False, dropna=False):
        total = {str(name): float(count) for name, count in runs.sum(numeric_only=True).items()}
        texts = []
        for name in shown:
            median = runs[name].median()
            text = describe_never(name, total) if median == inf else format_number(median)
            least, greatest = format_number(runs[name].min()), format_number(runs[name].max())
            texts.append(text if least == greatest else f"{text}\n{least} – {greatest}")
        printed.add_row(*map(str, setting), *texts)
    Console().print(printed)
    if out is not None:
        with report_errors("sweep"), atomic_write(out) as part:
            table.to_csv(part, index=False)
    failed = table[table["error"].notna()]
    for row in failed.to_dict("records"):
        settings = ", ".join(f"{name}={row[name]}" for name in [*paths, "seed"])
        typer.echo(f"chatlab sweep: with {settings}: {row['error']}", err=True)
    if len(failed):
        raise typer.Exit(1)
