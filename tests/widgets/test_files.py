from pathlib import Path
from typing import Any

import pytest

from chatlab.widgets import files
from chatlab.widgets.feed import FeedWidget
from chatlab.widgets.history import History
from chatlab.widgets.logs import ChatLog, FrameLog
from tests.widgets.comms import View

EVIL = "</script>\u202e\u001b[31m\nline two\u2028 \u2713"
MESSAGE: dict[str, Any] = {
    "id": "m1", "at": 1_700_000_000_123.0, "sender": "ada", "text": EVIL, "own": True, "state": "failed",
    "reason": "403", "kind": "message",
}  # fmt: skip
FRAME: dict[str, Any] = {
    "id": "f1", "at": 1_700_000_000_123.0, "direction": "up", "kind": "message", "size": 70_000,
    "text": "x" * 70_000,
}  # fmt: skip


@pytest.mark.parametrize(("log", "row"), [(ChatLog, MESSAGE), (FrameLog, FRAME)])
def test_what_was_saved_as_json_lines_is_loaded_unchanged(
    log: type[FeedWidget], row: dict[str, Any], tmp_path: Path
) -> None:
    saved, loaded = log(), log()
    saved.upsert_many([row, row | {"id": "second", "text": ""}])
    saved.save(tmp_path / "rows.jsonl")
    assert len((tmp_path / "rows.jsonl").read_bytes().splitlines()) == 2
    assert loaded.load(tmp_path / "rows.jsonl") == 2
    assert loaded.rows() == saved.rows()


@pytest.mark.parametrize(("log", "row"), [(ChatLog, MESSAGE), (FrameLog, FRAME)])
def test_a_file_changes_no_row_that_is_here(
    log: type[FeedWidget], row: dict[str, Any], tmp_path: Path
) -> None:
    saved, loaded = log(), log()
    saved.upsert_many([row | {"text": "forged"}, row | {"id": "second"}])
    saved.save(tmp_path / "rows.jsonl")
    loaded.upsert(row)
    assert loaded.load(tmp_path / "rows.jsonl") == 2
    assert loaded.rows() == [row, row | {"id": "second"}]


def test_saved_text_is_a_line_a_row_and_safe_in_a_terminal(tmp_path: Path) -> None:
    messages, frames = ChatLog(), FrameLog()
    messages.upsert(MESSAGE)
    frames.upsert(FRAME)
    messages.save(tmp_path / "messages.txt")
    frames.save(str(tmp_path / "frames.log"))
    assert (tmp_path / "messages.txt").read_text("utf-8") == (
        "2023-11-14 22:13:20 ada: </script>⟨RLO⟩⟨ESC⟩[31m↵line two⟨LS⟩ ✓ (failed)\n"
    )
    assert (tmp_path / "frames.log").read_text("utf-8") == (
        f"2023-11-14 22:13:20 ↑ message 70000 B {'x' * 70_000}\n"
    )


def test_rows_of_an_odd_time_are_saved_too() -> None:
    log = ChatLog()
    log.upsert({"id": "1", "at": 1e300, "text": "when?"})
    assert log.document("txt") == "---------- --:--:-- : when?\n"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "line 2: it is not JSON; was the file saved as text, or cut off?"),
        ("\udcff", "line 2: it is not JSON"),
        ('{"id": "a"}', "line 2: it has no `at`"),
        ('{"id": 7, "at": 0}', "line 2: its `id` must be a text"),
        ('{"id": "a", "at": 1e400}', "line 2: its `at` is too large a number"),
        (
            '{"id": "a", "at": 0, "evil\\u001b": 1}',
            r"line 2: it has a field `evil\\x1b`; a row has id, at, sender",
        ),
        ("[]", "line 2: it is not a JSON object"),
        ("[" * 100_000, "line 2: it is not a JSON object"),
        ('{"id": "f", "at": 0, "direction": "up"}', "line 2: it has a field `direction`"),
        ("\udc80", "line 2: "),
    ],
)
def test_an_invalid_file_adds_nothing_and_the_line_is_named(
    line: str, complaint: str, tmp_path: Path
) -> None:
    file = tmp_path / "broken.jsonl"
    file.write_bytes(b'{"id": "fine", "at": 1}\n' + line.encode("utf-8", "surrogateescape"))
    log = ChatLog()
    with pytest.raises(ValueError, match=complaint):
        log.load(file)
    assert log.rows() == []


def test_a_byte_order_mark_is_no_row(tmp_path: Path) -> None:
    (tmp_path / "marked.jsonl").write_bytes(b'\xef\xbb\xbf{"id": "fine", "at": 1}\n')
    assert ChatLog().load(tmp_path / "marked.jsonl") == 1


