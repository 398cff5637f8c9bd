"""Pages of plain JavaScript in Chromium: of an allowed origin, and of a foreign one, over each transport."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Page

from chatlab.live.server import EmbeddedServer

CLIENTS = """
window.ask = async (url, options) => {
  try { const answer = await fetch(url, options); return [answer.status, await answer.json()]; }
  catch (error) { return [0, String(error)]; }
};
window.ws = url => new Promise(done => {
  const socket = new WebSocket(url.replace("http", "ws") + "/ws?room=lobby&sender=ws");
  socket.onmessage = event => { done(["welcome", JSON.parse(event.data).type]); socket.close(); };
  socket.onclose = event => done([event.code, event.reason]);
});
window.sse = url => new Promise(done => {
  const source = new EventSource(url + "/stream?room=lobby&sender=sse");
  source.addEventListener("welcome", event => { done(["welcome", event.type]); source.close(); });
  source.onerror = () => { done(["error", source.readyState]); source.close(); };
});
"""


class Blank(BaseHTTPRequestHandler):
    """A page with nothing on it."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>blank</title>")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def pages() -> Iterator[int]:
    """The port of a server of pages, which has two names, and so two origins."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Blank) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@contextmanager
def chat_server(**options: Any) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(**options)
    server.start_in_background()
    try:
        yield server
    finally:
        server.stop_in_background()


POST = """async url => {
  const [, {token}] = await ask(url + "/csrf");
  const headers = {"Content-Type": "application/json", "X-CSRF-Token": token};
  const body = JSON.stringify({text: "hello", client_id: "c1"});
  return ask(url + "/messages?room=lobby&sender=me", {method: "POST", headers, body});
}"""


def test_a76_a_page_of_an_allowed_origin_has_all_transports_and_a_foreign_one_none(
    page: Page, pages: int
) -> None:
    with chat_server(allowed_origins=[f"http://localhost:{pages}"]) as server:
        page.goto(f"http://localhost:{pages}/")
        page.evaluate(CLIENTS)
        assert page.evaluate("url => ws(url)", server.url) == ["welcome", "welcome"]
        assert page.evaluate("url => sse(url)", server.url) == ["welcome", "welcome"]
        status, accepted = page.evaluate(POST, server.url)
        assert (status, accepted["type"]) == (201, "ack")
        for path in ("/messages?room=lobby", "/messages/poll?room=lobby&hold=0"):
            status, messages = page.evaluate("url => ask(url)", server.url + path)
            assert (status, [message["text"] for message in messages]) == (200, ["hello"])
        status, refusal = page.evaluate("url => ask(url)", f"{server.url}/messages")
        assert (status, refusal["error"][:18]) == (400, "the room must have")

        page.goto(f"http://127.0.0.1:{pages}/")
        page.evaluate(CLIENTS)
        code, reason = page.evaluate("url => ws(url)", server.url)
        assert (code, "allowed_origins=[ORIGIN]" in reason) == (4403, True)
        assert page.evaluate("url => sse(url)", server.url) == ["error", 2]
        for path in ("/messages?room=lobby", "/messages/poll?room=lobby&hold=0", "/csrf", "/nowhere"):
            assert page.evaluate("url => ask(url)", server.url + path)[0] == 0
