import threading
from pathlib import Path
from typing import Any

import pytest

from chatlab.widgets import feed
from chatlab.widgets.logs import ChatLog
from chatlab.widgets.pacing import INTERVAL, PacedWidget, Pacer
from chatlab.widgets.replies import PAGE, WINDOW
from tests.widgets.comms import PATIENCE, View

ROOT = Path(__file__).parents[2]


def row(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"r{number}",
        "at": 1_700_000_000_000 + number,
        "sender": "ada",
        "text": f"text {number}",
        **fields,
    }


def filled(rows: int, **limits: int) -> tuple[ChatLog, View]:
    """Return a feed whose rows have all been sent."""
    log = ChatLog(**limits)
    view = View(log)
    log.upsert_many(row(number) for number in range(rows))
    view.rows_until(f"r{rows - 1}")
    return log, view


def ids(messages: list[dict[str, Any]]) -> list[str]:
    return [shown["id"] for message in messages for shown in message["rows"]]


def test_rows_are_added_and_changed_by_id_and_keep_their_place() -> None:
    log, view = filled(2)
    log.upsert({"id": "r0", "state": "acked"})
    shown = view.next("rows")["rows"]
    assert shown == [row(0, state="acked", n=0)]
    assert log.rows() == [row(0, state="acked"), row(1)]


def test_update_changes_only_what_is_there() -> None:
    log, view = filled(1)
    assert log.update("r0", state="failed", reason="403")
    assert view.next("rows")["rows"][0]["reason"] == "403"
    assert not log.update("r1", state="acked")
    assert len(log) == 1


def test_a_bad_row_leaves_all_of_them_out() -> None:
    log = ChatLog()
    with pytest.raises(TypeError):
        log.upsert_many([row(0), row(1, text=b"bytes")])
    with pytest.raises(KeyError):
        log.upsert({"text": "no id"})
    assert len(log) == 0


def test_a06_half_of_a_surrogate_pair_never_reaches_the_comm() -> None:
    log = ChatLog()
    log.upsert(row(0, text="a\ud800b", at=float("nan")))
    shown = View(log).next("rows")["rows"][0]
    assert (shown["text"], shown["at"]) == ("a\ufffdb", None)


@pytest.mark.slow
def test_a70_a_burst_is_a_few_numbered_messages_and_every_row_arrives() -> None:
    log = ChatLog()
    view = View(log)
    log.upsert_many(row(number) for number in range(10_000))
    rows = view.rows_until("r9999")
    assert [shown["n"] for shown in rows] == list(range(10_000))
    messages = [message for message in view.seen if message["type"] == "rows"]
    assert len(messages) == 10_000 / WINDOW
    assert [message["seq"] for message in messages] == list(range(1, len(messages) + 1))


def test_a70_large_rows_are_spread_over_messages() -> None:
    log = ChatLog()
    view = View(log)
    log.upsert_many(row(number, text="x" * 64_000) for number in range(20))
    rows = view.rows_until("r19")
    assert len(rows) == 20
    assert max(sum(len(shown["text"]) for shown in message["rows"]) for message in view.seen) <= 5 * 64_000


def test_many_threads_may_feed_at_once() -> None:
    log = ChatLog()
    view = View(log)
    start = threading.Barrier(8)

    def work(thread: int) -> None:
        start.wait()
        for number in range(500):
            log.upsert({"id": f"{thread}-{number}", "text": "x"})
            log.upsert({"id": f"{thread}-{number}", "state": "acked"})

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    shown: dict[str, dict[str, Any]] = {}
    while len(shown) < 4_000 or any("state" not in row for row in shown.values()):
        for entry in view.next("rows")["rows"]:
            shown[entry["id"]] = entry
    for thread in threads:
        thread.join()
    assert sorted(entry["n"] for entry in shown.values()) == list(range(4_000))
    for worker in range(8):
        own = [entry for entry in log.rows() if entry["id"].startswith(f"{worker}-")]
        assert [entry["id"] for entry in own] == [f"{worker}-{number}" for number in range(500)]


def test_single_upserts_are_gathered_at_the_feeds_pace() -> None:
    log = ChatLog()
    view = View(log)
    stop, started = threading.Event(), threading.Event()
    count = 0

    def work() -> None:
        nonlocal count
        while not stop.is_set():
            log.upsert(row(count))
            count += 1
            started.set()
            stop.wait(INTERVAL / 100)

    worker = threading.Thread(target=work)
    worker.start()
    assert started.wait(30)
    for _ in range(10):
        view.next("rows")
    stop.set()
    worker.join()
    log.upsert({"id": "last"})
    rows = view.rows_until("last")
    assert rows[-1]["n"] == count
    assert len(view.seen) < count


def test_a_view_that_is_mounted_gets_the_latest_window() -> None:
    log, view = filled(1_200)
    answer = view.answer(view.ask("ready"))
    assert ids(answer) == [f"r{number}" for number in range(700, 1_200)]
    assert {message["replay"] for message in answer} == {True}
    assert answer[-1]["seq"] == 3
    assert answer[-1]["oldest"] == 0
    assert len(log) == 1_200


