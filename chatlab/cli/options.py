"""Options that several commands have."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from chatlab.settings import HeaderSource

ScenarioName = Annotated[str, typer.Argument(help="A TOML file, or a name from `chatlab scenarios`.")]
Changes = Annotated[
    list[str],
    typer.Option("--set", help="A setting and its value, such as people.count=5000; repeatable."),
]
Processes = Annotated[int, typer.Option(min=1, max=1_000, help="Number of simultaneous runs.")]
WorldName = Annotated[str, typer.Option(help="The world to run them in: model, wire or live.")]

TimeScale = Annotated[
    float | None,
    typer.Option(
        help="Speed of the live world: its seconds per second of wall-clock time.", show_default="1.0"
    ),
]

Headers = Annotated[
    list[str] | None,
    typer.Option("--header", metavar="NAME:VALUE", help="A header to send with each request; repeatable."),
]
TokenFileName = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        help="A file with a token to send as `Authorization: Bearer`, read again for each attempt.",
    ),
]


def given_headers(command: str, header: list[str] | None, token_file: Path | None) -> HeaderSource:
    """Return the headers that `--header` and `--token-file` give. Warn if others can read the token.

    Errors: `SettingsError`.
    """
    from chatlab.live.client.typed_headers import read_headers
    from chatlab.settings import HeaderSource
    from chatlab.terminal.given_headers import TokenFile

    given = read_headers(header or [])
    if token_file is None:
        return HeaderSource(given)
    file = TokenFile(token_file, given)
    if file.hint:
        typer.echo(f"chatlab {command}: {file.hint}", err=True)
    return HeaderSource(file)


def scale_of(command: str, time_scale: float | None, *worlds: str) -> float:
    """Return the speed of the live world. Warn if it was given, and none of the worlds is the live one."""
    if time_scale is not None and "live" not in worlds:
        typer.echo(f"chatlab {command}: --time-scale has no effect: only the live world takes it", err=True)
    return 1.0 if time_scale is None else time_scale


def open_processes(count: int) -> AbstractContextManager[Executor | None]:
    """Return a pool of `count` processes, or None if one is enough: this one."""
    if count == 1:
        return nullcontext()
    from chatlab.experiment.sweep import processes

    return processes(count)
