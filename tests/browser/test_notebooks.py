"""Every notebook by Run All, then used as a student does: a guess, odd answers, a message."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from chatlab.studies import PREDICTIONS
from tests.browser.jupyter import CODE_CELLS, ROOT, Lab, error_outputs, run_all
from tests.browser.kernels import COLAB, copy_for
from tests.studies.test_exercises import RIGHT

pytestmark = pytest.mark.proof

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ODD = (
    '""',
    '"soon"',
    "-1",
    '"-1"',
    "True",
    "[1, 2]",
    "{}",
    'float("nan")',
    "1j",
    'b"x"',
    "object()",
    '"x" * 1000',
)
"""Twelve answers that are no answer to any exercise."""
LAST_STATE = {"00_start": "acked", "11_your_own_server": "sent"}
"""The notebooks with a panel, and the state that a message reaches there."""
PANEL = ".chatlab-panel:not(.chatlab-slow-motion)"
"""A live panel; slow motion has its style."""
ANSWERED = f"""async answer => {{
    const {{ content }} = jupyterapp.shell.currentWidget;
    const cell = {CODE_CELLS}.find(cell => /^answer = /m.test(cell.model.sharedModel.getSource()));
    const source = cell.model.sharedModel.getSource();
    cell.model.sharedModel.setSource(source.replace(/^answer = .*$/m, () => `answer = ${{answer}}`));
    content.activeCellIndex = content.widgets.indexOf(cell);
    content.deselectAll();
    await jupyterapp.commands.execute("notebook:run-cell");
    return cell.model.outputs.toJSON();
}}"""
"""Answer the exercise as a student does, in its cell, and return the cell's outputs."""
CUT = """() => [...document.querySelectorAll(".jp-OutputArea-output, .jp-RenderedMarkdown, .cm-scroller")]
    .filter(node => node.scrollWidth > node.clientWidth + 1).map(node => node.innerText.slice(0, 200))"""
"""Return the texts and outputs, and the code, that are wider than their place."""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_and_a_student_can_use_it(page: Page, lab: Lab, path: Path, screenshots: Path) -> None:
    run_all(page, lab, f"notebooks/{path.name}", timeout=300)
    assert error_outputs(page) == []
    page.evaluate("() => jupyterapp.shell.collapseLeft()")
    assert page.evaluate(CUT) == []
    page.screenshot(path=screenshots / f"{path.stem}.png")

    code = path.read_text(encoding="utf-8")
    _guess(page, named("predict", code))
    exercise = named("check", code)
    for odd in ODD:
        assert judged(page, odd).startswith("✗ "), odd
    assert judged(page, repr(RIGHT[exercise][0])).startswith("✓ Right")
    if path.stem in LAST_STATE:
        _chat(page, LAST_STATE[path.stem])
    expect(page.locator(PANEL)).to_have_count(int(path.stem in LAST_STATE))
    assert error_outputs(page) == []


def test_the_start_notebook_runs_on_the_kernel_of_colab(page: Page, lab: Lab) -> None:
    run_all(page, lab, copy_for(lab, "notebooks/00_start.ipynb", COLAB))
    assert error_outputs(page) == []
    _chat(page, "acked")


def named(function: str, code: str) -> str:
    """Return the name that a notebook gives to `predict` or `check`."""
    (name,) = re.findall(rf'{function}\(\\"([^"\\]+)\\"', code)
    return str(name)


def judged(page: Page, answer: str) -> str:
    """Write an answer into the exercise's cell, run it, and return the verdict."""
    (output,) = page.evaluate(ANSWERED, answer)
    assert output["output_type"] == "execute_result", output
    shown: dict[str, Any] = output["data"]
    return "".join(shown["text/plain"])


def _guess(page: Page, name: str) -> None:
    asked = PREDICTIONS[name]
    guess = page.locator(".cl-guess")
    field = guess.get_by_role("textbox")
    if field.count():
        field.fill("I don't know")
        field.press("Enter")
        expect(guess.locator(".cl-complaint")).to_contain_text(re.compile("number|digits"))
        field.fill(str(asked.answer))
        field.press("Enter")
    else:
        guess.get_by_role("button", name=str(asked.answer), exact=True).click()
    expect(guess.locator(".cl-guess-words")).to_have_text("✓ Right.")


def _chat(page: Page, state: str) -> None:
    panel = page.locator(PANEL)
    expect(panel.locator(".cl-status")).to_have_attribute("data-status", "connected")
    box = panel.get_by_label("Message", exact=True)
    box.fill("Is the panel alive?")
    box.press("Enter")
    said = panel.locator(".cl-message.cl-own", has_text="Is the panel alive?").first
    expect(said).to_have_attribute("data-state", state)
