"""The result of a benchmark, and its place in docs/performance.md.

A page has a line `<!-- bench NAME -->` before and after what the benchmark of that name writes. The figures
for which there are aims go to docs/performance.json as well, whence the summary and the pictures are made: so
a benchmark that runs alone leaves those of the others in place, and nothing is typed by hand.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from statistics import median

import msgspec

from bench.machine import machine

DOCS = Path(__file__).parent.parent / "docs"
PAGE = "performance.md"
RECORDS = "performance.json"

ITEMS = {
    1: "The simulator beside hand-written SimPy",
    2: "Against the limit",
    3: "From a thousand to a million people",
    4: "Sweeps",
    5: "Live transports",
    6: "The event-stream parser",
    7: "The embedded server",
    8: "In the notebook",
}
"""The items of the summary, in its order."""

_NUMBER = 3  # the level of a heading in a page's section


class Figure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A measured figure of an item, with its name and unit, and its aim: an upper or a lower bound.

    `reached` is the median of the `rounds`, if it was measured in several.
    """

    item: int
    what: str
    reached: float
    at_most: float | None = None
    at_least: float | None = None
    rounds: tuple[float, ...] = ()

    @classmethod
    def of_rounds(
        cls,
        item: int,
        what: str,
        rounds: Iterable[float],
        *,
        at_most: float | None = None,
        at_least: float | None = None,
    ) -> "Figure":
        """Return the median of several rounds as a figure."""
        measured = tuple(rounds)
        reached = median(measured)
        return cls(item=item, what=what, reached=reached, at_most=at_most, at_least=at_least, rounds=measured)

    @property
    def share(self) -> float | None:
        """Return the reached share of the aim: 1 meets it; None if there is no aim."""
        if self.at_most is not None:
            return self.at_most / self.reached
        return None if self.at_least is None else self.reached / self.at_least

    def row(self) -> Sequence[str]:
        """Return the name, the aim, the figure, and whether it meets the aim."""
        aim = (
            "–"
            if self.share is None
            else f"≥ {_spelt(self.at_least)}"
            if self.at_most is None
            else f"≤ {_spelt(self.at_most)}"
        )
        verdict = "" if self.share is None else "yes" if self.share >= 1 else "no"
        spread = f" ({_spelt(min(self.rounds))} to {_spelt(max(self.rounds))})" if self.rounds else ""
        return self.what, aim, f"**{_spelt(self.reached)}**{spread}", verdict


class Growth(msgspec.Struct, frozen=True):
    """The cost of a crowd: CPU seconds, and bytes at the peak."""

    people: int
    seconds: float
    bytes: int


class Report(msgspec.Struct, frozen=True):
    """The result of a benchmark: Markdown, its figures with aims, and the cost of crowds of growing size."""

    page: str
    figures: Sequence[Figure] = ()
    growth: Sequence[Growth] = ()


class Record(msgspec.Struct, frozen=True):
    """The stored figures of a benchmark's last run, and its machine."""

    machine: str
    figures: tuple[Figure, ...]
    growth: tuple[Growth, ...] = ()


Records = dict[str, Record]


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1) -> str:
    """Return a Markdown table. The first `words` columns are text, the others figures."""
    marks = ["---" if column < words else "--:" for column in range(len(head))]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, marks, *rows))


# The page


def write(name: str, report: Report, page: str = PAGE) -> None:
    """Write a benchmark's section into its page, and its figures into the summary."""
    _replace(DOCS / page, name, _lowered(report.page))
    if page != PAGE:
        return
    records = load()
    records[name] = Record(machine(), tuple(report.figures), tuple(report.growth))
    encoded = msgspec.json.format(msgspec.json.encode(dict(sorted(records.items()))))
    (DOCS / RECORDS).write_bytes(encoded + b"\n")
    _replace(DOCS / PAGE, "summary", summary(records))
    _replace(DOCS / PAGE, "machine", machines(records))


def load() -> Records:
    """Return the stored figures of all benchmarks."""
    file = DOCS / RECORDS
    return msgspec.json.decode(file.read_bytes(), type=Records) if file.exists() else {}


def marks(page: str) -> list[str]:
    """Return the names of a page's sections, in its order."""
    return re.findall(r"^<!-- bench (\w+) -->\n(?=.*^<!-- bench \1 -->$)", page, re.MULTILINE | re.DOTALL)


def _replace(page: Path, name: str, text: str) -> None:
    mark = f"<!-- bench {name} -->\n"
    parts = page.read_text(encoding="utf-8").split(mark)
    if len(parts) != 3:
        raise ValueError(f"{page.name} should have two lines {mark.strip()}, and has {len(parts) - 1}")
    page.write_text(f"{parts[0]}{mark}\n{text.strip()}\n\n{mark}{parts[2]}", encoding="utf-8")


def _lowered(text: str) -> str:
    """Return a section with its headings lowered to the level of a page's section."""
    levels = [len(heading) for heading in re.findall(r"^#+(?= )", text, re.MULTILINE)]
    more = "#" * (_NUMBER - min(levels, default=_NUMBER))
    return re.sub(r"^#+(?= )", lambda heading: heading[0] + more, text, flags=re.MULTILINE)


def summary(records: Mapping[str, Record]) -> str:
    """Return the table of all figures for which there are aims."""
    figures = sorted(
        (figure for record in records.values() for figure in record.figures), key=lambda figure: figure.item
    )
    rows = []
    for item, own in groupby(figures, key=lambda figure: figure.item):
        rows += [(f"{item}. {ITEMS[item]}" if first else "", *figure.row()) for first, figure in _first(own)]
    return table(["", "figure", "aim", "reached", "met"], rows, words=2)


def _first(figures: Iterable[Figure]) -> Iterable[tuple[bool, Figure]]:
    return ((number == 0, figure) for number, figure in enumerate(figures))


def _spelt(figure: float | None) -> str:
    assert figure is not None
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


def machines(records: Mapping[str, Record]) -> str:
    """Return each machine, with the benchmarks that ran on it."""
    by_machine: dict[str, list[str]] = {}
    for name, record in sorted(records.items()):
        by_machine.setdefault(record.machine, []).append(name)
    return "\n\n".join(f"*{', '.join(names)}*: {where}" for where, names in by_machine.items())
