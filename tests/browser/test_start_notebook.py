"""The start notebook as a person uses it: chat, kill the server, watch, write on, and lose nothing."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Locator, Page, expect
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from tests.browser.jupyter import Lab, error_outputs, run_all, run_code, show_theme
from tests.browser.kernels import copy_for

_NEXT_TRY = re.compile(r"next try in \d+\.\d s")


class Listener:
    """A second client without chatlab: it reads a room, and reconnects."""

    def __init__(self, url: str) -> None:
        self.texts: list[str] = []
        self._url = url
        self._ended = threading.Event()
        self._cursor: str | None = None
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join(timeout=10)

    def _listen(self) -> None:
        while not self._ended.is_set():
            try:
                self._read()
            except (OSError, WebSocketException):  # The server is down, maybe behind a proxy that is up.
                self._ended.wait(0.1)

    def _read(self) -> None:
        place = {"history": "0"} if self._cursor is None else {"after": self._cursor}
        query = urlencode({"room": "lobby", "sender": "listener", **place})
        with connect(f"{self._url}?{query}", proxy=None) as connection:
            while not self._ended.is_set():
                try:
                    frame: dict[str, Any] = json.loads(connection.recv(timeout=0.2))
                except TimeoutError:
                    continue
                if frame["type"] == "welcome" and self._cursor is None:
                    self._cursor = frame["cursor"]
                if frame["type"] == "message":
                    self._cursor = frame["id"]
                    self.texts.append(frame["text"])


@contextmanager
def listening(url: str) -> Iterator[Listener]:
    listener = Listener(url)
    try:
        yield listener
    finally:
        listener.end()


def own_messages(page: Page) -> Locator:
    return page.locator(".cl-message.cl-own")


def say(page: Page, text: str) -> None:
    box = page.get_by_label("Message", exact=True)
    box.fill(text)
    box.press("Enter")


def test_a_chat_survives_its_server(page: Page, lab: Lab, kernel: str, screenshots: Path) -> None:
    run_all(page, lab, copy_for(lab, "notebooks/00_start.ipynb", kernel))
    assert error_outputs(page) == []
    expect(page.get_by_text("Put your answer into").last).to_be_visible()
    status = page.locator(".cl-status")
    status.scroll_into_view_if_needed()
    expect(status).to_have_attribute("data-status", "connected")
    before = own_messages(page).count()

    with listening(page.get_by_label("URL").input_value()) as listener:
        say(page, "one")
        expect(own_messages(page)).to_have_count(before + 1)
        expect(own_messages(page).last).to_have_attribute("data-state", "acked")
        page.screenshot(path=screenshots / "connected-light.png")

        page.get_by_role("button", name="Stop the server").click()
        expect(status).to_have_attribute("data-status", "reconnecting")
        expect(page.locator(".cl-countdown")).to_have_text(_NEXT_TRY)
        say(page, "two")
        say(page, "three")
        expect(own_messages(page)).to_have_count(before + 3)
        expect(own_messages(page).last).to_have_attribute("data-state", "queued")
        page.screenshot(path=screenshots / "reconnecting-light.png")
        show_theme(page, "JupyterLab Dark")
        page.screenshot(path=screenshots / "reconnecting-dark.png")

        page.get_by_role("button", name="Start the server").click()
        expect(status).to_have_attribute("data-status", "connected", timeout=40_000)
        expect(own_messages(page).last).to_have_attribute("data-state", "acked")
        page.screenshot(path=screenshots / "recovered-dark.png")
        show_theme(page, "JupyterLab Light")

        texts = own_messages(page).locator(".cl-text").all_text_contents()
        assert texts[before:] == ["one", "two", "three"]
        _until(page, lambda: len(listener.texts) >= 3)
        assert listener.texts == ["one", "two", "three"]


@pytest.mark.proof
def test_bad_settings_are_reported_and_markup_is_shown_as_text(
    page: Page, lab: Lab, kernel: str, screenshots: Path
) -> None:
    run_all(page, lab, copy_for(lab, "notebooks/00_start.ipynb", kernel))
    log = page.get_by_role("log")
    page.get_by_role("button", name="Disconnect").click()
    expect(page.locator(".cl-status")).to_have_attribute("data-status", "disconnected")
    address = page.get_by_label("URL")
    right = address.input_value()
    address.fill("http//nowhere")
    page.get_by_role("button", name="Connect", exact=True).click()
    expect(log).to_contain_text("URL: give a URL that starts with ws://, wss://, http:// or https://")
    address.fill(right)
    page.get_by_label("Name", exact=True).fill("<script>document.title = 'owned'</script>")
    page.get_by_role("button", name="Connect", exact=True).click()
    expect(page.locator(".cl-status")).to_have_attribute("data-status", "connected")
    say(page, "<img src=x onerror=\"document.title = 'owned'\"> </script>")
    expect(own_messages(page).last).to_have_attribute("data-state", "acked")
    assert page.title() != "owned"
    assert log.locator("img, script").count() == 0
    page.screenshot(path=screenshots / "markup-light.png")


MISSED = """
bob = WebSocketTransport(WebSocketConfig(url=panel.server.ws_url, sender="bob", history=0))
await bob.connect()
for receipt in [await bob.send(OutgoingMessage(text=f"WORD {n}")) for n in range(130)]:
    await receipt.settled()
await bob.disconnect()
"""


@pytest.mark.proof
def test_A103_messages_missed_while_settings_change_are_all_shown(page: Page, lab: Lab, kernel: str) -> None:
    run_all(page, lab, copy_for(lab, "notebooks/00_start.ipynb", kernel))
    status = page.locator(".cl-status")
    connecting = page.get_by_role("button", name="Connect", exact=True)

    def away(word: str) -> None:
        page.get_by_role("button", name="Disconnect").click()
        expect(status).to_have_attribute("data-status", "disconnected")
        run_code(page, MISSED.replace("WORD", word))

    def shown(word: str) -> list[str]:
        texts = page.get_by_role("log").locator(".cl-text").all_text_contents()
        return [text for text in texts if text.startswith(f"{word} ")]

    def back(word: str) -> None:
        connecting.click()
        expect(status).to_have_attribute("data-status", "connected")
        expect(page.get_by_text(f"{word} 129", exact=True)).to_be_visible()
        assert shown(word) == [f"{word} {n}" for n in range(130)]

    page.get_by_role("button", name="▸ Settings").click()
    away("transport")
    page.get_by_label("Transport").select_option("Long polling")
    back("transport")
    away("number")
    page.get_by_label("Longest delay (s)").fill("7")
    back("number")
    away("room")
    room = page.get_by_label("Room", exact=True)
    room.fill("attic")
    connecting.click()
    expect(page.get_by_text("Switched to room attic.", exact=True)).to_be_visible()
    expect(status).to_have_attribute("data-status", "connected")
    room.fill("lobby")
    page.get_by_label("Transport").select_option("WebSocket")
    back("room")
    assert page.get_by_text("may be missing").count() == 0


def _until(page: Page, condition: Any, seconds: float = 30.0) -> None:
    for _ in range(int(seconds * 20)):
        if condition():
            return
        page.wait_for_timeout(50)
    raise AssertionError("what was waited for did not happen")
