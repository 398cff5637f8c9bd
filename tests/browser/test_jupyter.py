"""Tests of the harness itself: it must notice a failing cell or script."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.jupyter import Lab, error_outputs, run_all, write_notebook

pytestmark = pytest.mark.proof


def test_a_notebook_runs_to_its_end(page: Page, lab: Lab, screenshots: Path) -> None:
    name = write_notebook(lab, "good.ipynb", "import chatlab", "print('seven times six is', 7 * 6)", "")
    run_all(page, lab, name)
    assert error_outputs(page) == []
    expect(page.get_by_text("seven times six is 42", exact=True)).to_be_visible()
    page.screenshot(path=screenshots / "harness.png")


def test_a_failing_cell_is_seen_and_ends_the_run(page: Page, lab: Lab) -> None:
    name = write_notebook(lab, "bad.ipynb", "1 / 0", "print('not reached')")
    run_all(page, lab, name)
    assert [output["ename"] for output in error_outputs(page)] == ["ZeroDivisionError"]


def test_an_uncaught_exception_in_the_page_is_seen(page: Page, page_errors: list[str]) -> None:
    with page.expect_event("pageerror"):
        page.evaluate("() => { setTimeout(() => { throw new Error('planted') }) }")
    assert "planted" in page_errors.pop()
