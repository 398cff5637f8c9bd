"""The panel and an explorer under Voilà, which shows them without their code."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.jupyter import Lab, write_notebook
from tests.browser.kernels import copy_for

pytestmark = pytest.mark.proof


def test_the_start_notebooks_panel_works_under_voila(page: Page, lab: Lab, kernel: str) -> None:
    notebook = copy_for(lab, "notebooks/00_start.ipynb", kernel)
    page.goto(f"{lab.url}/voila/render/{notebook}", timeout=120_000)
    panel = page.locator(".chatlab-panel")
    expect(panel.locator(".cl-status")).to_have_attribute("data-status", "connected", timeout=60_000)
    expect(panel.locator(".cl-message.cl-own")).to_have_count(3)
    box = panel.get_by_label("Message", exact=True)
    box.fill("without any code")
    box.press("Enter")
    expect(panel.locator(".cl-message.cl-own").last).to_have_attribute("data-state", "acked")
    expect(page.locator(".chatlab-transcript")).to_be_hidden()
    expect(page.get_by_text("Put your answer into").last).to_be_visible()
    assert page.locator(".jp-CodeMirrorEditor, .jp-InputArea-editor").count() == 0


def test_an_explorer_follows_its_slider_under_voila(page: Page, lab: Lab, kernel: str) -> None:
    cell = "from chatlab.widgets.explorers import explore_polling\nexplore_polling()"
    notebook = write_notebook(lab, f"voila-{kernel}.ipynb", cell, kernel=kernel)
    page.goto(f"{lab.url}/voila/render/{notebook}", timeout=120_000)
    picture = page.locator(".chatlab-explorer").get_by_role("img")
    expect(picture).to_have_attribute("alt", re.compile("polling every 3 s"), timeout=60_000)
    page.get_by_role("slider", name="Short poll every (s)").press("Home")
    expect(picture).to_have_attribute("alt", re.compile("polling every 0.1 s"))
