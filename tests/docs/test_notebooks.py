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

from tests.docs.blocks import ROOT, compiled

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def cells(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    path: Path = request.param
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return found


def where(cells: list[dict[str, Any]], words: str) -> int:
    """Return the number of the only cell that has the words."""
    (number,) = (number for number, cell in enumerate(cells) if words in "".join(cell["source"]))
    return number


def test_it_asks_before_it_shows_and_lets_its_reader_try(cells: list[dict[str, Any]]) -> None:
    asked = where(cells, "**Predict first")
    first = next(number for number, cell in enumerate(cells) if cell["cell_type"] == "code")
    exercise, solution = where(cells, "## Exercise"), where(cells, "<summary>Solution</summary>")
    answer = where(cells, "answer = None  # ")
    assert "?" in "".join(cells[asked]["source"])
    assert asked < first < exercise < answer < solution
    assert "if answer is not None:" in "".join(cells[answer]["source"])


def test_a_wrong_answer_gets_a_hint(cells: list[dict[str, Any]]) -> None:
    answer = "".join(cells[where(cells, "answer = None  # ")]["source"])
    hints = re.findall(r"Not quite([^\"]*)\"", answer)
    assert hints
    assert [hint for hint in hints if not re.match(r"[.:] \S", hint)] == []


def test_its_last_cell_asserts_what_it_claims(cells: list[dict[str, Any]]) -> None:
    assert cells[-1]["cell_type"] == "code"
    assert "\nassert " in "".join(cells[-1]["source"])


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


@pytest.mark.slow
async def test_it_runs_from_top_to_bottom(
    cells: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(NOTEBOOKS[0].parent)
    names: dict[str, Any] = {"__name__": "__main__"}
    show: Callable[[Any], Any] = DisplayFormatter().format
    for cell in cells:
        if cell["cell_type"] == "code":
            value = await run_cell("".join(cell["source"]), names, f"cell {cell['id']}")
            if value is not None:
                show(value)
