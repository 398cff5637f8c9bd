"""Files are written completely or not at all, and read up to a limit."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from typer.testing import CliRunner

from chatlab import Scenario, fileio, run
from chatlab.cli import app
from chatlab.errors import SettingsError
from chatlab.fileio import atomic_write, lines_of, read_bounded
from chatlab.widgets.logs import ChatLog

OLD = b"precious"
SHORT = Scenario(duration=1.0)
posix = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX file system")


def write(path: Path, content: bytes = b"new") -> None:
    with atomic_write(path) as part:
        part.write_bytes(content)


def save_messages(path: Path) -> None:
    log = ChatLog()
    log.upsert({"id": "1", "at": 1.0, "text": "x"})
    log.save(path)
    log.close()


def command(*arguments: str) -> Callable[[Path], None]:
    def carry_out(path: Path) -> None:
        path.with_name("short.toml").write_text("duration = 1.0", encoding="utf-8")
        ended = CliRunner().invoke(app, [*arguments, str(path.with_name("short.toml")), f"--out={path}"])
        path.with_name("short.toml").unlink()
        if ended.exit_code:
            raise OSError(ended.stderr)

    return carry_out


@pytest.mark.parametrize(
    "save",
    [
        write,
        SHORT.save,
        lambda path: run(SHORT).save(path),
        save_messages,
        command("simulate"),
        pytest.param(command("sweep", "--over=people.count=1"), marks=pytest.mark.proof),
        pytest.param(
            lambda path: CliRunner().invoke(app, ["simulate", "deploy", f"--plot={path}.svg"]),
            marks=pytest.mark.proof,
        ),
    ],
    ids=["bytes", "scenario", "run", "transcript", "simulate --out", "sweep --out", "simulate --plot"],
)
def test_a_full_disk_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save: Callable[[Path], object]
) -> None:
    path, picture = tmp_path / "a", tmp_path / "a.svg"
    path.write_bytes(OLD)
    picture.write_bytes(OLD)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, suppress(OSError):
        patch.setattr(os, "fsync", full)
        save(path)
    assert (path.read_bytes(), picture.read_bytes()) == (OLD, OLD)
    save(path)
    assert path.read_bytes() + picture.read_bytes() != OLD + OLD
    assert {one.name for one in tmp_path.iterdir()} == {"a", "a.svg"}


def test_what_the_writer_raises_leaves_the_old_file_and_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(OLD)

    def fail(error: BaseException) -> None:
        with atomic_write(path) as part:
            part.write_bytes(b"half")
            raise error

    for raised, told in (
        (OSError(28, "No space left on device"), f"[Errno 28] No space left on device: {str(path)!r}"),
        (OSError("of a library"), "of a library"),
        (KeyboardInterrupt("stopped"), "stopped"),
    ):
        with pytest.raises(type(raised)) as found:
            fail(raised)
        assert str(found.value) == told
    assert path.read_bytes() == OLD
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as found:
        write(tmp_path / "none" / "a")
    assert found.value.filename == str(tmp_path / "none" / "a")
    with pytest.raises(OSError, match="irectory") as error:
        write(tmp_path)
    assert error.value.filename == str(tmp_path)


@posix
def test_a_file_keeps_its_permissions_and_a_new_one_has_the_usual_ones(tmp_path: Path) -> None:
    old, new, usual = tmp_path / "old", tmp_path / "new", tmp_path / "usual"
    old.write_bytes(OLD)
    old.chmod(0o640)
    before = old.stat()
    usual.touch()
    write(old)
    write(new)
    assert stat.S_IMODE(old.stat().st_mode) == 0o640
    assert old.stat().st_ino != before.st_ino
    assert old.stat().st_mtime >= before.st_mtime
    assert new.stat().st_mode == usual.stat().st_mode


@posix
@pytest.mark.parametrize("there", [True, False], ids=["to a file", "to nothing"])
def test_a_link_stays_and_its_target_is_written(tmp_path: Path, there: bool) -> None:
    (tmp_path / "folder").mkdir()
    target = tmp_path / "folder" / "target"
    if there:
        target.write_bytes(OLD)
    near, far = tmp_path / "near", tmp_path / "far"
    near.symlink_to("folder/target")
    far.symlink_to(near)
    write(far)
    assert (near.is_symlink(), far.is_symlink()) == (True, True)
    assert target.read_bytes() == b"new"
    assert list((tmp_path / "folder").iterdir()) == [target]


@posix
def test_a_pipe_gets_what_was_written_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(path.read_bytes()))
    reader.start()
    with suppress(ValueError), atomic_write(path) as part:
        part.write_bytes(b"half")
        raise ValueError
    write(path)
    reader.join()
    assert got == [b"new"]
    assert stat.S_ISFIFO(path.stat().st_mode)


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="there is no /dev/fd here")
def test_an_open_file_is_appended_to(tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as file:
        file.write(b"a table, then ")
        file.flush()
        link = tmp_path / "link"
        link.symlink_to(f"/dev/fd/{file.fileno()}")
        write(link)
    assert (tmp_path / "a").read_bytes() == b"a table, then new"


def test_where_no_other_file_can_be_made_a_file_is_written_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(OLD * 2)

    def forbidden(**options: Any) -> object:
        if "dir" in options:
            raise PermissionError(13, "Permission denied", str(options["dir"]))
        return TemporaryDirectory(**options)

    monkeypatch.setattr(fileio, "TemporaryDirectory", forbidden)
    inode = path.stat().st_ino
    write(path)
    assert (path.read_bytes(), path.stat().st_ino) == (b"new", inode)
    with pytest.raises(PermissionError) as found:
        write(tmp_path / "new")
    assert found.value.filename == str(tmp_path / "new")


@posix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_that_may_not_be_written_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(OLD)
    path.chmod(0o444)
    with pytest.raises(PermissionError):
        write(path)
    assert path.read_bytes() == OLD


def test_reading_has_bounds_and_passes_over_a_byte_order_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"\xef\xbb\xbfabc")
    assert read_bounded(path, 6) == b"abc"
    with pytest.raises(SettingsError, match="more than 5 bytes"):
        read_bounded(path, 5)
    monkeypatch.setattr(fileio, "LONGEST_LINE", 4)
    assert list(lines_of(BytesIO(b"\xef\xbb\xbf\n\xef\xbb\xbf\nabc"))) == [b"\n", b"\xef\xbb\xbf\n", b"abc"]
    with pytest.raises(SettingsError, match="a line has more than 4 bytes"):
        list(lines_of(BytesIO(b"a\nabcde")))


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there is no /dev/zero here")
def test_a_file_that_never_ends_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"zero: the file has more than 16,777,216 bytes"):
        Scenario.load("/dev/zero")
