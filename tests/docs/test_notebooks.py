"""Every notebook teaches one thing in the same way, runs from top to bottom, and is kept without outputs.

Here a notebook runs as plain code; `make proof` runs each in a kernel.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from IPython.core.formatters import DisplayFormatter

import chatlab
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.studies import EXERCISES, PREDICTIONS, Feedback
from chatlab.widgets.guesses import Guess
from tests.docs import navigation
from tests.docs.blocks import ROOT, compiled
from tests.sizes import FULL

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SOLUTIONS = ROOT / "notebooks" / "solutions" / "solutions.ipynb"
PAGES = sorted((ROOT / "notebooks" / "pages").glob("*.ipynb"))
"""Pages for Voilà, which shows no code."""
CLAIMS = Path(__file__).parent / "claims"
"""The claims of each notebook, as code that runs after its cells, in their namespace."""


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def cells(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    path: Path = request.param
    return cells_of(path)


def cells_of(path: Path) -> list[dict[str, Any]]:
    """Return a notebook's cells."""
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return found


def where(cells: list[dict[str, Any]], words: str) -> int:
    """Return the number of the only cell that has the words."""
    (number,) = (number for number, cell in enumerate(cells) if words in "".join(cell["source"]))
    return number


def test_it_asks_before_it_shows_and_lets_its_reader_try(cells: list[dict[str, Any]]) -> None:
    asked = where(cells, "**Predict first")
    first = next(number for number, cell in enumerate(cells) if cell["cell_type"] == "code")
    guessed = where(cells, "from chatlab.widgets.guesses import predict\n\npredict(")
    exercise, answer = where(cells, "## Exercise"), where(cells, "answer = None  # ")
    assert "?" in "".join(cells[asked]["source"])
    assert asked < first <= guessed <= 2 < exercise < answer


def test_its_exercise_is_judged_by_the_shared_checker(cells: list[dict[str, Any]]) -> None:
    source = "".join(cells[where(cells, "answer = None  # ")]["source"])
    assert re.fullmatch(
        r'from chatlab.studies import check\n\nanswer = None  # .+\n\ncheck\("(.+)", answer\)', source
    )
    (name,) = re.findall(r'check\("(.+)", ', source)
    assert name in EXERCISES


def test_each_exercise_is_asked_once_and_solved_once() -> None:
    asked = [name for path in NOTEBOOKS for name in checked(cells_of(path))]
    assert asked == list(EXERCISES)
    assert checked(cells_of(SOLUTIONS)) == asked


def predicted(cells: list[dict[str, Any]]) -> list[str]:
    """Return the names of the predictions that the cells ask for."""
    return re.findall(r'predict\("([^"]+)"\)', "\n".join("".join(cell["source"]) for cell in cells))


def judged(guess: Guess[Any], found: object) -> bool:
    """Return whether what an experiment found is the answer to a prediction."""
    guess.take(found)
    assert guess.wait(60)
    assert guess.judged is not None, (found, guess.form.transcript())
    return guess.judged.right


def checked(cells: list[dict[str, Any]]) -> list[str]:
    """Return the names of the exercises that the cells check."""
    return re.findall(r'check\("([^"]+)", ', "\n".join("".join(cell["source"]) for cell in cells))


def test_it_shows_students_no_assertions_and_no_solution(cells: list[dict[str, Any]]) -> None:
    text = "\n".join("".join(cell["source"]) for cell in cells)
    assert "assert " not in text
    assert "<summary>Solution" not in text


def test_each_prediction_is_asked_for_once() -> None:
    assert [name for path in NOTEBOOKS for name in predicted(cells_of(path))] == list(PREDICTIONS)


def test_each_has_links_to_its_neighbours_and_the_first_one_to_all() -> None:
    assert sorted(navigation.pages()) == NOTEBOOKS
    old = [path.name for path, text in navigation.pages().items() if path.read_text(encoding="utf-8") != text]
    assert old == [], f"run `{navigation.WRITE}`"


QUOTING = {
    "01_backoff_and_jitter",
    "02_heartbeats",
    "03_outbox_and_ledger",
    "04_event_streams",
    "05_polling",
    "06_thundering_herd",
    "08_choosing_a_transport",
    "10_the_seed_as_written",
}
"""The notebooks that discuss a snippet of the original document."""