def test_a_large_file_is_read_a_row_at_a_time_and_its_latest_rows_stay(tmp_path: Path) -> None:
    path = tmp_path / "large.jsonl"
    path.write_text("".join(f'{{"id":"{n}","at":{n}}}\n' for n in range(100)), encoding="utf-8")
    log = ChatLog(history=10)
    log.upsert({"id": "95", "at": 1.0, "text": "mine"})
    held = []
    put = History.put

    def counted(history: History, key: str, row: Any) -> None:
        put(history, key, row)
        held.append(len(history))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(History, "put", counted)
        assert log.load(path) == 100
    assert [row["id"] for row in log.rows()] == [*map(str, range(89, 95)), *map(str, range(96, 100))]
    assert max(held) == 10
    log.close()


def test_a_view_gets_the_whole_history_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PART_CHARS", 1_000)
    log = ChatLog()
    view = View(log)
    log.upsert_many({"id": f"r{number}", "at": 0.0, "text": f"text {number} ✓"} for number in range(700))
    request = view.ask("save", format="jsonl")
    parts = [view.next("file")]
    while len(parts) < parts[0]["parts"]:
        parts.append(view.next("file"))
    assert len(parts) > 10
    assert {part["reply"] for part in parts} == {request}
    assert [part["part"] for part in parts] == list(range(len(parts)))
    assert "".join(part["text"] for part in parts) == log.document("jsonl")
    assert "text 0 ✓" in parts[0]["text"]


def send(view: View, text: str, length: int = 100) -> str:
    """Send a file as a view does, in parts, the last one first."""
    pieces = [text[start : start + length] for start in range(0, max(1, len(text)), length)]
    request = f"file-{next(view.requests)}"
    for part in reversed(range(len(pieces))):
        view.say(type="load", request=request, part=part, parts=len(pieces), text=pieces[part])
    return request


@pytest.mark.parametrize(("log", "row"), [(ChatLog, MESSAGE), (FrameLog, FRAME)])
def test_a_file_from_a_view_is_loaded_unchanged(log: type[FeedWidget], row: dict[str, Any]) -> None:
    saved, loaded = log(), log()
    saved.upsert_many([row, row | {"id": "second", "text": "\u2028 \U0001f600"}])
    view = View(loaded)
    request = send(view, saved.document("jsonl") + "\n")
    assert view.next("loaded") == {"type": "loaded", "reply": request, "rows": 2, "error": ""}
    assert loaded.rows() == saved.rows()


@pytest.mark.parametrize("text", ["not JSON", '{"id": "a", "at": 1}\n{"id": 7}', '{"id": "\ud800", "at": 1}'])
def test_an_invalid_file_from_a_view_is_reported_and_adds_nothing(text: str) -> None:
    log = ChatLog()
    view = View(log)
    send(view, text)
    answer = view.next("loaded")
    assert answer["rows"] == 0
    assert answer["error"]
    assert log.rows() == []


def test_an_empty_file_from_a_view_has_no_rows() -> None:
    view = View(ChatLog())
    send(view, "")
    assert view.next("loaded")["rows"] == 0


@pytest.mark.parametrize(
    "part",
    [
        {"part": 2, "parts": 2, "text": ""}, {"part": -1, "parts": 2, "text": ""},
        {"part": 0, "parts": 10**9, "text": ""}, {"part": 0, "parts": 1, "text": 7},
        {"part": "0", "parts": 1}, {},
    ],
)  # fmt: skip
def test_a70_a_part_that_makes_no_sense_is_nothing(part: dict[str, Any]) -> None:
    log = ChatLog()
    view = View(log)
    view.ask("load", **part)
    request = send(view, '{"id": "a", "at": 1}')
    assert view.next("loaded")["reply"] == request


def test_a70_files_that_never_end_are_given_up() -> None:
    uploads = files.Uploads()
    for number in range(100):
        assert uploads.take(f"{number}", {"part": 0, "parts": 2, "text": "x" * 10_000_000}) is None
    assert uploads.take("0", {"part": 1, "parts": 2, "text": "y"}) is None
    whole = uploads.take("99", {"part": 1, "parts": 2, "text": "y"})
    assert whole is not None
    assert len(whole) < 1_000_000


def test_an_empty_history_is_a_file_too() -> None:
    view = View(FrameLog())
    view.ask("save", format="txt")
    assert view.next("file")["text"] == ""


@pytest.mark.parametrize("wanted", ["exe", None, ["jsonl"]])
def test_a_format_that_nobody_knows_is_no_file(wanted: object) -> None:
    log = ChatLog()
    view = View(log)
    view.ask("save", format=wanted)
    log.upsert({"id": "next"})
    view.rows_until("next")
    assert all(message["type"] == "rows" for message in view.seen)
