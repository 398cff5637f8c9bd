"""Screenshots of the panel in every state and of every explorer: `python -m tests.browser.gallery FOLDER`."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Locator, Page, expect, sync_playwright

from tests.browser.jupyter import run_all, run_code, serve_lab, show_theme, write_notebook
from tests.browser.pictures import PANEL
from tests.requirements import find

EXPLORERS = ("backoff", "heartbeat", "herd", "polling", "transports")
NARROW, WIDE = 700, 1200
TALK = """
panel.connect()
bob = WebSocketTransport(WebSocketConfig(url=panel.server.ws_url, sender="bob"))
await bob.connect()
for text in ("Is the new server up?", "I read it here: https://example.org/status?x=1.", "So it says. " * 20):
    await (await bob.send(OutgoingMessage(text=text))).settled()
await panel.send("Since an hour ago.\\nWith two lines of text.").settled()
bob.typing()
"""
GIVING_UP = """
panel.disconnect()
panel.form.numbers["max_attempts"].value = 2
panel.form.numbers["base_delay"].value = 0.2
panel.connect()
"""
FAILED = """
key = next(row["id"] for row in panel.messages.rows() if row["text"] == "Bob? I can wait.")
panel.messages.update(key, state="failed", reason="the server said 403")
"""
MANY = """
import time
panel.start_server()
panel.connect()
names = ("bob", "eve")
row = lambda n: {"id": f"m{n}", "at": time.time() * 1000, "sender": names[n % 2], "text": f"number {n}"}
panel.messages.upsert_many(row(n) for n in range(10_000))
"""


def main(folder: Path) -> None:
    """Take all pictures, each in light and in dark."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as place, serve_lab(Path(place)) as lab, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDE, "height": 1800})
        run_all(page, lab, write_notebook(lab, "panel.ipynb", PANEL))
        _panel(page, folder)
        cells = ("from chatlab.widgets.explorers import *", *(f"explore_{name}()" for name in EXPLORERS))
        run_all(page, lab, write_notebook(lab, "explorers.ipynb", *cells))
        _explorers(page, folder)
        browser.close()


def _panel(page: Page, folder: Path) -> None:
    panel = page.locator(".chatlab-panel")
    status = panel.locator(".cl-status")
    _take(panel, folder / "panel-new")
    run_code(page, TALK)
    expect(panel.locator(".cl-typing")).to_have_text("bob is typing…")
    _take(panel, folder / "panel-connected")
    for fold in ("▸ Settings", "▸ Frames"):
        panel.get_by_role("button", name=fold).click()
    panel.get_by_label("Backoff preset").select_option("socket.io")
    panel.locator(".cl-expand").nth(3).click()
    _take(panel, folder / "panel-unfolded")
    page.set_viewport_size({"width": NARROW, "height": 2400})
    _take(panel, folder / "panel-narrow")
    page.set_viewport_size({"width": WIDE, "height": 1800})
    panel.get_by_label("Filter content").fill("nowhere to be found")
    expect(panel.get_by_text("passes the filter")).to_be_visible()
    _take(panel, folder / "panel-nothing-passes")
    for fold in ("▾ Settings", "▾ Frames"):
        panel.get_by_role("button", name=fold).click()
    run_code(page, "panel.stop_server()\nreceipt = panel.send('Bob? I can wait.')")
    expect(status.locator(".cl-attempt")).to_contain_text("attempt 2")
    _take(panel, folder / "panel-reconnecting")
    run_code(page, GIVING_UP)
    expect(status).to_have_attribute("data-status", "error")
    run_code(page, FAILED)
    _take(panel, folder / "panel-failed")
    run_code(page, MANY)
    expect(panel.get_by_text("number 9999", exact=True)).to_be_visible(timeout=20_000)
    _take(panel, folder / "panel-10000")
    panel.get_by_role("log").evaluate("log => { log.scrollTop = 300 }")
    run_code(page, "panel.messages.upsert_many(row(n) for n in range(10_000, 10_003))")
    expect(panel.get_by_role("button", name="3 new")).to_be_visible()
    _take(panel, folder / "panel-unread")


def _explorers(page: Page, folder: Path) -> None:
    for number, name in enumerate(EXPLORERS):
        explorer = page.locator(".chatlab-explorer").nth(number)
        _take(explorer, folder / f"explorer-{name}")
    herd = page.locator(".chatlab-explorer").nth(EXPLORERS.index("herd"))
    herd.get_by_role("button", name="Simulate").click()
    expect(herd.locator(".chatlab-words")).to_contain_text("attempts each", timeout=90_000)
    _take(herd, folder / "explorer-herd-simulated")


def _take(place: Locator, name: Path) -> None:
    expect(place).to_be_visible()
    place.scroll_into_view_if_needed()
    for image in place.locator("img:not([hidden])").all():
        image.evaluate("image => image.decode()")
    for theme in ("Dark", "Light"):
        show_theme(place.page, f"JupyterLab {theme}")
        place.screenshot(path=name.with_name(f"{name.name}-{theme.lower()}.png"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
