"""Options that several commands have."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chatlab.text import visible_line

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from chatlab.experiment.scenario import Scenario
    from chatlab.settings import HeaderSource

ScenarioName = Annotated[str, typer.Argument(help="A TOML file, or a name from `chatlab scenarios`.")]
Changes = Annotated[
    list[str],
    typer.Option(
        "--set", metavar="PATH=VALUE", help="A setting and its value, such as people.count=5000; repeatable."
    ),
]
Processes = Annotated[int, typer.Option(metavar="N", min=1, max=1_000, help="Number of simultaneous runs.")]
WorldName = Annotated[
    str, typer.Option(metavar="NAME", help="The world to run them in: model, wire or live.")
]

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


def find_own_modules(dialect: str | None) -> None:
    """Add the folder in which the command was given to the path of modules, for a `module:Class`."""
    if dialect is not None and ":" in dialect:
        sys.path.append(str(Path.cwd()))


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


def changed_scenario(command: str, name: str, changes: list[str]) -> Scenario:
    """Return a scenario with changed settings. Warn of changes, and of faults, without effect.

    Errors: `SettingsError`; `OSError` if its file can't be read.
    """
    from chatlab.experiment.cells import read_all_choices, with_settings
    from chatlab.experiment.effect import changes_without_effect, faults_without_effect
    from chatlab.experiment.library import find_scenario

    scenario = with_settings(find_scenario(name), changes)
    changed = {path: values[0] for path, values in read_all_choices(changes).items()}
    settings = {path: value for path, value in changed.items() if not path.startswith("faults")}
    warn(command, [*changes_without_effect(scenario, settings), *faults_without_effect(scenario)])
    return scenario


def warn(command: str, sentences: Iterable[str]) -> None:
    """Print each sentence once, as a line of the standard error."""
    for sentence in dict.fromkeys(sentences):
        typer.echo(f"chatlab {command}: {visible_line(sentence)}", err=True)


def scale_of(command: str, time_scale: float | None, *worlds: str) -> float:
    """Return the speed of the live world. Warn if it was given and none of the worlds is `live`."""
    if time_scale is not None and "live" not in worlds:
        warn(command, ["--time-scale has no effect: only the live world takes it"])
    return 1.0 if time_scale is None else time_scale


def end_runs(executor: Executor | None, interrupted: bool) -> None:
    """End the processes of a pool at once if its caller was interrupted."""
    from chatlab.experiment.process_pool import ProcessPool

    if interrupted and isinstance(executor, ProcessPool):
        executor.kill()


def open_processes(count: int) -> AbstractContextManager[Executor | None]:
    """Return a pool of `count` processes, or None if one is enough: this one."""
    if count == 1:
        return nullcontext()
    from chatlab.experiment.sweep import processes

    return processes(count)
