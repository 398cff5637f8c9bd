"""The pages for Voilà, which shows them without their code."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.jupyter import Lab
from tests.browser.kernels import copy_for

pytestmark = pytest.mark.proof


def test_the_start_pages_panel_works_and_survives_its_server(page: Page, lab: Lab, kernel: str) -> None:
    notebook = copy_for(lab, "notebooks/pages/start.ipynb", kernel)
    page.goto(f"{lab.url}/voila/render/{notebook}", timeout=120_000)
    panel = page.locator(".chatlab-panel")
    expect(panel.locator(".cl-status")).to_have_attribute("data-status", "connected", timeout=60_000)
    box = panel.get_by_label("Message", exact=True)
    box.fill("without any code")
    box.press("Enter")
    expect(panel.locator(".cl-message.cl-own").last).to_have_attribute("data-state", "acked")
    page.get_by_role("button", name="Stop the server").click()
    box.fill("while the server is down")
    box.press("Enter")
    page.get_by_role("button", name="Start the server").click()
    expect(panel.locator(".cl-message.cl-own").last).to_have_attribute("data-state", "acked", timeout=30_000)
    expect(page.locator(".chatlab-transcript")).to_be_hidden()
    assert page.locator(".jp-CodeMirrorEditor, .jp-InputArea-editor").count() == 0


def test_the_explorers_page_follows_its_sliders(page: Page, lab: Lab, kernel: str) -> None:
    notebook = copy_for(lab, "notebooks/pages/explorer.ipynb", kernel)
    page.goto(f"{lab.url}/voila/render/{notebook}", timeout=120_000)
    picture = page.locator(".chatlab-explorer").get_by_role("img")
    expect(picture).to_have_attribute("alt", re.compile("server for 60 s"), timeout=60_000)
    page.get_by_role("slider", name="Server down for (s)").press("Home")
    expect(picture).to_have_attribute("alt", re.compile("server for 1 s"))
