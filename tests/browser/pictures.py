"""Screenshots for README.md from a real JupyterLab: `python -m tests.browser.pictures`."""

from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Locator, Page, expect, sync_playwright

from tests.browser.jupyter import ROOT, run_all, run_code, serve_lab, show_theme, write_notebook
from tests.requirements import find

PICTURES = ROOT / "docs" / "pictures"
PANEL = """
from chatlab import ChatPanel, OutgoingMessage, WebSocketConfig, WebSocketTransport
panel = ChatPanel(sender="ada", seed=3)
panel
"""
TALK = """
import asyncio
panel.connect()
bob = WebSocketTransport(WebSocketConfig(url=panel.server.ws_url, sender="bob"))
await bob.connect()
talk = [("bob", "Is the new server up?"), ("ada", "Since an hour ago."), ("bob", "Then I pull the plug.")]
for person, text in talk:
    receipt = panel.send(text) if person == "ada" else await bob.send(OutgoingMessage(text=text))
    await receipt.settled()
    await asyncio.sleep(1)
panel.stop_server()
await asyncio.sleep(1)
panel.send("Bob? I can wait.")
await asyncio.sleep(3)
panel.start_server()
await asyncio.sleep(8)
panel.stop_server()
await asyncio.sleep(0.5)
panel.send("Again? Nothing is lost.")
"""


def main() -> None:
    """Take both pictures: the reconnecting panel in dark, and an explorer in light."""
    PICTURES.mkdir(exist_ok=True)
    with TemporaryDirectory() as folder, serve_lab(Path(folder)) as lab, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 1100})
        explorer = "from chatlab.widgets.explorers import *\nexplore_heartbeat()"
        run_all(page, lab, write_notebook(lab, "pictures.ipynb", PANEL, explorer))
        take(page, page.locator(".chatlab-explorer"), "explorer.png")
        show_theme(page, "JupyterLab Dark")
        run_code(page, TALK)
        expect(page.locator(".cl-message").last).to_have_attribute("data-state", "queued")
        expect(page.locator(".cl-countdown")).to_contain_text("next try in")
        page.get_by_role("log").evaluate("log => { log.style.height = '10rem' }")  # as its corner does
        take(page, page.locator(".chatlab-panel"), "panel.png")
        browser.close()


def take(page: Page, place: Locator, name: str) -> None:
    """Take a picture of an element, once all images in it are drawn."""
    expect(place).to_be_visible()
    place.scroll_into_view_if_needed()
    for image in place.locator("img:not([hidden])").all():
        expect(image).to_be_visible()
        image.evaluate("image => image.decode()")
    place.screenshot(path=PICTURES / name)


if __name__ == "__main__":
    main()
