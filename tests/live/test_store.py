import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from chatlab.live.store import Store, StoreError
from chatlab.messages import ChatMessage

AT = datetime(2026, 11, 23, 12, 0, 0, 123456, UTC)


def posted(number: int, **fields: Any) -> ChatMessage:
    given: dict[str, Any] = {"sender": "ada", "text": f"m{number}", "posted_at": AT} | fields
    return ChatMessage(id=f"e1-{number}", **given)


def open_again(path: Path) -> Store:
    return Store(path, "another epoch")


def test_what_was_kept_comes_back_as_it_was(tmp_path: Path) -> None:
    store = Store(tmp_path / "chat.db", "e1")
    strange = [
        posted(1, client_id="c-1"),
        posted(2, text='"\0\r\n\u2028 😀 '),
        posted(3, text="", data=b"\0\xff"),
        posted(4, text="with data", data=b""),
        posted(5, posted_at=None),
    ]
    for message in strange:
        store.keep("a", message)
    store.keep("räum '; --", posted(1))
    store.close()
    store = open_again(tmp_path / "chat.db")
    assert store.epoch == "e1"
    assert sorted(store.rooms(latest=100)) == [("a", strange, 5), ("räum '; --", [posted(1)], 1)]
    store.close()


def test_only_the_latest_of_a_room_are_read_but_all_are_counted(tmp_path: Path) -> None:
    store = Store(tmp_path / "chat.db", "e1")
    for number in range(1, 11):
        store.keep("a", posted(number))
    assert list(store.rooms(latest=3)) == [("a", [posted(8), posted(9), posted(10)], 10)]
    store.close()


def test_a_kept_message_is_on_the_disk_without_closing(tmp_path: Path) -> None:
    store = Store(tmp_path / "chat.db", "e1")
    store.keep("a", posted(1))
    for file in tmp_path.iterdir():  # what another process would find after this one was killed
        (tmp_path / "copy").mkdir(exist_ok=True)
        if file.is_file():
            (tmp_path / "copy" / file.name).write_bytes(file.read_bytes())
    copy = open_again(tmp_path / "copy" / "chat.db")
    assert list(copy.rooms(latest=9)) == [("a", [posted(1)], 1)]
    copy.close()
    store.close()


def test_a_file_is_in_wal_mode_and_written_through(tmp_path: Path) -> None:
    store = Store(tmp_path / "chat.db", "e1")
    assert (tmp_path / "chat.db-wal").exists()
    assert store._connection.execute("PRAGMA synchronous").fetchone()[0] == 2
    store.close()


def test_a_second_server_is_refused_and_may_follow(tmp_path: Path) -> None:
    first = Store(tmp_path / "chat.db", "e1")
    with pytest.raises(StoreError, match="in use by another server"):
        open_again(tmp_path / "chat.db")
    first.close()
    first.close()
    open_again(tmp_path / "chat.db").close()


def test_the_same_number_is_not_kept_twice(tmp_path: Path) -> None:
    store = Store(tmp_path / "chat.db", "e1")
    store.keep("a", posted(1))
    with pytest.raises(StoreError, match="UNIQUE"):
        store.keep("a", posted(1, text="other"))
    assert list(store.rooms(latest=9)) == [("a", [posted(1)], 1)]
    store.close()


def test_what_is_no_history_is_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("dear diary, " * 100)
    with pytest.raises(StoreError, match=r"notes\.txt fails: file is not a database"):
        open_again(text)
    assert text.read_text() == "dear diary, " * 100

    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE t (x)")
    other.close()
    with pytest.raises(StoreError, match="another program's database"):
        open_again(tmp_path / "other.db")
    with pytest.raises(StoreError, match="unable to open"):
        open_again(tmp_path / "no such folder" / "chat.db")


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    Store(tmp_path / "chat.db", "e1").close()
    connection = sqlite3.connect(tmp_path / "chat.db")
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    with pytest.raises(StoreError, match="has format 2; this chatlab reads 1"):
        open_again(tmp_path / "chat.db")


def test_a_damaged_row_is_an_error_not_a_crash(tmp_path: Path) -> None:
    store = Store(tmp_path / "chat.db", "e1")
    store.keep("a", posted(1))
    store._connection.execute("UPDATE messages SET posted_at = 'yesterday'")
    with pytest.raises(StoreError, match="Invalid RFC3339"):
        list(store.rooms(latest=9))
    store.close()
