"""The human-readable explanation in the body of a refusal or of an unexpected answer."""

from __future__ import annotations

import re
from html import unescape

import msgspec

from chatlab.dialects.base import REASON, excerpt

_HEAD = 8192
"""Bytes of a page that are searched for text."""
_TITLE = re.compile(rb"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)
_HIDDEN = re.compile(rb"<(script|style)\b.*?</\1[^>]*>?|<[^>]*>?", re.IGNORECASE | re.DOTALL)


class _Problem(msgspec.Struct):
    error: str


def explanation(body: bytes) -> str:
    """Return a body's explanation, printable and bounded.

    That is the `error` of a JSON object, the title of an HTML page (unless it is only "Error") or its text,
    or the beginning of the body.
    """
    try:
        return excerpt(msgspec.json.decode(body, type=_Problem).error, REASON)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        pass
    page = body[:_HEAD].strip()
    if not page.startswith(b"<"):
        return excerpt(body.strip())
    found = _TITLE.search(page)
    title = _words(found[1]) if found else ""
    return (title if title.lower() != "error" else "") or _words(_HIDDEN.sub(b" ", page)) or excerpt(page)


def _words(html: bytes) -> str:
    """Return a piece of HTML as one line of text, with entities decoded."""
    return excerpt(" ".join(unescape(html.decode("utf-8", "replace")).split()))
