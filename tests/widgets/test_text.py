import json
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatlab.widgets.text import clock, encodable, visible, visible_line


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


@given(st.text(st.characters(codec=None)))
def test_a75_no_control_character_and_no_override_reaches_a_terminal(text: str) -> None:
    shown = visible_line(text)
    hidden = {
        *range(0x20),
        *range(0x7F, 0xA0),
        *range(0x202A, 0x202F),
        *range(0x2066, 0x206A),
        0x2028,
        0x2029,
    }
    assert not hidden & {ord(character) for character in shown}
    shown.encode()


def test_line_feeds_stay_where_lines_are_wanted() -> None:
    assert visible("a\r\nb\x1b[0m\u202e") == "a\nb\u27e8ESC\u27e9[0m\u27e8RLO\u27e9"
    assert visible_line("a\nb") == "a\u21b5b"


def test_a_time_that_is_none_does_not_break_a_transcript() -> None:
    assert clock(1_700_000_000_000) == "22:13:20"
    assert clock(1e300) == "--:--:--"
