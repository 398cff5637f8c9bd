"""Logs: the part kept of a room, its pages, and ids that are never used twice (SPEC §1, §12, §13)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatlab.hub.log import MAX_PAGE_SIZE, OVERHEAD, LogLimits, MemoryLog, Page, _Room, size_of
from chatlab.messages import ChatMessage, OutgoingMessage

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def add(log: MemoryLog, room: str = "lobby", text: str = "hi", **fields: Any) -> ChatMessage:
    return log.append(room, "bob", OutgoingMessage(text, **fields), NOON).message


def filled(count: int, **limits: Any) -> MemoryLog:
    log = MemoryLog("e", LogLimits(**limits))
    for n in range(count):
        add(log, client_id=f"b{n}")
    return log


def numbers(page: Page) -> list[int]:
    return [int(message.id.removeprefix("e-")) for message in page.messages]


@given(count=st.integers(0, 40), retain=st.integers(1, 12), seen=st.integers(0, 40), limit=st.integers(1, 9))
def test_a_reader_gets_everything_after_its_cursor_or_is_told_of_the_gap(
    count: int, retain: int, seen: int, limit: int
) -> None:
    log = filled(count, retain=retain)
    first = max(0, count - retain)
    page = log.after("lobby", f"e-{seen}", limit)
    assert page.gap == (not first <= seen <= count)
    start = first if page.gap else seen
    assert page.start == f"e-{start}"
    got = numbers(page)
    while page.more:
        assert len(page.messages) == limit
        page = log.after("lobby", page.end, limit)
        got += numbers(page)
    assert got == list(range(start + 1, count + 1))
    assert numbers(log.latest("lobby", 3, 100)) == list(range(max(first, count - 3) + 1, count + 1))


@given(
    sizes=st.lists(st.integers(0, 9), max_size=30),
    retain=st.integers(1, 12),
    retain_size=st.integers(1, 40).map(lambda size: size + 3 * OVERHEAD),
)
def test_what_is_kept_of_a_room_is_the_latest_within_the_bounds(
    sizes: list[int], retain: int, retain_size: int
) -> None:
    limits = LogLimits(retain=retain, retain_size=retain_size)
    log = MemoryLog("e", limits)
    for size in sizes:
        add(log, text="", data=b"x" * size)
    kept = list(log.latest("lobby", None).messages)
    whole = [size + OVERHEAD for size in sizes]
    expected = 0
    while expected < min(len(sizes), retain) and sum(whole[-expected - 1 :]) <= retain_size:
        expected += 1
    assert len(kept) == expected
    assert log.size == sum(map(size_of, kept))


def test_the_latest_message_is_kept_however_large_it_is() -> None:
    log = filled(3, retain_size=1)
    assert numbers(log.latest("lobby", None)) == [3]


def test_sizes_are_those_of_the_bytes() -> None:
    assert size_of(ChatMessage("e-1", text="é", data=b"\0\1\2")) == 5 + OVERHEAD
    assert size_of(ChatMessage("e-1", text="ab")) == 2 + OVERHEAD


def test_pages_of_large_messages_end_early_but_are_never_empty() -> None:
    log = MemoryLog("e")
    for _ in range(40):
        add(log, text="x" * 60_000)
    page = log.latest("lobby", None)
    assert (len(page.messages), page.more) == (MAX_PAGE_SIZE // 60_000, True)
    assert len(log.latest("lobby", None, size=1).messages) == 1
    assert len(log.after("lobby", "e-39", size=1).messages) == 1


def test_ids_are_forgotten_with_their_messages() -> None:
    log = filled(6, retain=4)
    assert add(log, client_id="b5").id == "e-6"
    assert add(log, client_id="b0").id == "e-7"


def test_an_id_that_was_used_again_is_forgotten_with_the_later_message() -> None:
    limits = LogLimits(retain=2)
    room = _Room(0)
    for number, client_id in enumerate("aba", 1):  # A server that retained fewer messages has such a log.
        room.add(ChatMessage(f"e-{number}", "bob", "hi", client_id), limits)
    assert list(room.keys) == [("bob", "a"), ("bob", "b")]
    room.add(ChatMessage("e-4", "bob", "hi"), limits)
    assert list(room.keys) == [("bob", "a")]


# All rooms together


def test_rooms_in_which_nothing_was_posted_for_longest_are_forgotten_first() -> None:
    log = MemoryLog("e", LogLimits(retain_total=3 * (OVERHEAD + 2)))
    for room in ("a", "b", "c", "a", "d"):
        add(log, room)
    assert {room: numbers(log.latest(room, None)) for room in "abcd"} == {
        "a": [1, 2], "b": [], "c": [], "d": [2],
    }  # fmt: skip
    assert (len(log), log.size) == (2, 3 * (OVERHEAD + 2))


def test_memory_is_bounded_however_many_rooms_there_are() -> None:
    log = MemoryLog("e", LogLimits(retain_total=100_000))
    for n in range(2000):
        add(log, f"room-{n}", "x" * 1000)
        assert log.size <= 100_000
    assert len(log) == 100_000 // (1000 + OVERHEAD)


def test_a_forgotten_room_uses_no_id_twice_and_its_readers_get_a_gap() -> None:
    log = MemoryLog("e", LogLimits(retain_total=2 * (OVERHEAD + 2)))
    assert [add(log, "a").id for _ in range(2)] == ["e-1", "e-2"]
    add(log, "b")
    assert log.after("a", "e-1").gap
    assert not log.after("a", "e-2").gap, "it had missed nothing"
    assert log.latest("a", None).start == "e-2"
    assert add(log, "a").id == "e-3"
    assert numbers(log.after("a", "e-2")) == [3]


def test_a_single_room_may_be_larger_than_all_together() -> None:
    log = MemoryLog("e", LogLimits(retain_total=1))
    add(log)
    assert numbers(log.latest("lobby", None)) == [1]


@pytest.mark.parametrize("history", [None, 0, 2])
def test_a_room_without_messages_is_empty_and_is_not_made(history: int | None) -> None:
    log = MemoryLog("e")
    assert log.latest("nowhere", history) == Page("e-0", ())
    assert log.after("nowhere", "e-0") == Page("e-0", ())
    assert log.after("nowhere", "f-0") == Page("e-0", (), gap=True)
    assert len(log) == 0
