"""The progress bar of commands and functions that make many runs."""

from __future__ import annotations

from typing import Any


def progress_bar(wanted: bool, total: int | None = None) -> Any:
    """Return a bar of runs, in a notebook or on a terminal; none is drawn into a pipe or a file."""
    from tqdm.auto import tqdm

    return tqdm(total=total, disable=None if wanted else True, unit="run")
