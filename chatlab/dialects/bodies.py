"""Bodies of answers that hold several messages: a JSON list or envelope, NDJSON, or multipart.

Each function takes the body and a reader of one message, and returns one item per message. A message that
can't be decoded becomes an `Unreadable` in its place; the others are kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Raw, Struct

from chatlab.dialects.base import Incoming, Unreadable, unreadable

Read = Callable[[bytes], Incoming]
"""A function that decodes one message. It may raise `ValueError`, `LookupError`, `TypeError`,
`AttributeError` and msgspec's errors."""

_ERRORS = (ValueError, LookupError, TypeError, AttributeError, RecursionError, msgspec.MsgspecError)
_BOUNDARY = re.compile(r'\bboundary\s*=\s*(?:"([^"]{1,200})"|([^\s;"]{1,200}))', re.IGNORECASE)


def read_one(piece: bytes, read: Read) -> Incoming:
    """Return the message in a whole body or piece."""
    try:
        return read(piece)
    except _ERRORS as error:
        return unreadable(decoding_error(error), piece)


def read_each(pieces: Sequence[bytes], read: Read) -> list[Incoming]:
    """Return a message for each piece."""
    return [read_one(piece, read) for piece in pieces]


def read_list(body: bytes, read: Read, *path: str) -> list[Incoming]:
    """Return the messages of a JSON list: the body itself, or its member at a path of keys.

    A missing key, or `null`, means no messages.
    """
    try:
        found: Raw = msgspec.json.decode(body, type=Raw)
        for key in path:
            members = msgspec.json.decode(found, type=dict[str, Raw] | None) or {}
            if key not in members:
                return []
            found = members[key]
        pieces = msgspec.json.decode(found, type=list[Raw] | None) or []
    except _ERRORS as error:
        return [unreadable(decoding_error(error), body)]
    return read_each([bytes(piece) for piece in pieces], read)


def read_lines(body: bytes, read: Read) -> list[Incoming]:
    """Return the messages of NDJSON: one on each line that isn't blank.

    Source: the NDJSON specification, §3.1.
    """
    return read_each([line for line in body.split(b"\n") if line.strip()], read)


class Part(Struct, frozen=True):
    """One part of a multipart body. The headers' names are in lower case."""

    content: bytes
    headers: dict[str, str] = {}


def parts_of(body: bytes, content_type: str) -> list[Part] | Unreadable:
    """Return the parts of a multipart body; `Unreadable` if it is incomplete.

    Source: RFC 2046 §5.1.
    """
    named = _BOUNDARY.search(content_type)
    if named is None:
        return unreadable("the content type names no boundary", body)
    delimiter = b"\r\n--" + (named[1] or named[2]).encode()
    _, *pieces = (b"\r\n" + body).split(delimiter)
    if not pieces or not pieces[-1].startswith(b"--"):
        return unreadable("the last part isn't closed", body)
    parts = []
    for piece in pieces[:-1]:
        head, blank, content = piece.partition(b"\r\n\r\n")
        if not blank:
            return unreadable("a part has no blank line between headers and content", piece)
        fields = (line.partition(":") for line in head.decode("latin-1").split("\r\n") if ":" in line)
        parts.append(Part(content, {name.strip().lower(): value.strip() for name, _, value in fields}))
    return parts


def read_parts(body: bytes, content_type: str, read: Read) -> list[Incoming]:
    """Return the messages of a multipart body: one in each part."""
    parts = parts_of(body, content_type)
    return [parts] if isinstance(parts, Unreadable) else read_each([part.content for part in parts], read)


def decoding_error(error: Exception) -> str:
    """Return a decoding error's message, or its type if it has none."""
    return "nested too deeply" if isinstance(error, RecursionError) else str(error) or type(error).__name__
