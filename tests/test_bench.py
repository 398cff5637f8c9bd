"""Benchmarks can be run, are described, and have a section on a page, into which their results are
written."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from bench import __main__ as program
from bench import report
from bench.pictures import aims, draw
from bench.report import DOCS, ITEMS, PAGE, Figure, Growth, Report, load, machines, marks, summary, write

NAMES = program.everything()
README = Path(program.__file__).with_name("README.md")
EMPTY = "# A page\n" + "".join(
    f"<!-- bench {name} -->\n<!-- bench {name} -->\nwords\n" for name in ("summary", "machine", "one", "two")
)


@pytest.fixture
def docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of pages with places for two benchmarks."""
    monkeypatch.setattr(report, "DOCS", tmp_path)
    monkeypatch.setattr("bench.pictures.PICTURES", tmp_path)
    (tmp_path / PAGE).write_text(EMPTY, encoding="utf-8")
    return tmp_path


def section(page: str, name: str) -> str:
    mark = f"<!-- bench {name} -->\n"
    return page.split(mark)[1].strip()


@pytest.mark.slow
@pytest.mark.sampled(5)
@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_is_importable_described_and_has_its_place(name: str) -> None:
    module = import_module(f"bench.bench_{name}")
    assert callable(module.main)
    assert re.search(rf"^## {name}$", README.read_text(encoding="utf-8"), re.MULTILINE)
    page = DOCS / getattr(module, "PAGE", PAGE)
    assert name in marks(page.read_text(encoding="utf-8"))


def test_nothing_in_the_summary_is_typed_by_hand() -> None:
    page = (DOCS / PAGE).read_text(encoding="utf-8")
    records = load()
    assert set(records) <= set(NAMES)
    assert section(page, "summary") == summary(records)
    assert section(page, "machine") == machines(records)


def test_figures_reach_their_aims_from_above_or_below() -> None:
    assert Figure(item=1, what="a", reached=0.4, at_most=0.5).row() == ("a", "≤ 0.5", "**0.4**", "yes")
    assert Figure(item=1, what="a", reached=1234.5, at_most=1000).row() == ("a", "≤ 1,000", "**1,234**", "no")
    assert Figure(item=1, what="a", reached=2.0, at_least=1.8).row() == ("a", "≥ 1.8", "**2**", "yes")
    assert Figure(item=1, what="a", reached=1.7, at_least=1.8).share == pytest.approx(1.7 / 1.8)
    assert Figure(item=1, what="a", reached=7.0).row() == ("a", "–", "**7**", "")


def test_a_ratio_is_the_median_of_its_rounds_and_shows_their_spread() -> None:
    figure = Figure.of_rounds(1, "a", [0.6, 0.4, 0.45, 0.5, 0.41], at_most=0.5)
    assert figure.row() == ("a", "≤ 0.5", "**0.45** (0.4 to 0.6)", "yes")
    assert Figure.of_rounds(1, "a", [1.0, 2.0]).row() == ("a", "–", "**1.5** (1 to 2)", "")


def test_a_section_is_replaced_and_the_figures_of_others_stay(docs: Path) -> None:
    write("one", Report("# Title\n\n## Part\n\nold", [Figure(item=2, what="a", reached=3.0)]))
    write("two", Report("two", [Figure(item=1, what="b", reached=1.0, at_most=2.0)]))
    write("one", Report("# Title\n\n## Part\n\nnew", [Figure(item=2, what="a", reached=4.0)]))
    page = (docs / PAGE).read_text(encoding="utf-8")
    assert section(page, "one") == "### Title\n\n#### Part\n\nnew"
    assert section(page, "two") == "two"
    assert section(page, "summary").splitlines()[2:] == [
        f"| 1. {ITEMS[1]} | b | ≤ 2 | **1** | yes |",
        f"| 2. {ITEMS[2]} | a | – | **4** |  |",
    ]
    assert section(page, "machine").startswith("*one, two*: ")
    assert page.count("words\n") == 4


def test_low_headings_stay_where_they_are(docs: Path) -> None:
    write("one", Report("#### Low\n\n##### Lower"))
    assert section((docs / PAGE).read_text(encoding="utf-8"), "one") == "#### Low\n\n##### Lower"


def test_a_page_without_the_section_is_an_error(docs: Path) -> None:
    with pytest.raises(ValueError, match="should have two lines <!-- bench three -->, and has 0"):
        write("three", Report("three"))
    (docs / "other.md").write_text("no marks\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"other\.md"):
        write("one", Report("one"), "other.md")


@pytest.mark.slow
def test_pictures_show_what_has_an_aim(docs: Path) -> None:
    figures = [
        Figure(item=1, what="slow", reached=2.0, at_most=1.0),
        Figure(item=2, what="aimless", reached=2.0),
        Figure(item=4, what="quick", reached=4.0, at_least=1.0),
    ]
    write("one", Report("one", figures, [Growth(1000, 0.1, 10**6), Growth(10_000, 1.2, 10**7)]))
    draw(load())
    for name in ("aims.png", "growth.png"):
        assert (docs / name).read_bytes().startswith(b"\x89PNG")
    ax = aims([figure for figure in figures if figure.share])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["1. slow", "4. quick"]
    ends = [bar.get_x() + bar.get_width() for bar in ax.patches]  # type: ignore[attr-defined]
    assert ends == pytest.approx([0.5, 4.0])


def installed(monkeypatch: pytest.MonkeyPatch, name: str, main: Callable[[], Report | str]) -> None:
    module = ModuleType(f"bench.bench_{name}")
    module.main = main  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)


def test_an_error_ends_one_benchmark_and_in_the_end_the_program(
    docs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> str:
        raise RuntimeError("a peer lost a message")

    installed(monkeypatch, "one", fail)
    installed(monkeypatch, "two", lambda: "two is fine")
    with pytest.raises(SystemExit, match="failed: one"):
        program.main(["one", "two"])
    assert "a peer lost a message" in capsys.readouterr().err
    assert section((docs / PAGE).read_text(encoding="utf-8"), "two") == "two is fine"
    program.main(["two"])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no alarms")
def test_a_benchmark_that_hangs_has_failed(docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang() -> str:
        while True:
            pass

    monkeypatch.setattr(program, "LIMIT", 0.05)
    installed(monkeypatch, "one", hang)
    with pytest.raises(SystemExit, match="failed: one"):
        program.main(["one"])
    assert section((docs / PAGE).read_text(encoding="utf-8"), "one") == ""
