from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone, tzinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatlab.messages import ChatMessage, DeliveryState
from chatlab.terminal.lines import MARKS, ConsoleLine, clock, content, seconds
from chatlab.text import LONGEST_NAME

HARM = "\x1b[2Ja\nb\x00\u202e\x9b31m"


@given(st.text(st.characters(codec=None)), st.text(st.characters(codec=None)))
def test_A75_no_line_can_harm_a_terminal_or_imitate_another(text: str, name: str) -> None:
    for line in (
        ConsoleLine("message", text, name),
        ConsoleLine("lost", text, name, reason=name),
        ConsoleLine("notice", text),
    ):
        shown = str(line)
        assert len(shown.splitlines()) <= 1
        assert not {*map(chr, range(0x20)), "\x7f", "\x9b", "\u202e", "\u2066"} & set(shown)
        shown.encode()


def test_A75_what_harms_is_shown() -> None:
    line = ConsoleLine("message", HARM, HARM, datetime.now(UTC), reason=HARM)
    assert line.text == "⟨ESC⟩[2Ja\nb⟨NUL⟩⟨RLO⟩⟨U+009B⟩31m", "line feeds stay, for who draws them"
    assert line.name == line.reason == "⟨ESC⟩[2Ja↵b⟨NUL⟩⟨RLO⟩⟨U+009B⟩31m"


def test_a_name_is_cut() -> None:
    assert ConsoleLine("message", "", "n" * 99).name == "n" * (LONGEST_NAME - 1) + "…"


def test_every_state_has_a_mark() -> None:
    assert set(MARKS) == set(DeliveryState)
    assert ConsoleLine("accepted", "hi", state=DeliveryState.QUEUED).mark == "◷"
    assert ConsoleLine("message", "hi").mark == ""


def test_a_line_as_plain_text() -> None:
    at = datetime.now(UTC)
    time = f"{at.astimezone():%H:%M:%S}"
    assert str(ConsoleLine("message", "a\nb", "ada", at)) == f"{time} ada: a↵b"
    assert str(ConsoleLine("lost", "hi", "ada", reason="too old")) == "Not delivered (too old): hi"
    assert str(ConsoleLine("warning", "careful")) == "careful"


def test_what_is_shown_of_a_message() -> None:
    assert content(ChatMessage("1", text="hi")) == "hi"
    assert content(ChatMessage("1", data=b"x" * 2000)) == "(2,000 bytes)"


def test_a_time_of_another_day_has_its_date_and_an_invalid_one_is_shown_as_dashes() -> None:
    earlier = datetime.now(UTC) - timedelta(days=3)
    assert clock(earlier) == f"{earlier.astimezone():%Y-%m-%d %H:%M:%S}"
    absurd = datetime.min.replace(tzinfo=timezone(timedelta(hours=23)))  # Before the year 1 in UTC.
    assert clock(absurd) == "--:--:--"


class Noon(datetime):
    """A time of day at which the date differs in the far east and the far west."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Noon:
        return cls(2024, 2, 29, 11, 30, tzinfo=UTC).astimezone(tz)


@pytest.mark.parametrize("ahead", [0, 14, -12, 5.5])
def test_today_is_the_reader_s_day_not_that_in_utc(ahead: float, monkeypatch: pytest.MonkeyPatch) -> None:
    offset = timedelta(hours=ahead)
    today = (Noon.now(UTC) + offset).date()
    monkeypatch.setattr("chatlab.terminal.lines.datetime", Noon)
    with monkeypatch.context() as patch:
        patch.setenv("TZ", f"XXX{-int(ahead)}:{int(abs(ahead) % 1 * 60):02}")  # POSIX counts westwards.
        time.tzset()
        for hours in range(-30, 31):
            at = Noon.now(UTC) + timedelta(hours=hours)
            local = (at + offset).replace(tzinfo=None)
            date = "" if local.date() == today else f"{local:%Y-%m-%d} "
            assert clock(at) == f"{date}{local:%H:%M:%S}"
    time.tzset()


@pytest.mark.parametrize(
    ("duration", "shown"),
    [
        (0.00071, "0.71 ms"),
        (0.0233, "23 ms"),
        (0.0994, "99 ms"),
        (0.0996, "0.1 s"),
        (1.04, "1 s"),
        (2.55, "2.5 s"),
        (13.2, "13 s"),
        (119, "119 s"),
        (600, "10 min"),
    ],
)
def test_a_duration_has_the_unit_that_suits_it(duration: float, shown: str) -> None:
    assert seconds(duration) == shown
