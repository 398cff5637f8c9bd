"""The explorers in a notebook: a slider moves the plot, by mouse or by keyboard, in light and in dark."""

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.axe import violations
from tests.browser.jupyter import Lab, error_outputs, run_all

EXPLORERS = ("backoff", "heartbeat", "herd", "polling", "transports")
NOTEBOOK = "explorers.ipynb"


@pytest.fixture
def opened(page: Page, lab: Lab) -> Iterator[Page]:
    """A notebook with all explorers, run."""
    cells = ["from chatlab.widgets.explorers import *", *(f"explore_{name}()" for name in EXPLORERS)]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, lab.root / NOTEBOOK)
    page.set_viewport_size({"width": 1300, "height": 2600})
    run_all(page, lab, NOTEBOOK)
    assert error_outputs(page) == []
    expect(page.locator(".chatlab-explorer")).to_have_count(len(EXPLORERS))
    yield page
    (lab.root / NOTEBOOK).unlink()


def explorer(page: Page, name: str) -> Locator:
    return page.locator(".chatlab-explorer").nth(EXPLORERS.index(name))


def picture(place: Locator) -> Locator:
    return place.get_by_role("img").last


def drawn(place: Locator) -> str:
    """Wait for a plot that the browser could read, and return its text."""
    image = picture(place)
    expect(image).to_be_visible()
    image.evaluate("image => image.decode()")
    return image.get_attribute("alt") or ""


def test_a_slider_changes_the_plot_by_keyboard(opened: Page, screenshots: Path) -> None:
    place = explorer(opened, "heartbeat")
    assert "never cuts it" in drawn(place)
    thumb = place.get_by_role("slider").first
    thumb.focus()
    source = picture(place).get_attribute("src")
    thumb.press("End")
    expect(picture(place)).to_have_attribute("alt", _cut())
    expect(picture(place)).not_to_have_attribute("src", source or "")
    for name in EXPLORERS:
        assert drawn(explorer(opened, name))
    opened.screenshot(path=screenshots / "explorers-light.png", full_page=True)
    opened.evaluate(
        "() => jupyterapp.commands.execute('apputils:change-theme', { theme: 'JupyterLab Dark' })"
    )
    expect(opened.locator("body")).to_have_attribute("data-jp-theme-light", "false")
    opened.screenshot(path=screenshots / "explorers-dark.png", full_page=True)


def _cut() -> re.Pattern[str]:
    return re.compile(r"cuts a quiet connection \d+ times")


def test_a_herd_is_simulated_and_stopped(opened: Page) -> None:
    place = explorer(opened, "herd")
    people = place.get_by_role("slider", name="People")
    people.press("Home")
    expect(picture(place)).to_have_attribute("alt", re.compile("1,000 people of seed"))
    place.get_by_role("button", name="Simulate").click()
    expect(picture(place)).to_have_attribute("alt", re.compile("^1,000 people with seed"), timeout=60_000)
    people.press("End")
    expect(picture(place)).to_have_attribute("alt", re.compile("100,000 people of seed"))
    place.get_by_role("button", name="Simulate").click()
    place.get_by_role("button", name="Stop").click()
    expect(place.locator(".chatlab-words")).to_have_text("The simulation was stopped.", timeout=60_000)


@pytest.mark.requires("node")
def test_axe_finds_nothing(opened: Page) -> None:
    for name in EXPLORERS:
        drawn(explorer(opened, name))
        explorer(opened, name).evaluate("(element, name) => { element.id = name }", name)
        assert violations(opened, f"#{name}") == []
