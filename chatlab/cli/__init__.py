"""The command line: a module for each command. They import their dependencies themselves, which keeps
`chatlab --help` quick.
"""

from __future__ import annotations

from typing import Annotated

import typer

from chatlab import stdio
from chatlab.cli import chat, compare, find, fit, lab, probe, scenarios, serve, simulate, sweep
from chatlab.cli_errors import Commands

app = typer.Typer(cls=Commands, add_completion=False, pretty_exceptions_enable=False)


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


for _command in (
    serve.serve,
    chat.chat,
    probe.probe,
    lab.lab,
    simulate.simulate,
    compare.compare,
    scenarios.scenarios,
    sweep.sweep,
    find.find,
    fit.fit,
):
    app.command()(_command)
