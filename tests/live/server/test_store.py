import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from chatlab.hub.log import LogLimits
from chatlab.live.server.store import Store, StoreError
from chatlab.messages import OutgoingMessage
from tests.live.server.test_logs import AT, add, all_of, pages, posted


def open_again(path: Path, **limits: Any) -> Store:
    return Store(path, "another epoch", LogLimits(**limits))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "chat.db", "e1")
    yield store
    store.close()


def test_few_rooms_are_cached(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatlab.live.server.store.ROOMS", 2)
    for room in ("a", "b", "c", "a"):
        add(store, room, room)
        store.latest("nowhere", None)
    assert list(store._tails) == ["c", "a"]
    assert [message.id for message in all_of(store)] == ["e1-1", "e1-2"]


def test_a_kept_message_is_on_the_disk_without_closing(store: Store, tmp_path: Path) -> None:
    add(store, "m1")
    for file in tmp_path.iterdir():  # the state that another process finds after a kill of this one
        (tmp_path / "copy").mkdir(exist_ok=True)
        if file.is_file():
            (tmp_path / "copy" / file.name).write_bytes(file.read_bytes())
    copy = open_again(tmp_path / "copy" / "chat.db")
    assert all_of(copy) == [posted(1)]
    copy.close()


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


def test_a_message_that_can_not_be_kept_undoes_nothing_else(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    add(store, "m1")
    store._connection.execute(
        "CREATE TRIGGER full BEFORE INSERT ON messages BEGIN SELECT RAISE(FAIL, 'disk full'); END"
    )
    for _ in range(3):
        with pytest.raises(StoreError, match=r"chat\.db fails: disk full"):
            add(store, client_id="c1")
    assert all_of(store) == [posted(1)]
    store._connection.execute("DROP TRIGGER full")
    assert add(store, "m2", client_id="c1") == posted(2, client_id="c1")
    assert [record.getMessage().partition("chat.db ")[2] for record in caplog.records] == [
        "fails: disk full; messages are refused until it can be written again",
        "can be written again; 3 messages were refused",
    ]


def test_files_other_than_histories_are_left_unchanged(tmp_path: Path) -> None:
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
    with pytest.raises(StoreError, match="has format 2; this version reads 1"):
        open_again(tmp_path / "chat.db")


def test_a_file_of_an_earlier_version_gets_its_index(store: Store, tmp_path: Path) -> None:
    add(store, client_id="c1")
    store._connection.execute("DROP INDEX keys")
    store.close()
    store = open_again(tmp_path / "chat.db")
    assert not store.append("a", "ada", OutgoingMessage("hi", client_id="c1"), AT).new
    store.close()


def corrupt(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


@pytest.mark.parametrize(
    ("damage", "left", "told"),
    [
        (
            "posted_at = 'yesterday'",
            {"posted_at": None},
            "the posted_at of message 2 in the room 'a' can't be read",
        ),
        ("text = x'ff'", {"text": ""}, "the text of message 2 in the room 'a' can't be read"),
        ("text = CAST(x'ff41' AS TEXT)", {"text": "\ufffdA"}, None),
        ("data = 'some text'", {"data": None}, "the data of message 2 in the room 'a' can't be read"),
        ("sender = x'00', client_id = x'00'", {"sender": "", "client_id": ""}, "the sender of message 2"),
        ("id = 'x'", {}, None),
    ],
)
def test_a_damaged_row_is_read_as_far_as_possible_and_reported_once(
    store: Store,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    damage: str,
    left: dict[str, Any],
    told: str | None,
) -> None:
    for number in range(1, 4):
        add(store, f"m{number}", client_id=f"c{number}")
    store.close()
    corrupt(tmp_path / "chat.db", f"UPDATE messages SET {damage} WHERE number = 2")
    store = open_again(tmp_path / "chat.db")
    expected = [posted(n, **{"client_id": f"c{n}", **(left if n == 2 else {})}) for n in (1, 2, 3)]
    assert all_of(store) == all_of(store) == expected
    reports = [record.getMessage() for record in caplog.records]
    assert (told is None) == (reports == [])
    for report in reports:
        assert "copy the readable part: " in report
        assert told in report or "the client_id of message 2" in report  # type: ignore[operator]
    assert len(reports) == len(set(reports))
    store.close()


@pytest.mark.parametrize("number", ["'x'", "-5", "0", "4611686018427387904", "2.5"])
def test_a_row_without_a_number_is_left_out_and_reported(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture, number: str
) -> None:
    for _ in range(3):
        add(store)
    store.close()
    corrupt(tmp_path / "chat.db", f"UPDATE messages SET number = {number} WHERE number = 2")
    store = open_again(tmp_path / "chat.db")
    assert [message.id for message in all_of(store)] == ["e1-1", "e1-3"]
    assert not store.latest("a", None).more
    assert add(store).id == "e1-4"
    (report,) = [record.getMessage() for record in caplog.records]
    assert "1 messages of the room 'a' have no number and are left out" in report
    store.close()


def test_a_reader_skips_deleted_rows(store: Store, tmp_path: Path) -> None:
    for _ in range(9):
        add(store)
    store.close()
    corrupt(tmp_path / "chat.db", "DELETE FROM messages WHERE number BETWEEN 2 AND 6")
    store = open_again(tmp_path / "chat.db", retain=8)
    assert [list(page[1]) for page in pages(store, "a", None, 2)] == [
        [posted(7, text="hi"), posted(8, text="hi")], [posted(9, text="hi")],
    ]  # fmt: skip
    store.close()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM log",
        *(
            f"UPDATE log SET epoch = {epoch}"
            for epoch in ("x'ff'", "''", "cast(x'ff61' AS TEXT)", "'a' || char(10)")
        ),
    ],
)
def test_a_file_without_its_epoch_begins_another_one(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture, statement: str
) -> None:
    add(store)
    store.close()
    corrupt(tmp_path / "chat.db", statement)
    for _ in range(2):
        store = open_again(tmp_path / "chat.db")
        assert [message.id for message in all_of(store)] == ["another epoch-1"]
        assert store.after("a", "e1-1").gap
        store.close()
    assert ["has lost its epoch" in record.getMessage() for record in caplog.records] == [True]


def test_a_damaged_page_is_an_error_that_says_what_to_do(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(50):
        add(store, "x" * 1000)
    store.close()
    damaged = bytearray((tmp_path / "chat.db").read_bytes())
    damaged[4096 * 8 : 4096 * 12] = bytes(4096 * 4)
    (tmp_path / "chat.db").write_bytes(damaged)
    store = open_again(tmp_path / "chat.db")
    for _ in range(2):
        with pytest.raises(StoreError, match=r"malformed; copy the readable part: .*salvage"):
            all_of(store)
    (report,) = [record.getMessage() for record in caplog.records]
    assert report.count("copy the readable part") == 1
    store.close()


@pytest.mark.parametrize("sql", ["CAST(x'ff41' AS TEXT)", "'CREATE TABLE messages'"])
def test_a_damaged_schema_is_an_error_that_says_what_to_do(store: Store, tmp_path: Path, sql: str) -> None:
    store.close()
    with closing(sqlite3.connect(tmp_path / "chat.db")) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(f"UPDATE sqlite_schema SET sql = {sql} WHERE name = 'messages'")
    with pytest.raises(StoreError, match="copy the readable part: "):
        open_again(tmp_path / "chat.db")


def test_reports_of_unreadable_data_are_bounded(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(100):
        add(store)
    store._connection.execute("UPDATE messages SET posted_at = 'yesterday'")
    assert len(all_of(store)) == 100
    assert len(caplog.records) == 20
