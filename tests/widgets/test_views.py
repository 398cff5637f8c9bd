from collections.abc import Callable
from typing import Any

import pytest

from chatlab.messages import ConnectionStatus, DeliveryState
from chatlab.widgets import pacing
from chatlab.widgets.logs import MOST_PEOPLE, ChatLog, FrameLog
from chatlab.widgets.status_badge import StatusBadge
from chatlab.widgets.timeline import Mark, Span, Timeline
from tests.widgets.comms import View

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
AT = 1_700_000_000_000


def chat() -> ChatLog:
    log = ChatLog()
    log.upsert(
        {
            "id": "a",
            "at": AT,
            "sender": EVIL,
            "text": f"{EVIL}\x1b[31m\n\u202ered",
            "state": DeliveryState.FAILED,
        }
    )
    return log


def frames() -> FrameLog:
    log = FrameLog()
    log.upsert({"id": "a", "at": AT, "direction": "up", "kind": "message", "size": 12, "text": EVIL})
    return log


def badge() -> StatusBadge:
    shown = StatusBadge()
    shown.show(ConnectionStatus.ERROR, EVIL, attempt=3, code=1008)
    return shown


def timeline() -> Timeline:
    shown = Timeline()
    spans: list[Span] = [{"status": EVIL, "start": 0.0, "end": None}]
    shown.show(4.0, [{"name": EVIL, "spans": spans, "marks": []}])
    return shown


@pytest.mark.parametrize("make", [chat, frames, badge, timeline])
def test_a73_without_a_kernel_there_is_an_escaped_transcript(make: Callable[[], Any]) -> None:
    data, _metadata = make()._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert EVIL in data["text/plain"]
    page = data["text/html"]
    assert "<script" not in page
    assert "</script" not in page
    assert "<img" not in page
    assert "&lt;/script&gt;&lt;script&gt;" in page


def test_a75_a_transcript_has_no_control_characters_and_no_forged_lines() -> None:
    text = chat().transcript()
    assert text.startswith("22:13:20 ")
    assert text.endswith("\u27e8ESC\u27e9[31m\u21b5\u27e8RLO\u27e9red (failed)")
    assert "\n" not in text


def test_transcripts_of_nothing() -> None:
    texts = [view().transcript() for view in (ChatLog, FrameLog, StatusBadge, Timeline)]
    assert texts == ["ChatLog: nothing yet", "FrameLog: nothing yet", "disconnected", "Timeline: nothing yet"]


def test_transcripts_of_the_others() -> None:
    assert frames().transcript() == f"22:13:20 \u2191 message 12 B {EVIL}"
    assert badge().transcript() == f"error, attempt 3: {EVIL}"
    assert timeline().transcript() == f"{EVIL}: {EVIL} 0.0\u20134.0 s"


def test_a_row_with_gaps_does_not_break_a_transcript() -> None:
    for log in (ChatLog(), FrameLog()):
        log.upsert({"id": "a", "at": None, "text": None})
        assert log.transcript().startswith("00:00:00")


def test_what_a_person_does_calls_back() -> None:
    log = ChatLog()
    view = View(log)
    heard: list[object] = []
    undo = [log.on_send(heard.append), log.on_retry(lambda key: heard.append(("retry", key)))]
    undo.append(log.on_typing(lambda: heard.append("typing")))
    undo.append(log.on_retry_all(lambda: heard.append("retry all")))
    view.say(type="send", text="hello\ud800")
    view.say(type="retry", id="a")
    view.say(type="typing")
    view.say(type="retry all")
    for nonsense in ({"text": " \n"}, {"text": 1}, {}):
        view.say(type="send", **nonsense)
    view.say(type="retry", id=3)
    assert heard == ["hello\ufffd", ("retry", "a"), "typing", "retry all"]
    for remove in undo:
        remove()
    view.say(type="send", text="hello")
    assert len(heard) == 4


def test_people_and_undelivered_messages_are_sent_at_once_and_to_later_views() -> None:
    log = ChatLog()
    view = View(log)
    log.set_people(["ada", "b\ud800b"])
    log.set_lost(3, 1)
    people = {"type": "people", "names": ["ada", "b\ufffdb"], "count": 2}
    assert view.next("lost") == {"type": "lost", "here": 3, "elsewhere": 1}
    view.ask("ready")
    assert view.next("people") == people
    log.set_people(str(number) for number in range(1_000))
    many = view.next("people")
    assert (len(many["names"]), many["count"]) == (MOST_PEOPLE, 1_000)
    log.set_people(None)
    assert view.next("people") == {"type": "people", "names": None, "count": 0}


