"""The chat panel's views in JupyterLab: scrolling, focus, markup and themes, over a real comm."""

from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.jupyter import Lab, error_outputs, run_all, run_code, write_notebook

pytestmark = pytest.mark.proof

SETUP = """
import time
from chatlab.widgets.logs import ChatLog, FrameLog
from chatlab.widgets.status_badge import StatusBadge
from chatlab.widgets.timeline import Timeline

def row(number, **fields):
    return {"id": f"r{number}", "at": time.time() * 1000, "sender": "ada", "text": f"line {number}"} | fields

def answer(text):
    if text == "more":
        log.upsert_many(row(2_000 + number, text=f"late {number}") for number in range(3))
    if text == "burst":
        for number in range(10_000):
            log.upsert(row(10_000 + number, text=f"burst {number}"))
    log.upsert(row(0, id=text, sender="you", text=text, own=True, state="acked"))

log = ChatLog()
log.on_send(answer)
log.upsert_many(row(number) for number in range(1_200))
log
"""
OTHERS = """
evil = "<img src=x onerror='window.evil = 1'></script><script>window.evil = 1</script>"
log.upsert(row(1_200, text=evil, sender=evil, state="failed", reason=evil))
badge, timeline, frames = StatusBadge(), Timeline(), FrameLog()
badge.show("reconnecting", evil, attempt=3, max_attempts=10, retry_in=600)
spans = [{"status": "connected", "start": 0.0, "end": 4.0}, {"status": "error", "start": 4.0, "end": None}]
marks = [{"kind": "fault", "label": evil, "at": 4.0}]
timeline.show(6.0, [{"name": evil, "spans": spans, "marks": marks}])
frames.upsert({"id": "f", "at": 0, "direction": "up", "kind": evil, "size": 9, "text": evil})
display(badge, timeline, frames)
"""


@pytest.fixture
def log(page: Page, lab: Lab, kernel: str) -> Locator:
    run_all(page, lab, write_notebook(lab, "views.ipynb", SETUP, OTHERS, kernel=kernel))
    assert error_outputs(page) == []
    return page.get_by_role("log", name="Messages")


def say(page: Page, text: str) -> None:
    box = page.get_by_role("textbox", name="Message", exact=True)
    box.fill(text)
    box.press("Enter")


def from_end(log: Locator) -> float:
    distance: float = log.evaluate("e => e.scrollHeight - e.scrollTop - e.clientHeight")
    return distance


def test_the_log_scrolls_with_new_rows_unless_the_reader_has_scrolled_up(page: Page, log: Locator) -> None:
    say(page, "hello")
    expect(log.get_by_text("hello", exact=True)).to_be_visible()
    expect(log.locator(".cl-message")).to_have_count(500)
    assert from_end(log) < 8

    log.evaluate("e => { e.scrollTop = e.scrollHeight / 2 }")
    jump = page.get_by_role("button", name="jump to latest")
    expect(jump).to_have_text("Jump to latest")
    top = log.evaluate("e => e.scrollTop")
    say(page, "more")
    expect(jump).to_have_text("3 new – jump to latest")
    assert log.evaluate("e => e.scrollTop") == top
    jump.click()
    expect(log.get_by_text("late 2", exact=True)).to_be_visible()
    expect(log.locator(".cl-unread")).to_be_visible()
    expect(jump).to_be_hidden()


def test_earlier_rows_come_in_above_without_moving_what_is_read(page: Page, log: Locator) -> None:
    expect(log.locator(".cl-message")).to_have_count(500)
    first = log.get_by_text("line 701", exact=True)
    log.evaluate("e => { e.scrollTop = 10 }")
    before = first.bounding_box()
    expect(log.locator(".cl-message")).to_have_count(750)
    after = first.bounding_box()
    assert before is not None
    assert after is not None
    assert abs(before["y"] - after["y"]) <= 10  # the button above the rows may go


