"""The frame inspector's filter: it covers the whole history, and the views apply it as Python does."""

import json
from typing import Any

import msgspec
import pytest

from chatlab.widgets.logs import MOST_KINDS, ChatLog, FrameFilter, FrameLog
from chatlab.widgets.replies import PAGE, WINDOW
from tests.node import FOLDER
from tests.widgets.comms import View

CASES = json.loads((FOLDER / "frame-filter.json").read_text("utf-8"))
"""Cases that the views' own filter is tested with too."""


def frame(number: int, **fields: Any) -> dict[str, Any]:
    return {"id": f"f{number}", "at": 0.0, "direction": "down", "kind": "message", "text": "hay"} | fields


def filled(frames: int, **needles: Any) -> tuple[FrameLog, View]:
    """Return a log in which every hundredth frame has other fields."""
    log = FrameLog()
    view = View(log)
    log.upsert_many(frame(number, **(needles if number % 100 == 0 else {})) for number in range(frames))
    view.rows_until(f"f{frames - 1}")
    return log, view


def ids(messages: list[dict[str, Any]]) -> list[str]:
    return [row["id"] for message in messages for row in message["rows"]]


@pytest.mark.parametrize("case", CASES["filters"], ids=lambda case: json.dumps(case["filter"]))
def test_which_frames_pass(case: dict[str, Any]) -> None:
    wanted = msgspec.convert(case["filter"], FrameFilter)
    assert [row["id"] for row in CASES["frames"] if wanted.passes(row)] == case["passing"]


@pytest.mark.parametrize(
    ("needle", "wanted"),
    [
        ({"text": "x" * 70_000 + "NEEDLE"}, {"text": "needle"}),
        ({"direction": "up"}, {"direction": "up"}),
        ({"kind": "ack"}, {"kind": "ack"}),
        ({"direction": "up", "kind": "ack"}, {"direction": "up", "kind": "ack", "text": "hay"}),
    ],
)
def test_a_filter_finds_frames_that_have_left_every_page(
    needle: dict[str, Any], wanted: dict[str, Any]
) -> None:
    log, view = filled(WINDOW + 1_000, **needle)
    answer = view.answer(view.ask("ready", filter=wanted))
    assert ids(answer) == [f"f{number}" for number in range(0, WINDOW + 1_000, 100)]
    assert {part["fitting"] for part in answer} == {(WINDOW + 1_000) // 100}
    assert answer[0]["total"] == len(log) == WINDOW + 1_000
    assert answer[0]["newest"] == WINDOW + 999
    assert answer[0]["replay"] is True


def test_earlier_frames_come_in_pages_of_what_passes_until_there_is_none() -> None:
    log = FrameLog()
    view = View(log)
    log.upsert_many(frame(number, kind="message" if number % 2 else "ping") for number in range(2_000))
    view.rows_until("f1999")
    wanted = {"heartbeats": False}
    latest = view.answer(view.ask("ready", filter=wanted))
    assert ids(latest) == [f"f{number}" for number in range(1_001, 2_000, 2)]
    assert latest[0]["oldest"] == 1
    page = view.answer(view.ask("before", id="f1001", filter=wanted))
    assert ids(page) == [f"f{number}" for number in range(1_001 - 2 * PAGE, 1_001, 2)]
    last = view.answer(view.ask("before", id="f501", filter=wanted))
    assert ids(last)[0] == "f1"
    assert ids(view.answer(view.ask("before", id="f1", filter=wanted))) == []


def test_nothing_that_passes_is_an_answer_with_nothing_before_it() -> None:
    _, view = filled(3)
    (answer,) = view.answer(view.ask("ready", filter={"text": "nowhere"}))
    assert (answer["rows"], answer["fitting"], answer["total"], answer["oldest"]) == ([], 0, 3, 3)


def test_missed_frames_are_sent_unfiltered_as_changed_ones_may_not_pass() -> None:
    log, view = filled(3)
    log.upsert({"id": "f1", "kind": "ping"})
    view.rows_until("f1")
    answer = view.answer(view.ask("missed", after=1, filter={"heartbeats": False}))
    assert ids(answer) == ["f1"]
    assert answer[0]["fitting"] == 2


@pytest.mark.parametrize("wanted", [None, "up", 7, [], {"direction": 7}, {"heartbeats": "no"}])
def test_a_filter_that_makes_no_sense_filters_nothing(wanted: object) -> None:
    _, view = filled(3)
    assert len(ids(view.answer(view.ask("ready", filter=wanted)))) == 3


def test_messages_are_searched_for_a_text() -> None:
    log = ChatLog()
    view = View(log)
    log.upsert_many([{"id": "a", "text": "x"}, {"id": "b", "text": "y"}])
    view.rows_until("b")
    assert ids(view.answer(view.ask("ready", filter={"text": "y"}))) == ["b"]


def test_views_get_all_kinds_also_later_views() -> None:
    log = FrameLog()
    view = View(log)
    log.upsert_many([frame(0), frame(1, kind="ack"), frame(2, kind="ack"), frame(3, kind="")])
    assert view.next("kinds")["names"] == ["ack", "message"]
    log.upsert(frame(4, kind="\ud800"))
    assert view.next("kinds")["names"] == ["ack", "message", "\ufffd"]
    view.rows_until("f4")
    view.ask("ready")
    assert view.next("kinds")["names"] == ["ack", "message", "\ufffd"]


def test_a70_a_server_that_makes_up_kinds_fills_no_memory() -> None:
    log = FrameLog()
    view = View(log)
    log.upsert_many(frame(number, kind=f"kind {number}") for number in range(3 * MOST_KINDS))
    assert len(view.next("kinds")["names"]) == MOST_KINDS
