"""Files of the user: written completely or not at all, and read up to a limit."""

from __future__ import annotations

import os
import shutil
import stat
from codecs import BOM_UTF8
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from chatlab.errors import SettingsError

LONGEST_LINE = 64 << 20
"""Bytes of the longest line that `lines_of` reads."""


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path of the same name; the file written there becomes the content of `path`.

    A regular file is replaced in one step by a new one with its permissions and owner, or stays as it was if
    the block raises. A symbolic link stays one, and its target is replaced. Anything else, such as a pipe, a
    device or /dev/stdout, gets the content appended. If its folder is read-only, a file is overwritten in
    place.

    Errors: `OSError` naming `path`.
    """
    path = Path(path)
    try:
        target = _regular_target(path)
        with _folder_beside(target) as folder:
            part = Path(folder, path.name)
            yield part
            if target is None:
                _copy(part, path, "ab")
            elif Path(folder).parent != target.parent:
                _copy(part, target, "wb")
            else:
                with part.open("r+b") as file:
                    os.fsync(file.fileno())
                if target.exists():
                    _copy_attributes(target, part)
                part.replace(target)
    except OSError as error:
        if error.errno is None:  # raised by a library, not by the operating system
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None


def _regular_target(path: Path) -> Path | None:
    """Return the regular file to replace, which may be missing; None if `path` is something else.

    Errors: `OSError` if the file exists and may not be written.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return Path(os.path.realpath(path))
    if not stat.S_ISREG(mode) or _is_stream(path):
        return None
    with path.open("r+b"):
        return Path(os.path.realpath(path))


def _is_stream(path: Path) -> bool:
    """Return whether a path names an open file of a process, as /dev/stdout does."""
    for _ in range(40):
        folder = os.path.realpath(path.parent)
        if folder.startswith(("/proc/", "/dev/fd")):
            return True
        if not path.is_symlink():
            return False
        path = Path(folder, path.readlink())
    return False


def _folder_beside(target: Path | None) -> TemporaryDirectory[str]:
    if target is not None:
        try:
            return TemporaryDirectory(prefix=".chatlab-", dir=target.parent)
        except PermissionError:
            if not target.exists():
                raise
    return TemporaryDirectory(prefix="chatlab-")


def _copy(part: Path, path: Path, mode: str) -> None:
    with part.open("rb") as source, path.open(mode) as file:
        shutil.copyfileobj(source, file)


def _copy_attributes(target: Path, part: Path) -> None:
    """Give a new file the owner, the permissions and the extended attributes of the one that it replaces."""
    before = target.stat()
    if hasattr(os, "chown"):
        with suppress(PermissionError):
            os.chown(part, before.st_uid, before.st_gid)
    shutil.copystat(target, part)
    os.utime(part)


def read_bounded(path: str | Path, max_size: int) -> bytes:
    """Return the content of a file, without a byte order mark.

    Errors: `SettingsError` if it has more than `max_size` bytes; `OSError` if it can't be read.
    """
    with Path(path).open("rb") as file:
        data = file.read(max_size + 1)
    if len(data) > max_size:
        raise SettingsError(f"the file has more than {max_size:,} bytes; name another")
    return data.removeprefix(BOM_UTF8)


def lines_of(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of an open file, without a byte order mark.

    Errors: `SettingsError` if a line has more than `LONGEST_LINE` bytes; `OSError` if it can't be read.
    """
    mark = BOM_UTF8
    while line := file.readline(LONGEST_LINE + 1):
        if len(line) > LONGEST_LINE:
            raise SettingsError(f"a line has more than {LONGEST_LINE:,} bytes")
        yield line.removeprefix(mark)
        mark = b""
