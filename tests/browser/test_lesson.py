"""Parts of a lesson, by keyboard alone: a question, transports side by side, and slow motion."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.axe import violations
from tests.browser.jupyter import Lab, error_outputs, run_all, run_code, write_notebook

pytestmark = pytest.mark.proof

TRANSPORTS = ("WebSocket", "SSE", "Long poll", "Short poll", "Fallback")
"""Beginnings of the names in the timeline, which may be cut off."""
CELLS = (
    "from chatlab.widgets.guesses import guess_choice, guess_seconds\n"
    "guess_seconds('At worst?', lambda: 161 / 4)",
    "guess_choice('Which one?', 'SSE', ['WebSocket', 'SSE'])",
    "from chatlab import ReconnectConfig, SideBySide\n"
    "quick = ReconnectConfig(base_delay=0.2, max_delay=0.5, max_attempts=None)\n"
    "both = SideBySide(seed=3, reconnect=quick, error_delay=0.2)\nboth",
    "from chatlab import HeartbeatConfig, Scenario, SlowMotion\n"
    "from chatlab.experiment import WebSocketSettings\n"
    "beats = WebSocketSettings(heartbeat=HeartbeatConfig(interval=10, timeout=4))\n"
    "slow = SlowMotion(Scenario(transport=beats))\nslow",
)


@pytest.fixture(scope="module")
def notebook(browser: Browser, browser_context_args: dict[str, Any], lab_server: Lab) -> Iterator[Page]:
    context = browser.new_context(**browser_context_args)
    page = context.new_page()
    page.set_viewport_size({"width": 1200, "height": 2000})
    run_all(page, lab_server, write_notebook(lab_server, "lesson.ipynb", *CELLS))
    assert error_outputs(page) == []
    yield page
    run_code(page, "both.close()")
    context.close()
    lab_server.close_notebooks()


def test_a_guess_by_keyboard_alone(notebook: Page) -> None:
    guess = notebook.locator(".cl-guess").first
    field = guess.get_by_label("Your guess, in seconds")
    assert "40.2" not in notebook.content()
    field.focus()
    notebook.keyboard.type("soon")
    notebook.keyboard.press("Enter")
    expect(guess.locator(".cl-complaint")).to_contain_text("isn't a number alone")
    expect(field).to_be_focused()
    notebook.keyboard.press("Control+A")
    notebook.keyboard.type("10 s")
    notebook.keyboard.press("Enter")
    expect(guess.locator("dd").first).to_have_text("10 s")
    expect(guess.locator("dd").last).to_have_text("40.2 s")
    expect(guess.get_by_role("button", name="Guess again")).to_be_focused()
    lengths = guess.locator(".cl-guess-bar").evaluate_all("bars => bars.map(bar => bar.clientWidth)")
    assert lengths[0] / lengths[1] == pytest.approx(10 / 40.25, abs=0.02)
    notebook.keyboard.press("Enter")
    expect(field).to_be_focused()
    assert violations(notebook, ".cl-guess") == []


def test_a_choice_by_keyboard_alone(notebook: Page) -> None:
    guess = notebook.locator(".cl-guess").last
    guess.get_by_role("button", name="WebSocket").focus()
    notebook.keyboard.press("Tab")
    notebook.keyboard.press("Enter")
    expect(guess.locator(".cl-guess-words")).to_have_text("✓ Right.")
    expect(guess.get_by_role("button", name="SSE")).to_have_attribute("aria-pressed", "true")
    expect(guess.get_by_role("button", name="Guess again")).to_be_focused()


def test_one_outage_of_five_transports_by_keyboard_alone(notebook: Page) -> None:
    both = notebook.locator(".chatlab-side-by-side")
    statuses = both.locator(".cl-status")
    both.get_by_role("button", name="Connect all", exact=True).focus()
    notebook.keyboard.press("Enter")
    for status in statuses.all():
        expect(status).to_have_attribute("data-status", "connected")
    expect(statuses).to_have_count(len(TRANSPORTS))
    stop = both.get_by_role("button", name="Stop the server")
    stop.focus()
    notebook.keyboard.press("Enter")
    for status in statuses.all():
        expect(status).to_have_attribute("data-status", "reconnecting")
    both.get_by_role("button", name="Start the server").focus()
    notebook.keyboard.press("Enter")
    for status in statuses.all():
        expect(status).to_have_attribute("data-status", "connected")
    names = both.locator(".cl-names text")
    expect(names).to_have_text(
        [name for start in TRANSPORTS for name in (re.compile(f"^{start}"), "predicted")]
    )
    expect(both.locator(".cl-span.cl-reconnecting")).not_to_have_count(0)
    assert violations(notebook, ".chatlab-side-by-side") == []


def test_a_lecture_stops_between_ping_and_pong_by_keyboard_alone(notebook: Page) -> None:
    slow = notebook.locator(".chatlab-slow-motion")
    words = slow.locator(".chatlab-note").first
    step = slow.get_by_role("button", name="Next", exact=True)
    step.focus()
    for moment in ("0.160 s: connected", "10.160 s: to the server: ping 1."):
        notebook.keyboard.press("Enter")
        expect(words).to_contain_text(moment)
    expect(slow.get_by_alt_text("ping 1")).to_be_visible()
    expect(slow.get_by_alt_text("pong 1")).to_have_count(0)
    slow.get_by_label("Message", exact=True).focus()
    notebook.keyboard.type("Hello?")
    notebook.keyboard.press("Enter")
    expect(words).to_contain_text("10.161 s: sends “Hello?”")
    step.focus()
    notebook.keyboard.press("Enter")
    expect(words).to_contain_text("10.240 s: from the server: pong 1.")
    expect(slow.get_by_alt_text("pong 1")).to_be_visible()
    slow.get_by_label("Speed").focus()
    notebook.keyboard.press("End")
    slow.get_by_role("button", name="Resume").focus()
    notebook.keyboard.press("Enter")
    pause = slow.get_by_role("button", name="Pause")
    expect(pause).to_be_focused()
    expect(slow.get_by_role("log")).to_contain_text("Hello?")
    expect(slow.locator(".cl-mark")).to_have_attribute("title", "delivered")
    notebook.keyboard.press("Enter")
    slow.get_by_label("Time (s), as a number").focus()
    notebook.keyboard.press("Control+A")
    notebook.keyboard.type("15")
    notebook.keyboard.press("Tab")
    expect(words).to_contain_text("10.241 s")
    slow.get_by_label("Script").focus()
    notebook.keyboard.type("down for 5")
    slow.get_by_role("button", name="Play", exact=True).focus()
    notebook.keyboard.press("Enter")
    expect(words).to_contain_text("15.001 s: server down begins")
    step.focus()
    notebook.keyboard.press("Enter")
    expect(slow.locator(".cl-status")).to_have_attribute("data-status", "reconnecting")
    assert violations(notebook, ".chatlab-slow-motion") == []
