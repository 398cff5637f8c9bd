"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

Changes = Annotated[
    list[str],
    typer.Option("--set", help="A setting and its value, such as people.count=5000; repeatable."),
]
