"""How many bytes things take: frames and queries here, requests and answers off a socket in `test_http`."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from chatlab.sim.sizes import frame_size, query_size


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
@pytest.mark.parametrize("masked", [True, False])
def test_frame_sizes_are_those_of_the_websockets_library(size: int, *, masked: bool) -> None:
    real = len(Frame(Opcode.TEXT, b"x" * size).serialize(mask=masked))
    assert frame_size("x" * size, masked=masked) == frame_size(b"x" * size, masked=masked) == real


def test_frames_are_counted_in_bytes_not_characters() -> None:
    assert frame_size("é" * 63, masked=False) == 126 + 4


@given(query=st.dictionaries(st.sampled_from(["room", "after", "a b", "é", "x=y"]), st.text(max_size=8)))
def test_the_size_of_a_query_is_that_of_its_encoding(query: dict[str, str]) -> None:
    assert query_size(query) == len(urlencode(query))
