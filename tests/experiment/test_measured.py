"""CSV files as monitoring tools write them; what can't be read is one sentence with its line."""

from __future__ import annotations

from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chatlab.errors import SettingsError
from chatlab.experiment.measured import measured_of, read_measured

COUNTS = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8]


def written(tmp_path: Path, text: str | bytes, **more: Any) -> list[float]:
    path = tmp_path / "incident.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(read_measured(path, **more).counts)


def rows(line: str, start: int = 0) -> str:
    return "".join(line.format(t=start + second, n=count) + "\n" for second, count in enumerate(COUNTS))


@pytest.mark.parametrize(
    "text",
    [
        rows("{t},{n}"),
        "second,attempts\n" + rows("{t},{n}"),
        "second;attempts\n" + rows("{t};{n}"),
        "second\tattempts\n" + rows("{t}\t{n}"),
        "\ufeffsecond,attempts\r\n" + rows("{t},{n}\r"),
        "attempts\n" + rows("{n}"),
        rows("{n}"),
        "\n\nsecond, attempts\n\n" + rows(" {t} , {n} "),
        '"second","attempts"\n' + rows('"{t}","{n}"'),
        "timestamp,attempts\n" + rows("{t},{n}", 1_764_400_000),
        "timestamp,attempts\n" + rows("{t}000,{n}", 1_764_400_000),
        "t,n\n" + rows("2026-11-24T09:00:{t:02d}Z,{n}"),
        "t,n\n" + rows("2026/11/24 09:00:{t:02d},{n}"),
        "t,n\n" + rows("09:00:{t:02d},{n}"),
        "host,second,attempts,errors\n" + rows("a,{t},{n},0"),
        "t;n\n" + rows("{t},0;{n},0"),
        "second,attempts\n" + "".join(reversed(rows("{t},{n}\n").splitlines(keepends=True))),
        "second,attempts\n" + rows("{t}.2,{n}\n{t}.7,0"),
        ("second,attempts\n" + rows("{t},{n}")).encode("utf-16"),
    ],
)
def test_files_of_many_kinds(tmp_path: Path, text: str | bytes) -> None:
    assert written(tmp_path, text, wanted=["attempts"]) == COUNTS


def test_missing_seconds_are_missing_not_0(tmp_path: Path) -> None:
    lines = ("second,attempts\n" + rows("{t},{n}")).splitlines()
    lines[3], lines[5] = "2,", "4,NaN"
    del lines[8]
    lines += ["12,9", "13,7"]
    found = np.array(written(tmp_path, "\n".join(lines)))
    assert np.flatnonzero(np.isnan(found)).tolist() == [2, 4, 7]
    assert found[8] == COUNTS[8]
    assert (measured := read_measured(tmp_path / "incident.csv")).missing == 3
    assert measured.total == sum(COUNTS) - 4 - 5 - 6 + 9 + 7
    assert (measured.begins, measured.name) == ("0", "incident.csv")


def test_a_column_is_chosen_by_name(tmp_path: Path) -> None:
    text = "second,new,attempts\n" + rows("{t},1,{n}")
    assert written(tmp_path, text, column="New") == [1] * 12
    assert written(tmp_path, text, wanted=["attempts"]) == COUNTS


HEAD = "second,attempts\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the file is empty; give a row for each second"),
        (HEAD, "it has no rows below the header"),
        (HEAD + rows("{t},{n}") + "12,many\n", r"line 14: the count 'many' is not a number"),
        (HEAD + rows("{t},{n}") + "12,-1\n", r"line 14: the count '-1' is not a number of at least 0"),
        (
            HEAD + rows("{t},{n}") + "\n\nnoon,1\n",
            r"line 16: the time 'noon' is neither seconds nor a time such",
        ),
        (HEAD + rows("{t},{n}") + "12\n", r"line 14: it has 1 fields; a time and a count are needed"),
        (HEAD + rows("{t}0,{n}"), "its rows are 10 s apart; give the counts of each second"),
        (HEAD + rows("{t},0"), "all counts are 0, so there is nothing to explain"),
        (HEAD + "0,1\n1,2\n", "it counts 2 seconds; a fit needs 10 or more"),
        (HEAD + rows("{t},{n}") + "9000000,1\n", r"it spans 9,000,001 s, at most 100,000 are allowed"),
        (
            "second,a,b\n" + rows("{t},{n},1"),
            "column: choose the one with the counts: a, b; of says what they are",
        ),
        (rows("{t},{n},1"), "it has 3 columns and no header; keep a time and a count"),
        (b"\x80\x81\n", "not UTF-8 text; save it as CSV in UTF-8"),
    ],
)
def test_what_cant_be_read_is_one_sentence(tmp_path: Path, text: str | bytes, told: str) -> None:
    with pytest.raises(SettingsError, match=rf"^incident\.csv: {told}") as caught:
        written(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_a_column_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError, match=r"column: there is no 'new'; choose the one with the counts: attempts; of"
    ):
        written(tmp_path, HEAD + rows("{t},{n}"), column="new")
    with pytest.raises(SettingsError, match=r"column: the file has no header, so there is no 'new'"):
        written(tmp_path, rows("{t},{n}"), column="new")


def clock(second: int, over: int = 0) -> str:
    """Return a time of day, `over` seconds before midnight and `second` later."""
    at = (86_400 - over + second) % 86_400
    return f"{at // 3600:02d}:{at // 60 % 60:02d}:{at % 60:02d}"


@pytest.mark.parametrize("over", [0, 1, 5, 11, 12, 40_000])
@pytest.mark.parametrize("order", [1, -1])
def test_times_of_day_go_on_after_midnight(tmp_path: Path, over: int, order: int) -> None:
    lines = [f"{clock(second, over)},{count}" for second, count in enumerate(COUNTS)][::order]
    assert written(tmp_path, "time,attempts\n" + "\n".join(lines)) == COUNTS
    assert read_measured(tmp_path / "incident.csv").begins == lines[0].partition(",")[0]


def test_times_of_day_without_seconds_and_gaps_around_midnight(tmp_path: Path) -> None:
    lines = [f"{clock(second, 20)},{count}" for second, count in enumerate([*COUNTS, *COUNTS, *COUNTS])]
    del lines[15:25]
    found = written(tmp_path, "time,attempts\n" + "\n".join(lines))
    assert len(found) == 36
    assert np.flatnonzero(np.isnan(found)).tolist() == list(range(15, 25))
    with pytest.raises(SettingsError, match=r"it has no rows below the header"):
        written(tmp_path, "time,attempts\n")


def test_seconds_with_several_rows_are_counted(tmp_path: Path) -> None:
    assert written(tmp_path, "second,attempts\n" + rows("{t},{n}") + "3,5\n3,1\n7,0\n8,\n")[3] == 7
    assert read_measured(tmp_path / "incident.csv").repeated == 2


def test_a_column_of_something_else_isnt_taken_for_attempts(tmp_path: Path) -> None:
    text = "second,connected\n" + rows("{t},{n}")
    other = {"wanted": ["attempts"], "other": ["connected"]}
    told = (
        "its only column is 'connected', and attempts are fitted; set of to 'connected', or column if these"
    )
    with pytest.raises(SettingsError, match=told):
        written(tmp_path, text, **other)
    assert written(tmp_path, text, column="connected", **other) == COUNTS
    assert written(tmp_path, text, wanted=["connected"], other=["attempts"]) == COUNTS


def test_counts_in_python() -> None:
    assert measured_of([1.0, nan, *range(10)]).missing == 1
    with pytest.raises(SettingsError, match=r"it counts 1 seconds"):
        measured_of([1.0])
