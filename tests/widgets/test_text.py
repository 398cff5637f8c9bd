import json
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatlab.widgets.text import clock, encodable


@given(st.text(st.characters(codec=None)))
def test_a06_any_text_can_be_encoded(text: str) -> None:
    value = encodable(text)
    assert isinstance(value, str)
    json.dumps(value, ensure_ascii=False).encode()
    assert len(value) == len(text)


def test_a04_numbers_that_json_does_not_have_become_none() -> None:
    assert [encodable(value) for value in (float("nan"), float("inf"), 1.5, 3, True, None)] == [
        None, None, 1.5, 3, True, None,
    ]  # fmt: skip


def test_what_a_view_cannot_show_is_refused() -> None:
    for value in (b"bytes", ["list"], {"a": "dict"}, object()):
        with pytest.raises(TypeError, match=type(value).__name__):
            encodable(value)


def test_an_enum_of_text_is_text() -> None:
    class State(StrEnum):
        ACKED = "acked"

    assert encodable(State.ACKED) == "acked"
    assert type(encodable(State.ACKED)) is str


def test_an_invalid_time_does_not_break_a_transcript() -> None:
    assert clock(1_700_000_000_000) == "22:13:20"
    assert clock(1e300) == "--:--:--"
