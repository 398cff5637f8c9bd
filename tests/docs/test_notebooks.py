"""Every notebook teaches one thing in the same way, runs from top to bottom, and is kept without outputs.

Here a notebook runs as plain code; `make proof` runs each in a kernel.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from IPython.core.formatters import DisplayFormatter

import chatlab
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from tests.docs.blocks import ROOT, compiled
from tests.sizes import FULL

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


@pytest.mark.slow
async def test_it_runs_from_top_to_bottom(
    cells: list[dict[str, Any]], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(NOTEBOOKS[0].parent)
    if not FULL and request.node.callspec.id == LONG_ON_WIRE:
        monkeypatch.setattr(chatlab, "run", in_the_model)
    names: dict[str, Any] = {"__name__": "__main__"}
    show: Callable[[Any], Any] = DisplayFormatter().format
    for cell in cells:
        if cell["cell_type"] == "code":
            value = await run_cell("".join(cell["source"]), names, f"cell {cell['id']}")
            if value is not None:
                show(value)
    await close_what_was_left_open(names)


def test_what_it_shows_is_left_open(cells: list[dict[str, Any]]) -> None:
    assert [
        cell["id"] for cell in cells if re.search(r"\b(?:panel|server)\.close\(", "".join(cell["source"]))
    ] == []


ANSWERS: dict[str, tuple[list[float], list[float]]] = {
    "00_start": ([5, 5.5], [4, 4.5, 6, 6.3, 7, 15]),
    "01_backoff_and_jitter": ([10], [5, 9, 20]),
    "02_heartbeats": ([7], [1, 2, 6, 8]),
    "05_polling": ([1 / 3, 0.33], [0.25, 0.5, 1, 3]),
    "06_thundering_herd": ([25], [10, 24, 50]),
    "09_simulated_and_live": ([1.25], [0.00125, 2.5, 5]),
    "13_what_happened_on_tuesday": ([5], [0.2, 10, 40]),
}
"""Numbers as answers to exercises: right ones, and some that result from a mistake."""


@pytest.mark.parametrize("stem", ANSWERS)
def test_an_exercise_tells_right_from_wrong(stem: str) -> None:
    cells = json.loads((ROOT / "notebooks" / f"{stem}.ipynb").read_text(encoding="utf-8"))["cells"]
    names: dict[str, Any] = {}
    if stem == "00_start":
        exec("".join(cells[where(cells, "scenario = Scenario.from_toml")]["source"]), names)
        names["ReconnectConfig"] = chatlab.ReconnectConfig
    before, _, check = "".join(cells[where(cells, "answer = None  # ")]["source"]).partition("if answer is")
    exec(before, names)
    if stem == "00_start":
        names["back_after"] = cache(names["back_after"])
    right, wrong = ANSWERS[stem]
    for answer in (*right, *wrong):
        said: list[str] = []
        exec(f"if answer is{check}", names | {"answer": answer, "print": said.append})
        assert said[0].startswith("Right." if answer in right else "Not quite"), answer