def test_a_search_looks_into_sender_and_text_of_the_whole_history() -> None:
    log = ChatLog()
    view = View(log)
    log.upsert_many(
        {"id": str(number), "at": AT, "sender": "Ada" if number % 2 else None, "text": f"number {number}"}
        for number in range(600)
    )
    for text, found in (("aDA", 300), ("NUMBER 17", 11), ("nowhere", 0)):
        answer = view.answer(view.ask("ready", filter={"text": text}))
        assert answer[-1]["fitting"] == found
    for nothing in (None, {}, {"text": ""}, {"text": 5}, "x"):
        assert view.answer(view.ask("ready", filter=nothing))[-1]["fitting"] == 600


@pytest.mark.parametrize("make", [chat, frames])
def test_a_view_can_remove_all_rows(make: Callable[[], Any]) -> None:
    log = make()
    View(log).say(type="clear")
    assert log.rows() == []


def test_typing_people_are_sent_at_once_and_to_later_views() -> None:
    log = ChatLog()
    view = View(log)
    log.set_typing(["ada", "b\ud800b"])
    assert view.next("typing")["names"] == ["ada", "b\ufffdb"]
    view.ask("ready")
    assert view.next("typing")["names"] == ["ada", "b\ufffdb"]
    log.set_typing(str(number) for number in range(1_000))
    assert len(view.next("typing")["names"]) == 50


def test_the_badge_sends_the_status_with_the_countdown_from_now(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("chatlab.widgets.status_badge.monotonic", lambda: now)
    shown = StatusBadge()
    view = View(shown)
    shown.show_waiting(2)
    assert view.next("status")["waiting"] == 2
    shown.show(
        "reconnecting", "reset", attempt=3, max_attempts=10, retry_in=4.0, code=1006, at=7.0, details="as ada"
    )
    expected = {
        "type": "status", "status": "reconnecting", "reason": "reset", "attempt": 3, "max_attempts": 10,
        "code": 1006, "retry_in": 4.0, "at": 7.0, "details": "as ada", "waiting": 2,
            "transport": "", "rate": 1.0,
    }  # fmt: skip
    assert view.next("status") == expected
    now = 103.0
    view.say(type="ready")
    assert view.next("status")["retry_in"] == 1.0
    now = 110.0
    view.say(type="ready")
    assert view.next("status")["retry_in"] == 0.0
    shown.show("reconnecting", retry_in=4.0, rate=0.1)
    now = 120.0
    view.say(type="ready")
    slow = view.next("status")
    assert (slow["retry_in"], slow["rate"]) == (3.0, 0.1)
    shown.show("connected")
    assert view.next("status")["retry_in"] is None
    assert "reset" not in str(shown.get_state())


@pytest.mark.slow
def test_the_latest_status_wins_and_is_repeated_after_a_quiet_period(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "SETTLE", 0.05)
    shown = StatusBadge()
    view = View(shown)
    for number in range(1_000):
        shown.show("connecting", str(number))
    while view.next("status")["reason"] != "999":
        pass
    assert view.next("status")["reason"] == "999"
    assert len(view.seen) < 1_000


def test_the_timeline_lets_time_go_on_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("chatlab.widgets.timeline.monotonic", lambda: now)
    shown = Timeline()
    view = View(shown)
    shown.show(7.0, [], running=True)
    expected = {
        "type": "timeline", "now": 7.0, "lanes": [], "running": True, "note": "", "rate": 1.0, "until": 0.0
    }  # fmt: skip
    assert view.next("timeline") == expected
    now = 102.0
    view.say(type="ready")
    assert view.next("timeline")["now"] == 9.0
    shown.show(9.5, [])
    now = 110.0
    assert view.next("timeline")["now"] == 9.5
    shown.show(9.5, [], running=True, rate=0.01, until=60.0)
    now = 210.0
    view.say(type="ready")
    slow = view.next("timeline")
    assert (slow["now"], slow["rate"], slow["until"]) == (10.5, 0.01, 60.0)


def test_a_lane_shows_its_latest_spans_and_no_text_is_saved() -> None:
    shown = Timeline()
    view = View(shown)
    spans: list[Span] = [{"status": "connected", "start": float(at), "end": at + 1.0} for at in range(2_000)]
    marks: list[Mark] = [{"kind": "fault", "label": "planted \ud800", "at": float("nan")}]
    shown.show(2_000.0, [{"name": "live", "spans": spans, "marks": marks}])
    [lane] = view.next("timeline")["lanes"]
    assert [lane["spans"][0]["start"], lane["spans"][-1]["start"]] == [1_500.0, 1_999.0]
    assert lane["marks"] == [{"kind": "fault", "label": "planted \ufffd", "at": None}]
    assert "planted" not in str(shown.get_state())
