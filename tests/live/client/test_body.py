"""Decompression in pieces: complete, immediate, and bounded in size."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Iterable

import pytest

from chatlab.live.client.body import PIECE, Unzipper

NOISE = random.Random(1).randbytes(3000)
TEXTS = {
    "empty": b"",
    "short": b"data: 1\n\n",
    "noise": NOISE,
    "several pieces": NOISE + b"a" * (3 * PIECE) + b"b" * 300,
    "a piece": b"a" * PIECE,
}


def cut(data: bytes, size: int) -> Iterable[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


@pytest.mark.parametrize("size", [1, 7, 1000, 1_000_000])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("members", [1, 2, 3])
def test_everything_is_decompressed_however_it_is_split(text: bytes, members: int, size: int) -> None:
    data = b"".join(gzip.compress(text) for _ in range(members))
    unzipper = Unzipper()
    pieces = [piece for chunk in cut(data, size) for piece in unzipper.feed(chunk)]
    assert b"".join(pieces) == members * text
    assert all(0 < len(piece) <= PIECE for piece in pieces)
    assert unzipper.complete


@pytest.mark.parametrize("size", range(1, 150, 7))
def test_nothing_that_can_be_decompressed_is_held_back(size: int) -> None:
    zipper = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    data = zipper.compress(b"a" * (4 * PIECE)) + zipper.flush()
    plain, ours, theirs = zlib.decompressobj(zlib.MAX_WBITS | 16), 0, 0
    unzipper = Unzipper()
    for chunk in cut(data, size):
        ours += sum(map(len, unzipper.feed(chunk)))
        theirs += len(plain.decompress(chunk))
        assert ours == theirs


@pytest.mark.parametrize("end", [1, 5, 20, -1])
def test_a_cut_off_stream_is_not_complete(end: int) -> None:
    unzipper = Unzipper()
    assert unzipper.complete  # A body may be empty.
    list(unzipper.feed(gzip.compress(NOISE)[:end]))
    assert not unzipper.complete


def test_data_other_than_gzip_is_an_error() -> None:
    with pytest.raises(zlib.error):
        list(Unzipper().feed(b"<html>"))