def test_the_window_of_an_empty_feed_is_an_answer_too() -> None:
    view = View(ChatLog())
    assert ids(view.answer(view.ask("ready"))) == []


def test_a_large_window_comes_in_parts() -> None:
    log = ChatLog()
    view = View(log)
    log.upsert_many(row(number, text="x" * 100_000) for number in range(7))
    view.rows_until("r6")
    answer = view.answer(view.ask("ready"))
    assert [message["part"] for message in answer] == [0, 1, 2]
    assert ids(answer) == [f"r{number}" for number in range(7)]


def test_a_view_gets_what_it_missed_and_only_that() -> None:
    log, view = filled(3)
    log.upsert(row(3))
    view.rows_until("r3")
    log.upsert({"id": "r1", "state": "acked"})
    view.rows_until("r1")
    answer = view.answer(view.ask("missed", after=1))
    assert ids(answer) == ["r1", "r3"]
    assert answer[0]["replay"] is False
    assert answer[0]["seq"] == 3
    assert ids(view.answer(view.ask("missed", after=3))) == []


def test_a_view_that_missed_more_than_two_windows_gets_the_latest_one() -> None:
    _, view = filled(1_600)
    answer = view.answer(view.ask("missed", after=0))
    assert answer[0]["replay"] is True
    assert ids(answer)[0] == "r1100"


def test_earlier_rows_come_in_pages() -> None:
    _, view = filled(800)
    assert ids(view.answer(view.ask("before", id="r600"))) == [
        f"r{number}" for number in range(600 - PAGE, 600)
    ]
    assert ids(view.answer(view.ask("before", id="r2"))) == ["r0", "r1"]
    assert ids(view.answer(view.ask("before", id="r0"))) == []


def test_after_a_quiet_period_the_feed_sends_its_last_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "SETTLE", 0.05)
    _, view = filled(1)
    assert view.next("mark") == {"type": "mark", "epoch": 0, "seq": 1}


def test_clearing_starts_another_epoch_and_forgets() -> None:
    log, view = filled(3)
    log.clear()
    message = view.next("rows")
    assert (message["epoch"], message["seq"], message["rows"]) == (1, 2, [])
    log.upsert(row(0, text="new"))
    assert view.next("rows")["rows"] == [row(0, text="new", n=3)]
    assert log.rows() == [row(0, text="new")]


def test_a70_the_history_is_bounded_by_rows_and_by_characters() -> None:
    log, view = filled(30, history=10)
    assert [entry["id"] for entry in log.rows()] == [f"r{number}" for number in range(20, 30)]
    assert view.answer(view.ask("ready"))[0]["oldest"] == 20
    assert view.ask("before", id="r3")
    assert not log.update("r3", state="acked")
    large = ChatLog(history_chars=1_000)
    large.upsert_many({"id": f"{number}", "text": "x" * 300} for number in range(9))
    assert [entry["id"] for entry in large.rows()] == ["6", "7", "8"]
    large.upsert({"id": "8", "text": "x" * 5_000})
    assert [entry["id"] for entry in large.rows()] == ["8"]
    large.upsert({"id": "8", "text": ""})
    large.upsert({"id": "9", "text": "x" * 900})
    assert len(large) == 2


@pytest.mark.parametrize(
    "content",
    [
        None, [], "ready", {}, {"type": "ready"}, {"type": "ready", "request": 1},
        {"type": "odd", "request": "a"},
        {"type": "ready", "request": "a" * 101}, {"type": "missed", "request": "a", "after": "b"},
        {"type": "before", "request": "a", "id": "nobody"}, {"type": ["ready"], "request": "a"},
    ],
)  # fmt: skip
def test_a_request_that_makes_no_sense_does_nothing(content: Any) -> None:
    log, view = filled(1)
    log._handle_custom_msg(content, [])
    log.upsert({"id": "next"})
    assert ids([view.next("rows")]) == ["next"]


def test_a73_no_text_is_in_the_saved_state() -> None:
    log, view = filled(0 + 1)
    log.upsert(row(1, text="</script><script>alert(1)</script>", sender="mallory"))
    log.set_typing(["eve"])
    view.rows_until("r1")
    state = str(log.get_state())
    for word in ("alert(1)", "mallory", "eve is", "text 0"):
        assert word not in state
    assert set(log.keys) <= {
        "_anywidget_id", "_css", "_dom_classes", "_esm", "_model_module", "_model_module_version",
        "_model_name", "elapsed",
        "_view_count", "_view_module", "_view_module_version", "_view_name", "layout", "tabbable", "tooltip",
    }  # fmt: skip


def test_a_closed_widget_is_silent_and_lets_the_thread_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(feed, "SETTLE", 0.05)
    monkeypatch.setattr(
        PacedWidget, "pacer", Pacer()
    )  # Widgets of other tests would keep the thread running.
    log, view = filled(1)
    messages = log.comm.messages
    log.close()
    log.upsert(row(1))
    view.say(type="ready", request="late")
    while thread := log.pacer._thread:
        thread.join(PATIENCE)
    assert messages.empty()
    assert caplog.text == ""
