"""The body of an HTTP answer, decompressed as it arrives, in pieces of bounded size.

httpx would decompress all received bytes in one step, so that 64 KiB from the network could become 64 MiB.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterator

import anyio
import anyio.lowlevel
import httpx

from chatlab.live.client.network_failures import BrokenAnswer

PIECE = 64 * 1024
"""Size of the largest piece, in bytes."""
_GZIP = zlib.MAX_WBITS | 16


class Unzipper:
    """A gzip decoder that yields each piece of a stream as soon as it can be decoded."""

    def __init__(self) -> None:
        self._zip = zlib.decompressobj(_GZIP)
        self._begun = False

    @property
    def complete(self) -> bool:
        """Whether the stream may end here."""
        return self._zip.eof or not self._begun

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the decompressed bytes.

        Errors: `zlib.error`.
        """
        piece = b""
        while data or (len(piece) == PIECE and not self._zip.eof):  # After a full piece there may be more.
            if self._zip.eof:  # A file may have several members. Source: RFC 1952 §2.2.
                self._zip = zlib.decompressobj(_GZIP)
            self._begun = True
            piece = self._zip.decompress(data, PIECE)
            data = self._zip.unconsumed_tail or self._zip.unused_data
            if piece:
                yield piece


async def pieces(response: httpx.Response) -> AsyncIterator[bytes]:
    """Yield a body in pieces, as they arrive.

    Errors: `BrokenAnswer`, `zlib.error`, and httpx's.
    """
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("identity", ""):
        async for chunk in response.aiter_raw():
            for start in range(0, len(chunk), PIECE):
                yield chunk[start : start + PIECE]
    elif encoding in ("gzip", "x-gzip"):
        unzipper = Unzipper()
        async for chunk in response.aiter_raw():
            for piece in unzipper.feed(chunk):
                yield piece
                if len(piece) == PIECE:  # There may be much more: let other tasks run.
                    await anyio.lowlevel.checkpoint()
        if not unzipper.complete:
            raise BrokenAnswer("reset", "the answer's gzip ended too early")
    else:
        raise BrokenAnswer("answer", "the answer has a content encoding other than gzip")


async def whole(response: httpx.Response, limit: int) -> bytes:
    """Return a whole body.

    Errors: `BrokenAnswer` if it has more than `limit` bytes, and those of `pieces`.
    """
    body = bytearray()
    async for piece in pieces(response):
        body += piece
        if len(body) > limit:
            raise BrokenAnswer("answer", f"the server sent an answer above {limit} bytes")
    return bytes(body)


async def beginning(response: httpx.Response, limit: int, seconds: float) -> bytes:
    """Return the first bytes of a body, at most `limit`, that arrive within `seconds`. A broken body raises
    no error."""
    body = bytearray()
    with anyio.move_on_after(seconds):
        try:
            async for piece in pieces(response):
                body += piece
                if len(body) > limit:
                    break
        except (httpx.HTTPError, zlib.error, BrokenAnswer):
            pass
    return bytes(body[:limit])
