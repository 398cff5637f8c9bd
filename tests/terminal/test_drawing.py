from typing import get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.utils import get_cwidth

from chatlab.messages import ConnectionStatus, DeliveryState
from chatlab.terminal.drawing import NARROWEST, STYLE, Renderer, bar, merged, wrapped
from chatlab.terminal.lines import ConsoleLine
from chatlab.terminal.status_line import StatusLine


def plain(fragments: StyleAndTextTuples) -> str:
    return "".join(fragment[1] for fragment in fragments)


@given(st.text("ab 日\u0301\n"), st.integers(NARROWEST, 40))
def test_rows_fit_and_only_spaces_at_line_breaks_are_dropped(text: str, width: int) -> None:
    rows = wrapped(text, width)
    assert all(get_cwidth(row) <= width for row in rows)
    assert all("\n" not in row for row in rows)
    assert "".join(rows).replace(" ", "") == text.replace("\n", "").replace(" ", "")


def test_rows_are_broken_at_spaces_if_there_are_any() -> None:
    assert wrapped("one two three four five six", 20) == ["one two three four", "five six"]
    assert wrapped("x" * 45, 20) == ["x" * 20, "x" * 20, "x" * 5]
    assert wrapped("a\n\nb", 20) == ["a", "", "b"]
    assert wrapped("a " + "日" * 12, 20) == ["a", "日" * 10, "日" * 2]
    assert wrapped("x" * 25, 1) == ["x" * 20, "x" * 5], "so narrow that it would be no use"


def test_A75_all_rows_of_a_text_stand_under_its_first() -> None:
    forged = "fine" + " " * 60 + "\n   12:00:00  bob  I pay"
    drawn = plain(Renderer().draw([ConsoleLine("message", forged, "ada")], 60)).splitlines()
    column = drawn[0].index("fine")
    assert len(drawn) >= 2
    assert all(row[:column].strip() == "" for row in drawn[1:])


def test_texts_stand_beside_each_other_though_names_differ() -> None:
    renderer = Renderer()
    first, second, _ = plain(
        renderer.draw([ConsoleLine("message", "text", "barbara"), ConsoleLine("message", "text", "日本")], 80)
    ).split("\n")
    assert get_cwidth(first) == get_cwidth(second)


@pytest.mark.parametrize("name", ["n" * 99, "日本" * 20, f"eve{' ' * 20}12:00:00  bob  I pay"])
@pytest.mark.parametrize("columns", [41, 46, 80])
def test_A75_no_name_fills_a_row_so_that_its_rest_begins_another(name: str, columns: int) -> None:
    renderer = Renderer()
    for kind in ("message", "accepted"):
        line = ConsoleLine(kind, "word " * 30, name, state=DeliveryState.QUEUED)
        rows = plain(renderer.draw([line, ConsoleLine("message", "text", "ada")], columns)).splitlines()
        assert max(map(get_cwidth, rows)) <= columns
        assert line.name[:2] in rows[0]


def test_a_lost_message_says_why() -> None:
    drawn = plain(
        Renderer().draw([ConsoleLine("lost", "hi", state=DeliveryState.FAILED, reason="too large")], 80)
    )
    assert drawn == "⚠  hi\n   Not delivered: too large\n"


def test_late_deliveries_of_one_moment_are_one_short_line() -> None:
    rows = [
        ConsoleLine("delivered", f"{n}\n" + "x" * 99, state=DeliveryState.ACKED, waited=True)
        for n in range(3)
    ]
    first, notice, last = merged([*rows, ConsoleLine("notice", "n"), rows[0]])
    assert first.text.startswith("0↵xxx")
    assert first.text.endswith("x… (and 2 more)")
    assert len(first.text) < 80
    assert notice.text == "n"
    assert "more" not in last.text


def test_the_bar_shows_the_status_line() -> None:
    status_line = StatusLine(
        "websocket",
        ConnectionStatus.RECONNECTING,
        "refused: nobody\x1b[2J",
        3,
        10,
        2.44,
        None,
        2,
        ("down",),
        ("bob",),
    )
    assert plain(bar(status_line)) == (
        " ◌ bob is typing… · reconnecting · attempt 3 of 10 in 2.4 s · outbox 2 · websocket · fault: down"
        " · refused: nobody⟨ESC⟩[2J"
    )
    connected = StatusLine(
        "websocket", ConnectionStatus.CONNECTED, "", 3, None, None, 0.012, 0, (), ("a", "b\n")
    )
    assert plain(bar(connected)) == " ● a, b↵ are typing… · connected · outbox 0 · rtt 12 ms · websocket"
    assert len(plain(bar(replace(connected, typing=("e" * 9_999,))))) < 120
    trying = StatusLine("sse", ConnectionStatus.RECONNECTING, "", 1, None, None, 0.012, 0, (), ())
    assert plain(bar(trying)) == " ◌ reconnecting · attempt 1 now · outbox 0 · sse"


def test_every_style_that_is_used_is_there() -> None:
    names = {name for names, _ in STYLE.style_rules for name in names.split()}
    statuses = [
        StatusLine("w", status, "", 0, None, None, None, 0, (), ("x",)) for status in ConnectionStatus
    ]
    kinds = get_args(get_type_hints(ConsoleLine)["kind"])
    lines = [ConsoleLine(kind, "t", "n", state=state) for kind in kinds for state in DeliveryState]
    drawn = [fragment for status_line in statuses for fragment in bar(status_line)] + Renderer().draw(
        lines, 80
    )
    used = {style.removeprefix("class:") for style, *_ in drawn if style}
    assert used <= names
    assert len(lines) == 7 * 6
