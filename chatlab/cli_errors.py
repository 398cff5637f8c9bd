"""Errors of commands, and checks of output paths before a command begins to work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from chatlab.errors import SettingsError
from chatlab.fileio import atomic_write
from chatlab.text import visible_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@contextmanager
def report_errors(command: str, *, code: int = 1) -> Iterator[None]:
    """Report a `SettingsError` or `OSError` of the block in one line, and exit with `code`."""
    try:
        yield
    except (SettingsError, OSError) as error:
        text = str(error)
        if isinstance(error, OSError) and error.strerror:
            where = f"{error.filename}: " if error.filename else ""
            text = where + error.strerror[:1].lower() + error.strerror[1:]
        typer.echo(f"chatlab {command}: {visible_line(text)}", err=True)
        raise typer.Exit(code) from None


def format_number(value: float | None) -> str:
    """Return a metric with four significant digits, or a whole number from 1,000 on; inf is "never"."""
    if value is None or value != value:
        return "–"
    if value == inf:
        return "never"
    return f"{value:,.0f}" if abs(value) >= 999.95 else f"{value:.4g}"


def writable_path(path: Path | None) -> Path | None:
    """Check that a file can be written at `path`; a typer callback."""
    if path is not None:
        if path.is_dir():
            raise typer.BadParameter(f"{path} is a folder; name a file in it")
        if not path.parent.is_dir():
            raise typer.BadParameter(f"there is no folder {path.parent}; create it, or name another")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise typer.BadParameter(f"{path} can't be written; name another file")
    return path


def check_outputs(scenario: str, **outputs: Path | None) -> None:
    """Check that no output would replace the scenario's own file.

    Errors: `SettingsError` naming the option.
    """
    for option, path in outputs.items():
        if path is not None and path.exists() and Path(scenario).exists() and path.samefile(scenario):
            raise SettingsError(f"--{option}: {path} is the scenario itself; name another file")


def image_path(path: Path | None) -> Path | None:
    """Check that an image of the suffix's format can be written at `path`; a typer callback."""
    if path is not None:
        from matplotlib.backend_bases import FigureCanvasBase

        formats = FigureCanvasBase.get_supported_filetypes()
        if path.suffix and path.suffix[1:].lower() not in formats:
            shown = ", ".join(f".{name}" for name in formats)
            raise typer.BadParameter(f"{path.suffix} is no image format; choose one of {shown}")
    return writable_path(path)


def draw(axes: Axes, path: Path) -> None:
    """Save the figure of the axes; as PNG if the name has no suffix."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    with atomic_write(path) as part:
        figure.savefig(part, format=path.suffix[1:] or "png")
