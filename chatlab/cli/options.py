"""Options that several commands have."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from concurrent.futures import Executor

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
