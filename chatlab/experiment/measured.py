"""Measured counts of each second, from a CSV file as monitoring tools write them."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from math import isfinite, nan
from pathlib import Path

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from chatlab.errors import SettingsError
from chatlab.fileio import read_bounded
from chatlab.text import quoted

MAX_BYTES = 64 << 20
"""Maximum size of a file."""
MAX_SECONDS = 100_000
"""Maximum seconds from the first row to the last."""
MIN_ROWS = 10
"""Rows with a count that a fit needs."""
DAY = 86_400.0
"""Seconds of a day."""
MILLISECONDS = 1e11
"""Times from here on are milliseconds since 1970."""
_MISSING = frozenset({"", "-", "–", "na", "n/a", "nan", "null", "none"})
_TIME_NAMES = ("time", "second", "timestamp", "date", "ts", "@timestamp")


class Measured(Struct, frozen=True, eq=False):
    """The counts of each second from the first row to the last; NaN where one is missing.

    `begins` is the first row's time as it was written. `repeated` is the number of seconds that have several
    rows, whose counts were added.
    """

    counts: NDArray[np.float64]
    begins: str = ""
    name: str = "the measurement"
    repeated: int = 0

    @property
    def total(self) -> float:
        """The sum of all counts."""
        return float(np.nansum(self.counts))

    @property
    def missing(self) -> int:
        """Number of seconds without a count."""
        return int(np.count_nonzero(np.isnan(self.counts)))


def measured_of(counts: Sequence[float]) -> Measured:
    """Return counts of each second, such as a run's series. Errors: `SettingsError`."""
    return _checked(Measured(np.asarray(counts, dtype=float)))


def read_measured(
    path: str | Path, column: str = "", wanted: Sequence[str] = (), other: Sequence[str] = ()
) -> Measured:
    """Read the counts of a CSV file: a row for each second, with a time and a count.

    Fields are separated by commas, semicolons or tabs. A header is optional; without `column`, the count is
    the column of one of the names `wanted`, or the only one beside the time, unless its name is among `other`
    things that are counted. Times are seconds, milliseconds since 1970, times of day, which may pass midnight
    once, or dates with times. A single column has the counts of successive seconds. Rows of the same second
    are added. Seconds without a row, or without a number, are missing.

    Errors: `SettingsError` with the line; `OSError` if the file can't be read.
    """
    path = Path(path)
    try:
        data = read_bounded(path, MAX_BYTES)
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8")
        return _checked(_read(text, column, wanted, other, path.name))
    except UnicodeDecodeError:
        raise SettingsError(f"{path.name}: not UTF-8 text; save it as CSV in UTF-8") from None
    except SettingsError as error:
        raise SettingsError(f"{path.name}: {error}") from None


def _read(text: str, column: str, wanted: Sequence[str], other: Sequence[str], name: str) -> Measured:
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise SettingsError("the file is empty; give a row for each second")
    first = lines[0][1]
    separator = next((sign for sign in ";\t," if sign in first), ",")
    rows = [
        (number, [field.strip() for field in next(csv.reader([line], delimiter=separator))])
        for number, line in lines
    ]
    header = (
        rows[0][1]
        if not any(_is_number(field, separator) for field in rows[0][1]) and not _is_time(rows[0][1][0])
        else None
    )
    if header is not None:
        rows = rows[1:]
    time, count = _columns(header, len(rows[0][1]) if rows else 0, column, wanted, other)
    seconds, counts = list[float](), list[float]()
    begins = ""
    for place, (number, row) in enumerate(rows):
        if len(row) <= max(time if time is not None else 0, count):
            raise SettingsError(f"line {number}: it has {len(row)} fields; a time and a count are needed")
        counts.append(_count(row[count], separator, number))
        seconds.append(place if time is None else _seconds(row[time], separator, number))
        begins = begins or (row[time] if time is not None else "0")
    if time is not None and all(_CLOCK.fullmatch(row[time]) for _, row in rows):
        seconds = _past_midnight(seconds)
    counted, repeated = _each_second(seconds, counts)
    return Measured(counted, begins, name, repeated)