def test_snippets_are_shown_where_they_are_discussed_as_they_are_in_the_original_document() -> None:
    document = (ROOT / "docs" / "reference" / "seed.md").read_text(encoding="utf-8")
    texts = {path.stem: "\n".join("".join(cell["source"]) for cell in cells_of(path)) for path in NOTEBOOKS}
    snippets = {name: re.findall(r"```typescript\n(.*?)```", text, re.DOTALL) for name, text in texts.items()}
    assert {name for name, found in snippets.items() if found} == QUOTING
    assert [snippet for found in snippets.values() for snippet in found if snippet not in document] == []


def test_it_has_no_outputs(cells: list[dict[str, Any]]) -> None:
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["id"] for cell in code if cell["outputs"] or cell["execution_count"] is not None] == []


async def run_cell(source: str, names: dict[str, Any], filename: str) -> Any:
    """Run a cell, which may await, and return the value of its last expression, if it ends with one."""
    module = ast.parse(source)
    parts: list[ast.Module | ast.Expression] = [module]
    if module.body and isinstance(last := module.body[-1], ast.Expr):
        module.body.pop()
        parts.append(ast.Expression(last.value))
    value = None
    for part in parts:
        code = compiled(part, filename)
        value = eval(code, names)
        if code.co_flags & inspect.CO_COROUTINE:
            value = await value
    return value


async def close_what_was_left_open(names: dict[str, Any]) -> None:
    """Close a notebook's panel and server, which stay for its readers."""
    if "panel" in names:
        names["panel"]._static_transcript.flush = lambda: (
            None
        )  # Without a kernel it would print, into a later test.
        names["panel"].close()
    server: Any = names.get("server")
    if hasattr(server, "wait_closed"):
        server.close()
        await server.wait_closed()


LONG_ON_WIRE = "08_choosing_a_transport"
"""A notebook that takes 10 s in the wire world. The model, which does the same, takes one."""


def in_the_model(scenario: Scenario, world: str = "model", **options: Any) -> Run:
    """Run a scenario as `chatlab.run` does, but in the model instead of the wire world."""
    return run(scenario, "model" if world == "wire" else world, **options)


async def run_cells(cells: list[dict[str, Any]], names: dict[str, Any]) -> list[Any]:
    """Run the code cells, show each value as a notebook does, and return the values."""
    show: Callable[[Any], Any] = DisplayFormatter().format
    values = []
    for cell in cells:
        if cell["cell_type"] == "code":
            value = await run_cell("".join(cell["source"]), names, f"cell {cell['id']}")
            if value is not None:
                show(value)
                values.append(value)
    return values


@pytest.mark.slow
async def test_it_runs_from_top_to_bottom_and_shows_what_it_claims(
    cells: list[dict[str, Any]], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(NOTEBOOKS[0].parent)
    stem = request.node.callspec.id
    if not FULL and stem == LONG_ON_WIRE:
        monkeypatch.setattr(chatlab, "run", in_the_model)
    names: dict[str, Any] = {"__name__": "__main__"}
    await run_cells(cells, names)
    claims = CLAIMS / f"{stem}.py"
    await run_cell(claims.read_text(encoding="utf-8"), names, str(claims))
    assert judged(names["predict"]("".join(predicted(cells))), names["experiment"])
    await close_what_was_left_open(names)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_without_code_speaks_of_none(path: Path) -> None:
    shown = [cell for cell in cells_of(path) if cell["cell_type"] == "markdown"]
    text = "\n".join("".join(cell["source"]) for cell in shown)
    assert not re.search(r"\bcells?\b|\bnotebook", text)


@pytest.mark.slow
async def test_the_solutions_are_right() -> None:
    shown = await run_cells(cells_of(SOLUTIONS), {"__name__": "__main__"})
    assert [str(value) for value in shown if isinstance(value, Feedback) and not value.right] == []
    assert len(shown) == len(EXERCISES)


def test_what_it_shows_is_left_open(cells: list[dict[str, Any]]) -> None:
    assert [
        cell["id"] for cell in cells if re.search(r"\b(?:panel|server)\.close\(", "".join(cell["source"]))
    ] == []
