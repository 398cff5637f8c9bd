"""The readable part of a damaged history is copied."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from chatlab.live.salvage import salvage
from chatlab.live.server.store import Store, StoreError
from chatlab.messages import OutgoingMessage


def filled(path: Path, count: int = 300) -> None:
    store = Store(path, "e1")
    for number in range(count):
        message = OutgoingMessage(f"{number:03}" + "x" * 1000, client_id=f"c{number}")
        store.append(f"room-{number % 3}", "ada", message, None)
    store.close()


def damage(path: Path, page: int, count: int = 1) -> None:
    data = bytearray(path.read_bytes())
    data[4096 * page : 4096 * (page + count)] = bytes(range(256)) * 16 * count
    path.write_bytes(data)


def test_all_but_the_damaged_pages_are_copied_and_the_history_continues(tmp_path: Path) -> None:
    old, new = tmp_path / "chat.db", tmp_path / "new.db"
    filled(old)
    damage(old, 40, 2)
    kept, holes = salvage(str(old), str(new), "other")
    assert kept + holes == 300
    assert 0 < holes < 20
    store = Store(new, "another")
    assert store.epoch == "e1"
    found = [message for n in range(3) for message in store.latest(f"room-{n}", None).messages]
    assert len(found) == kept
    first = found[0]
    again = store.append("room-0", "ada", OutgoingMessage(first.text, client_id=first.client_id), None)
    assert again == (first, False)
    store.close()


@pytest.mark.parametrize("number", [1, 2, 4, 7])
def test_whatever_page_is_damaged_the_rest_is_found(tmp_path: Path, number: int) -> None:
    old = tmp_path / "chat.db"
    filled(old)
    damage(old, number)
    try:
        kept, _ = salvage(str(old), str(tmp_path / "new.db"), "other")
    except StoreError:
        assert number < 2
    else:
        assert kept > 290 or number < 4  # The first few hold the trees' roots.


def test_a_whole_history_is_copied_whole_and_no_file_is_written_over(tmp_path: Path) -> None:
    old, new = str(tmp_path / "chat.db"), str(tmp_path / "new.db")
    filled(tmp_path / "chat.db", 10)
    assert salvage(old, new, "other") == (10, 0)
    with pytest.raises(StoreError, match="exists already"):
        salvage(old, new, "other")
    with pytest.raises(StoreError, match="there is no file"):
        salvage(f"{old}.not", f"{new}.2", "other")


def test_it_is_a_command(tmp_path: Path) -> None:
    filled(tmp_path / "chat.db", 10)
    command = [sys.executable, "-m", "chatlab.live.salvage", "chat.db", "new.db"]
    for status, out, err in (
        (0, "10 messages are in new.db; 0 couldn't be read\n", ""),
        (1, "", "new.db exists already; choose another name\n"),
    ):
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert (ended.returncode, ended.stdout, ended.stderr) == (status, out, err)
