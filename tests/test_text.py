"""Text made safe to show (HOSTILE A06, A75)."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from chatlab.text import (
    LONGEST_NAME,
    QUOTED,
    cut,
    did_you_mean,
    quoted,
    short_name,
    unknown_name,
    visible,
    visible_line,
    without_surrogates,
)

HIDDEN = json.loads((Path(__file__).parent / "js" / "hidden.json").read_text(encoding="utf-8"))
"""Symbols by code point: in `both` languages, and in Python only."""
EVERY_CHARACTER = [chr(code) for code in (*range(0x3100), *range(0xD700, 0x10100), *range(0xE0000, 0xE0200))]
"""All characters except letters of East Asia and beyond, and emoji."""


@given(st.text(st.characters(codec=None)))
def test_a06_any_text_becomes_encodable(text: str) -> None:
    assert len(without_surrogates(text).encode().decode()) == len(text)
    assert without_surrogates("a\ud800b") == "a\ufffdb"


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


def test_a74_of_all_characters_just_those_of_the_table_are_made_visible() -> None:
    names = {chr(int(code, 16)): name for code, name in (HIDDEN["both"] | HIDDEN["python"]).items()}
    wanted = [
        f"\u27e8{names[each]}\u27e9" if each in names else without_surrogates(each)
        for each in EVERY_CHARACTER
    ]
    assert visible("|".join(EVERY_CHARACTER)) == "|".join(wanted)


def test_a75_a_name_in_a_line_is_short_and_visible() -> None:
    assert [cut("abc", most) for most in (4, 3, 2)] == ["abc", "abc", "a\u2026"]
    assert (quoted("ada"), len(quoted("a" * 9_999))) == ("'ada'", QUOTED)
    assert short_name("ada") == "ada"
    assert short_name("\n" * 9_999) == "\u21b5" * (LONGEST_NAME - 1) + "\u2026"


def test_a_hint_names_what_was_probably_meant() -> None:
    assert did_you_mean("jiter", ["jitter", "delay"]) == " (did you mean 'jitter'?)"
    assert did_you_mean("x" * 9_999, ["jitter", "delay"]) == ""


def test_an_unknown_name_comes_with_the_known_ones() -> None:
    assert unknown_name("jiter", iter(["jitter", "x"])) == (
        "there is no 'jiter' (did you mean 'jitter'?); choose one of jitter, x"
    )
    assert unknown_name(7, ["jitter"], "kind") == "there is no kind 7; choose one of jitter"
    assert len(unknown_name("x" * 9_999, ["jitter"])) < 200
