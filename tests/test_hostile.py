"""The table of hostile conditions is complete, and shows the existing tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile import (
    NOT_APPLICABLE,
    PAGE,
    ROWS,
    WRITE,
    covering_tests,
    ids_in,
    javascript_tests,
    page,
    python_tests,
    untested,
)


def test_every_row_is_there() -> None:
    assert list(ROWS)[:83] == [f"A{number:02}" for number in range(1, 84)]
    assert list(ROWS) == sorted(ROWS, key=lambda id: int(id[1:]))
    assert all(row.where and row.what for row in ROWS.values())


@pytest.mark.slow
def test_every_row_has_a_test_or_a_reason() -> None:
    found = covering_tests()
    assert untested(found) == []
    assert not [id for id in NOT_APPLICABLE if found[id]]
    assert set(NOT_APPLICABLE) <= set(ROWS)


@pytest.mark.slow
def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(covering_tests()), f"run `{WRITE}`"


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("test_A08_x", {"A08"}),
        ("test_a08_a09_x", {"A08", "A09"}),
        ("A01_to_A03", {"A01", "A02", "A03"}),
        ("HOSTILE A66, A83", {"A66", "A83"}),
        ("A10–A12", {"A10", "A11", "A12"}),
        ("A999 A00 BA12 A123 A12b #A12 %A0 \\xA12", set()),
    ],
)
def test_ids_are_found_in_text(text: str, ids: set[str]) -> None:
    assert ids_in(text) == ids


def test_ids_are_found_in_names_parameters_docstrings_and_comments() -> None:
    source = '''
CASES = {"A01 one": 1, "A02 two": 2}
OTHERS = ["A09"]

def helper():
    """A10"""

@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_A03_a(case):
    """A04"""
    x = "A05"  # A06

async def test_b():
    pass
'''
    assert dict(python_tests(source)) == {
        "": set(),
        "test_A03_a": {"A01", "A02", "A03", "A04", "A05", "A06"},
        "test_b": set(),
    }
    assert dict(python_tests('"""About A07."""\ndef test_c(): ...')) == {"": {"A07"}, "test_c": set()}
    assert dict(javascript_tests('test("A08, A09: x", () => {}); it(`none`, f)')) == {
        "A08, A09: x": {"A08", "A09"},
        "none": set(),
    }


def test_a_row_without_a_test_shows(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text('"""A02"""\ndef test_A01_fine(): ...\n', encoding="utf-8")
    found = covering_tests(tmp_path)
    assert untested(found) == [id for id in ROWS if id != "A01" and id not in NOT_APPLICABLE]
    assert "| A01 | WebSocket |" in page(found)
    assert "`test_x.py`: fine |" in page(found)
    assert "| `test_x.py`: as a whole |" in page(found)
    assert "| *none* |" in page(found)
