"""Errors of commands, each in one line, and checks of output paths before a command begins to work."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from typer.core import TyperGroup

from chatlab.errors import SettingsError
from chatlab.fileio import atomic_write
from chatlab.text import visible_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes


INTERRUPTED = 130
"""Exit code after an interrupt, as shells have it: 128 and the number of SIGINT."""
_USAGE_ERROR: type[Any] = typer.BadParameter.__mro__[1]  # Typer has no public name for it.
_OPTION = re.compile(r"^\w+(?=(?: \S+)?: )")
"""The name of an option at the beginning of an error's text, and perhaps its value."""


class CommandError(Exception):
    """An error of a command, in one sentence; the command ends with the exit code `code`."""

    def __init__(self, command: str, text: str, code: int) -> None:
        super().__init__(text)
        self.command = command
        self.code = code


class Commands(TyperGroup):
    """The commands. Each error is one line that begins with the command, and options have their dashes."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Return the arguments behind the command's name; print the help if there are none."""
        if not args:
            typer.echo(ctx.get_help())
            raise typer.Exit(2)
        return super().parse_args(ctx, args)

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> NoReturn:
        """Run the command that the arguments name, and exit."""
        args = sys.argv[1:] if args is None else args
        try:
            code = super().main(args, *rest, **extra | {"standalone_mode": False})
        except CommandError as error:
            code = _report(error.command, self._with_dashes(error), error.code)
        except typer.Abort:
            code = _report("", "interrupted", INTERRUPTED)
        except _USAGE_ERROR as error:
            command = next((word for word in args if word in self.commands), "")
            code = _report(command, _usage(error, command), error.exit_code)
        sys.exit(code or 0)

    def _with_dashes(self, error: CommandError) -> str:
        """Return the error's text; if it begins with an option's name, as it is written in a command."""
        options = {option.name: option.opts[0] for option in self.commands[error.command].params}
        return _OPTION.sub(lambda name: options.get(name[0], name[0]), str(error))


def _usage(error: Any, command: str) -> str:
    """Return what is wrong with the arguments of a command."""
    if type(error) is typer.BadParameter and error.param is not None:
        return f"{error.param.opts[0]}: {error.message[:1].lower()}{error.message[1:]}"
    text = error.format_message().rstrip(".")
    page = " ".join(filter(None, ("chatlab", command, "--help")))
    return f"{text[:1].lower()}{text[1:]}; see {page}"


def _report(command: str, text: str, code: int) -> int:
    typer.echo(f"{f'chatlab {command}'.rstrip()}: {visible_line(text)}", err=True)
    return code


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
        raise CommandError(command, text, code) from None


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
