"""The command `lab`: the notebooks in JupyterLab."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chatlab.cli_errors import report_errors


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
