"""Rows as files: JSON Lines, which can be loaded again, and files as comm messages in parts."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec

from chatlab.dialects.base import excerpt
from chatlab.fileio import lines_of
from chatlab.widgets.pacing import Message

Format = Literal["jsonl", "txt"]

PART_CHARS = 250_000
"""Maximum characters of a file in one comm message."""

MOST_UPLOADS = 4
"""Maximum number of simultaneous uploads; a further one replaces the oldest."""

MOST_PARTS = 1_000
"""Maximum number of parts of a file from a view."""


def json_lines(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows as JSON, one per line."""
    return "".join(f"{msgspec.json.encode(row).decode()}\n" for row in rows)


def rows_of(file: BinaryIO, row_type: type[msgspec.Struct]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a JSON Lines file, one at a time.

    Errors: `ValueError` naming the first line that is not a row.
    """
    for number, line in enumerate(lines_of(file), start=1):
        if not line.strip():
            continue
        try:
            yield msgspec.structs.asdict(msgspec.json.decode(line, type=row_type))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(f"line {number}: {_in_words(error, row_type)}") from error


_KINDS = {"str": "a text", "float": "a number", "int": "a whole number", "bool": "true or false"}
_WRONG_KIND = re.compile(r"Expected `(\w+)`.* - at `\$\.(\w+)`")
_FIELD = re.compile(r"Object (missing required|contains unknown) field `(.*)`", re.DOTALL)


def _in_words(error: Exception, row_type: type[msgspec.Struct]) -> str:
    """Describe an error in a line, without the parser's vocabulary."""
    if not isinstance(error, msgspec.ValidationError):
        return "it is not JSON; was the file saved as text, or cut off?"
    words = str(error)
    if (kind := _WRONG_KIND.match(words)) and kind[1] in _KINDS:
        return f"its `{kind[2]}` must be {_KINDS[kind[1]]}"
    if field := _FIELD.fullmatch(words):
        if field[1].startswith("missing"):
            return f"it has no `{field[2]}`"
        known = ", ".join(row_type.__struct_fields__)
        return f"it has a field `{excerpt(field[2])}`; a row has {known}"
    if out := re.fullmatch(r"Number out of range - at `\$\.(\w+)`", words):
        return f"its `{out[1]}` is too large a number"
    return "it is not a JSON object"


def read_rows(path: str | Path, row_type: type[msgspec.Struct]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file; errors name the file."""
    try:
        with Path(path).open("rb") as file:
            yield from rows_of(file, row_type)
    except ValueError as error:
        raise ValueError(f"{path}, {error}") from error


def parts(request: str, text: str) -> Iterator[Message]:
    """Yield a file as messages that answer a view's request."""
    count = max(1, -(-len(text) // PART_CHARS))
    for part in range(count):
        piece = text[part * PART_CHARS : (part + 1) * PART_CHARS]
        yield {"type": "file", "reply": request, "part": part, "parts": count, "text": piece}


class Uploads:
    """Files that views are uploading, each in parts."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, dict[int, str]] = OrderedDict()

    def take(self, request: str, message: Message) -> str | None:
        """Add a part of a file; return the whole file if this completes it, otherwise None."""
        match message:
            case {"part": int(part), "parts": int(parts), "text": str(text)} if (
                0 <= part < parts <= MOST_PARTS
            ):
                pass
            case _:
                return None
        pieces = self._files.setdefault(request, {})
        pieces[part] = text[: 2 * PART_CHARS]
        if len(pieces) == parts:
            del self._files[request]
            return "".join(pieces[number] for number in sorted(pieces))
        while len(self._files) > MOST_UPLOADS:
            self._files.popitem(last=False)
        return None
