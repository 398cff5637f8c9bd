"""Text that can't deceive who reads it (HOSTILE A06, A75)."""

from hypothesis import given
from hypothesis import strategies as st

from chatlab.text import visible, visible_line, whole


@given(st.text(st.characters(codec=None)))
def test_a06_any_text_becomes_encodable(text: str) -> None:
    assert len(whole(text).encode().decode()) == len(text)
    assert whole("a\ud800b") == "a\ufffdb"


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