def test_a70_a_burst_arrives_whole_and_the_page_holds_its_window(
    page: Page, log: Locator, screenshots: Path
) -> None:
    log.evaluate(
        """log => {
          window.seen = new Set();
          const note = node => node.dataset?.id && window.seen.add(node.dataset.id);
          new MutationObserver(records => records.forEach(record => record.addedNodes.forEach(note)))
            .observe(log, { childList: true });
        }"""
    )
    say(page, "burst")
    expect(log.get_by_text("burst 9999", exact=True)).to_be_visible(timeout=30_000)
    expect(log.get_by_text("burst", exact=True)).to_be_visible()
    expect(log.locator(".cl-message")).to_have_count(500)
    texts = log.locator(".cl-text").all_text_contents()
    assert texts == [*(f"burst {number}" for number in range(9_501, 10_000)), "burst"]
    assert page.evaluate("[...window.seen].filter(id => id.startsWith('r1')).length") == 10_000
    page.screenshot(path=screenshots / "views-10000.png")
    run_code(page, "assert len([row for row in log.rows() if row['text'].startswith('burst ')]) == 10_000")


def test_typing_in_the_views_never_reaches_the_notebook(page: Page, log: Locator) -> None:
    cells = page.locator(".jp-CodeCell")
    before = cells.count()
    for target in (
        log,
        page.get_by_role("button", name="Send", exact=True),
        page.locator(".cl-expand").first,
    ):
        target.focus()
        for key in "ddabxm":
            page.keyboard.press(key)
    page.get_by_role("textbox", name="Message", exact=True).press_sequentially("ddabx")
    expect(page.get_by_role("textbox", name="Message", exact=True)).to_have_value("ddabx")
    assert cells.count() == before


def test_a72_no_message_runs_as_code_in_either_theme(page: Page, log: Locator, screenshots: Path) -> None:
    ground = "e => getComputedStyle(e).backgroundColor"
    expect(page.locator(".cl-badge")).to_contain_text("attempt 3 of 10")
    expect(page.locator(".cl-reason")).to_contain_text("<img src=x")
    expect(log.get_by_text("<img src=x").last).to_be_attached()
    light = log.evaluate(ground)
    page.screenshot(path=screenshots / "views-light.png")
    page.evaluate("() => jupyterapp.commands.execute('apputils:change-theme', { theme: 'JupyterLab Dark' })")
    page.wait_for_function("() => document.body.dataset.jpThemeLight === 'false'")
    page.wait_for_function(
        "before => getComputedStyle(document.querySelector('.cl-scroll')).backgroundColor !== before",
        arg=light,
    )
    expect(page.locator("#jupyterlab-splash")).to_have_count(0)
    page.screenshot(path=screenshots / "views-dark.png")
    page.locator(".cl-timeline").scroll_into_view_if_needed()
    page.screenshot(path=screenshots / "views-dark-others.png")
    assert from_end(log) < 8
    assert page.evaluate("window.evil") is None
    page.evaluate("() => jupyterapp.commands.execute('apputils:change-theme', { theme: 'JupyterLab Light' })")
    page.wait_for_function("() => document.body.dataset.jpThemeLight === 'true'")


def test_a_second_view_gets_the_same_rows(page: Page, log: Locator) -> None:
    page.evaluate("() => jupyterapp.commands.execute('notebook:insert-cell-below')")
    page.evaluate(
        "() => jupyterapp.shell.currentWidget.content.activeCell.model.sharedModel.setSource('display(log)')"
    )
    page.evaluate("() => jupyterapp.commands.execute('notebook:run-cell')")
    expect(log).to_have_count(2)
    for view in log.all():
        expect(view.locator(".cl-message")).to_have_count(500)
    box = page.get_by_role("textbox", name="Message", exact=True).last
    box.fill("to both")
    box.press("Enter")
    expect(log.get_by_text("to both", exact=True)).to_have_count(2)