def _columns(
    header: Sequence[str] | None, width: int, column: str, wanted: Sequence[str], other: Sequence[str]
) -> tuple[int | None, int]:
    """Return the indices of the time, or None, and of the count."""
    if header is None:
        if column:
            raise SettingsError(f"column: the file has no header, so there is no {column!r}")
        if width > 2:
            raise SettingsError(f"it has {width} columns and no header; keep a time and a count")
        return (None, 0) if width == 1 else (0, 1)
    names = [name.strip().lower() for name in header]
    time = next(
        (index for index, name in enumerate(names) if name.startswith(_TIME_NAMES)),
        0 if len(names) > 1 else None,
    )
    others = [index for index in range(len(names)) if index != time]
    named = [column.lower()] if column else [*(want.lower() for want in wanted)]
    count = next((index for want in named for index in others if names[index] == want), None)
    if count is None and len(others) == 1 and not column:
        count = others[0]
        if (found := names[count]) in other:
            raise SettingsError(
                f"its only column is {found!r}, and {wanted[0]} are fitted; set of to {found!r}, or column "
                f"if these are {wanted[0]}"
            )
    if count is None:
        shown = ", ".join(header[index] for index in others)
        missing = f"there is no {column!r}; " if column else ""
        raise SettingsError(
            f"column: {missing}choose the one with the counts: {shown or 'there is none'}; "
            "of says what they are"
        )
    return time, count


def _is_number(text: str, separator: str) -> bool:
    return text.lower() not in _MISSING and _number(text, separator) is not None


def _number(text: str, separator: str) -> float | None:
    plain = text.replace(" ", "").replace("\u00a0", "").replace("_", "")
    if separator == ";":
        plain = plain.replace(",", ".")
    try:
        return float(plain)
    except ValueError:
        return None


def _count(text: str, separator: str, line: int) -> float:
    if text.lower() in _MISSING:
        return nan
    value = _number(text, separator)
    if value is None:
        raise SettingsError(f"line {line}: the count {quoted(text)} is not a number")
    if value < 0 or not isfinite(value):
        raise SettingsError(f"line {line}: the count {quoted(text)} is not a number of at least 0")
    return value


_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d(?:[.,]\d+)?))?")


def _is_time(text: str) -> bool:
    try:
        _seconds(text, ",", 0)
    except SettingsError:
        return False
    return True


def _seconds(text: str, separator: str, line: int) -> float:
    number = _number(text, separator)
    if number is not None and isfinite(number):
        return number / 1000 if abs(number) >= MILLISECONDS else number
    if match := _CLOCK.fullmatch(text):
        hours, minutes, seconds = match.groups()
        return 3600 * int(hours) + 60 * int(minutes) + float((seconds or "0").replace(",", "."))
    try:
        at = datetime.fromisoformat(text.replace("/", "-"))
    except ValueError:
        raise SettingsError(
            f"line {line}: the time {quoted(text)} is neither seconds nor a time such as 2026-11-30T18:00:05Z"
        ) from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _past_midnight(seconds: Sequence[float]) -> list[float]:
    """Return times of day as seconds that go on after midnight, and begin after the day's longest gap."""
    if not seconds:
        return []
    known = np.unique(np.mod(seconds, DAY))
    gaps = np.diff(known, append=known[0] + DAY)
    first = known[(int(np.argmax(gaps)) + 1) % len(known)]
    return [float(each) for each in np.mod(np.asarray(seconds) - first, DAY)]


def _each_second(seconds: Sequence[float], counts: Sequence[float]) -> tuple[NDArray[np.float64], int]:
    """Return the counts of each second, and the number of seconds that have several rows."""
    if not seconds:
        raise SettingsError("it has no rows below the header; give a row for each second")
    at = np.floor(np.asarray(seconds) + 1e-6)
    at -= at.min()
    length = int(at.max()) + 1
    if length > MAX_SECONDS:
        raise SettingsError(
            f"it spans {length:,} s, at most {MAX_SECONDS:,} are allowed; cut out the incident"
        )
    gaps = np.diff(np.unique(at))
    if len(gaps) and (step := float(np.median(gaps))) > 1:
        raise SettingsError(f"its rows are {step:g} s apart; give the counts of each second")
    known = ~np.isnan(counts)
    index = at.astype(np.int64)
    result = np.bincount(index[known], weights=np.asarray(counts)[known], minlength=length).astype(np.float64)
    rows = np.bincount(index[known], minlength=length)
    result[rows == 0] = nan
    return result, int(np.count_nonzero(rows > 1))


def _checked(measured: Measured) -> Measured:
    known = len(measured.counts) - measured.missing
    if known < MIN_ROWS:
        raise SettingsError(f"it counts {known} seconds; a fit needs {MIN_ROWS} or more")
    if not measured.total:
        raise SettingsError("all counts are 0, so there is nothing to explain")
    return measured
