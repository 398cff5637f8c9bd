"""The explorers in a notebook: sliders change the plot, by mouse and keyboard, in light and dark themes."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.axe import violations
from tests.browser.jupyter import Lab, error_outputs, run_all, show_theme, write_notebook
from tests.browser.layout import sticking_out

pytestmark = pytest.mark.proof

EXPLORERS = ("backoff", "heartbeat", "herd", "polling", "transports")
CELLS = ("from chatlab.widgets.explorers import *", *(f"explore_{name}()" for name in EXPLORERS))


@pytest.fixture(scope="module")
def opened(
    browser: Browser, browser_context_args: dict[str, Any], lab_server: Lab, kernel: str
) -> Iterator[Page]:
    """Open and run a notebook with all explorers."""
    context = browser.new_context(**browser_context_args)
    page = context.new_page()
    page.set_viewport_size({"width": 1300, "height": 2600})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(f"{error.message}\n{error.stack or ''}"))
    run_all(page, lab_server, write_notebook(lab_server, "explorers.ipynb", *CELLS, kernel=kernel))
    assert error_outputs(page) == []
    expect(page.locator(".chatlab-explorer")).to_have_count(len(EXPLORERS))
    yield page
    context.close()
    lab_server.close_notebooks()
    assert errors == []


def explorer(page: Page, name: str) -> Locator:
    return page.locator(".chatlab-explorer").nth(EXPLORERS.index(name))


def picture(place: Locator) -> Locator:
    return place.get_by_role("img").last


def drawn(place: Locator) -> str:
    """Wait for a plot that the browser has decoded, and return its text."""
    image = picture(place)
    expect(image).to_be_visible()
    image.evaluate("image => image.decode()")
    return image.get_attribute("alt") or ""


def test_each_states_the_question_that_it_answers(opened: Page) -> None:
    for name in EXPLORERS:
        question = explorer(opened, name).get_by_role("heading")
        expect(question).to_contain_text("?")
        assert drawn(explorer(opened, name))


def test_a_slider_changes_the_plot_by_keyboard(opened: Page) -> None:
    place = explorer(opened, "heartbeat")
    assert "never cuts it" in drawn(place)
    thumb = place.get_by_role("slider").first
    thumb.focus()
    source = picture(place).get_attribute("src")
    thumb.press("End")
    expect(picture(place)).to_have_attribute("alt", _cut())
    expect(picture(place)).not_to_have_attribute("src", source or "")


def test_every_slider_of_every_explorer_changes_its_plot(opened: Page) -> None:
    for name in EXPLORERS:
        place = explorer(opened, name)
        for thumb in place.get_by_role("slider").all():
            drawn(place)
            value = thumb.input_value()
            with redrawn(place):
                thumb.press("End" if thumb.evaluate("e => e.value === e.min") else "Home")
            with redrawn(
                place
            ):  # Otherwise the next slider may change nothing: a pong isn't awaited past a heartbeat.
                thumb.fill(value)


@contextmanager
def redrawn(place: Locator) -> Iterator[None]:
    """Wait until an action has changed the plot."""
    source = picture(place).get_attribute("src") or ""
    yield
    expect(picture(place)).not_to_have_attribute("src", source)


def test_plots_are_dark_in_a_dark_theme(opened: Page, screenshots: Path) -> None:
    lightness = """async image => {
        const [canvas, context] = [document.createElement("canvas")].map(c => [c, c.getContext("2d")])[0];
        context.filter = getComputedStyle(image).filter;
        context.drawImage(image, 0, 0);
        return context.getImageData(1, 1, 1, 1).data[0];
    }"""
    for theme, dark in (("Dark", True), ("Light", False)):
        show_theme(opened, f"JupyterLab {theme}")
        for name in EXPLORERS:
            drawn(explorer(opened, name))
            assert (picture(explorer(opened, name)).evaluate(lightness) < 60) is dark
        opened.screenshot(path=screenshots / f"explorers-{theme.lower()}.png", full_page=True)


def test_a_narrow_cell_holds_every_explorer(opened: Page, screenshots: Path) -> None:
    opened.set_viewport_size({"width": 700, "height": 2600})
    for name in EXPLORERS:
        place = explorer(opened, name)
        drawn(place)
        assert sticking_out(place) == [], name
    opened.screenshot(path=screenshots / "explorers-narrow.png", full_page=True)
    opened.set_viewport_size({"width": 1300, "height": 2600})


def _cut() -> re.Pattern[str]:
    return re.compile(r"cuts an idle connection \d+ times")


def test_a_herd_is_simulated_and_stopped(opened: Page) -> None:
    place = explorer(opened, "herd")
    people = place.get_by_role("slider", name="People")
    people.press("Home")
    expect(picture(place)).to_have_attribute("alt", re.compile("1,000 people with seed make"))
    place.get_by_role("button", name="Simulate").click()
    expect(picture(place)).to_have_attribute("alt", re.compile("^1,000 people with seed"), timeout=60_000)
    people.press("End")
    expect(picture(place)).to_have_attribute("alt", re.compile("100,000 people with seed make"))
    place.get_by_role("button", name="Simulate").click()
    place.get_by_role("button", name="Stop").click()
    expect(place.locator(".chatlab-words")).to_have_text("The simulation was stopped.", timeout=60_000)


@pytest.mark.requires("node")
def test_axe_finds_nothing(opened: Page) -> None:
    for name in EXPLORERS:
        drawn(explorer(opened, name))
        explorer(opened, name).evaluate("(element, name) => { element.id = name }", name)
        assert violations(opened, f"#{name}") == []
