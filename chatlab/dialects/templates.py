"""URL templates: a path, with an optional query, with names in braces.

    "/rooms/{channel}/messages?since={cursor}"        "/rooms/{channel}/send/{txn}"

Values are percent-encoded, so they stay in their segment or parameter. A parameter whose value is None is
left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal
from urllib.parse import parse_qsl, quote

from chatlab.dialects.base import Request

_NAME = re.compile(r"\{(\w+)\}")


def expand(path: str, **values: str) -> str:
    """Return a path with its names filled in.

    Errors: `KeyError` for a name that has no value.
    """
    return _NAME.sub(lambda name: quote(values[name[1]], safe=""), path)


def expand_query(query: str, **values: str | None) -> dict[str, str]:
    """Return a query's parameters with their names filled in, not yet percent-encoded."""
    filled = {}
    for name, template in parse_qsl(query, keep_blank_values=True):
        used = [values[found] for found in _NAME.findall(template)]
        if None not in used:
            filled[name] = _NAME.sub(lambda found: values[found[1]] or "", template)
    return filled


def request_to(
    method: Literal["GET", "POST", "PUT"],
    template: str,
    headers: Mapping[str, str] | None = None,
    body: str = "",
    **values: str | None,
) -> Request:
    """Return a request to an expanded template. A value of None in the path is left empty."""
    path, _, query = template.partition("?")
    known = {name: value or "" for name, value in values.items()}
    return Request(method, expand(path, **known), expand_query(query, **values), dict(headers or {}), body)
