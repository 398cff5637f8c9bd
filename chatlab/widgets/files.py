"""Rows as files: JSON lines, which can be loaded again, and the way of a file to the page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from chatlab.widgets.pacing import Message

Format = Literal["jsonl", "txt"]

PART_CHARS = 250_000
"""Characters of a file in a comm message at most."""


def json_lines(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as JSON, one a line."""
    return "".join(f"{msgspec.json.encode(row).decode()}\n" for row in rows)


def read_rows(path: str | Path, row_type: type[msgspec.Struct]) -> list[dict[str, Any]]:
    """The rows of a file of JSON lines.

    Errors: `ValueError` naming the first line that is no row.
    """
    rows = []
    for number, line in enumerate(Path(path).read_bytes().splitlines(), start=1):
        try:
            rows.append(msgspec.structs.asdict(msgspec.json.decode(line, type=row_type)))
        except msgspec.DecodeError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
    return rows


def parts(request: str, text: str) -> Iterator[Message]:
    """A file as messages that answer a view's request."""
    count = max(1, -(-len(text) // PART_CHARS))
    for part in range(count):
        piece = text[part * PART_CHARS : (part + 1) * PART_CHARS]
        yield {"type": "file", "reply": request, "part": part, "parts": count, "text": piece}
