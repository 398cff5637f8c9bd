"""A filter that skips the interim answers (1xx) before the final answer to a WebSocket's opening handshake.

A client must accept any number of them. 101 is the final answer here. Source: RFC 9110 §15.2.
"""

from __future__ import annotations

import re

MAX_INTERIM = 64 * 1024
"""Bytes of all interim answers that a server may send before its answer."""

_INTERIM = re.compile(rb"HTTP/1\.1 1(?!01)[0-9]{2}[ \r\n]")
_END = re.compile(rb"\r?\n\r?\n")
_LENGTH = len(b"HTTP/1.1 100 ")


class InterimFilter:
    """A filter of the server's first bytes, which drops interim answers."""

    def __init__(self) -> None:
        self._held = b""
        self._seen = 0
        self.done = False
        """Whether the final answer has begun, so that everything else passes."""

    def feed(self, data: bytes) -> bytes:
        """Return the bytes that pass. Others are dropped, or held until more bytes show what they are."""
        self._held += data
        while not self.done:
            head = self._held[:_LENGTH]
            if _INTERIM.match(head) and self._seen <= MAX_INTERIM:
                end = _END.search(self._held)
                if end is None and self._seen + len(self._held) <= MAX_INTERIM:
                    return b""
                if end is not None:
                    self._seen += end.end()
                    self._held = self._held[end.end() :]
                    continue
            elif len(head) < _LENGTH and _may_be_interim(head):
                return b""
            self.done = True
        return self.flush()

    def flush(self) -> bytes:
        """Return the held bytes, since no more will come."""
        held, self._held = self._held, b""
        return held


def _may_be_interim(head: bytes) -> bool:
    begun = b"HTTP/1.1 1"
    if len(head) <= len(begun):
        return begun.startswith(head)
    return head.startswith(begun) and head[len(begun) :].isdigit() and not head.startswith(b"HTTP/1.1 101")
