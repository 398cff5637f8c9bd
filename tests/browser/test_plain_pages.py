"""Plain JavaScript clients in Chromium: those of docs/wire-format.md, from an allowed origin, from a foreign
one, and behind nginx with TLS; and the original document's snippets."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from playwright.sync_api import Browser, BrowserContext, Page, Route

from chatlab.live.server.connections import Limits
from chatlab.live.server.embedded_server import EmbeddedServer
from tests.docs.blocks import ROOT, blocks
from tests.http_clients import blocking_client
from tests.interop.nginx import Nginx, deployed

CLIENTS = "\n".join(
    block.text
    for block in blocks((ROOT / "docs" / "wire-format.md").read_text(encoding="utf-8"))
    if block.language == "js"
)
NAMES = ("chatByWebSocket", "chatByStream", "chatByShortPolling", "chatByLongPolling")
CHAT = """([name, url, room]) => {
  window.got = []; window.told = [];
  const client = eval(name);
  window.chat = client(url, room, "page", m => got.push(m.text), t => told.push(String(t)), 0.2);
}"""
QUICK = Limits(reconnection_time=0.2)
PATIENCE = 30.0


class Blank(BaseHTTPRequestHandler):
    """Handler that serves an empty page."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>blank</title>")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def pages() -> Iterator[int]:
    """Yield the port of a server of pages with two host names, and therefore two origins."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Blank) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@contextmanager
def chat_server(db: Path, **options: Any) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(db, **options)
    server.start_in_background()
    try:
        yield server
    finally:
        server.stop_in_background()


def post(server: EmbeddedServer, room: str, text: str) -> None:
    """Post a message as another client."""
    with blocking_client(server.url) as client:
        token = client.get("/csrf").json()["token"]
        query = {"room": room, "sender": "bob"}
        client.post("/messages", params=query, json={"text": text}, headers={"X-CSRF-Token": token})


def until(condition: Callable[[], object], page: Page) -> None:
    """Wait until a condition holds, while the page runs."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, page.evaluate("[got, told]")
        page.wait_for_timeout(20)


def talk(page: Page, name: str, url: str, server: EmbeddedServer) -> None:
    """Chat with the server by a client of the docs, also across a restart."""
    room = f"of {name}"
    post(server, room, "before")
    page.evaluate(CLIENTS + "(" + CHAT + ")", [name, url, room])
    expected = ["before"]

    def shown() -> bool:
        return bool(page.evaluate("got") == expected)

    until(shown, page)
    page.evaluate("chat.send('of the page')")
    expected.append("of the page")
    until(shown, page)
    post(server, room, "of bob")
    expected.append("of bob")
    until(shown, page)
    server.stop_in_background()
    server.start_in_background()
    post(server, room, "in between")
    expected.append("in between")
    page.evaluate("chat.send('again')")
    until(lambda: sorted(page.evaluate("got")[3:]) == ["again", "in between"], page)
    assert page.evaluate("got")[:3] == expected[:3]
    assert "something may be missing" not in page.evaluate("told")
    page.evaluate("chat.close()")


@pytest.mark.parametrize(
    "name", [*NAMES[:2], *(pytest.param(name, marks=pytest.mark.proof) for name in NAMES[2:])]
)
def test_a76_a_page_of_an_allowed_origin_can_use_it_and_a_foreign_one_reads_nothing(
    page: Page, pages: int, tmp_path: Path, name: str
) -> None:
    allowed = f"http://localhost:{pages}"
    with chat_server(tmp_path / "chat.db", allowed_origins=[allowed], limits=QUICK) as server:
        page.goto(allowed)
        talk(page, name, server.url, server)
        page.evaluate(CHAT, [name, server.url, " no name "])
        until(lambda: "the room must have 1 to 200" in "".join(page.evaluate("told")), page)
        page.evaluate("chat.close()")

        page.goto(f"http://127.0.0.1:{pages}")
        page.evaluate(CLIENTS + "(" + CHAT + ")", [name, server.url, f"of {name}"])
        until(lambda: page.evaluate("told.length"), page)
        assert page.evaluate("got") == []
        told = page.evaluate("told")[0]
        if name == "chatByWebSocket":
            assert told == (
                "closed 4403: pages of that origin may not talk to this server; "
                "start it with allowed_origins=[ORIGIN]"
            )
        else:
            assert "TypeError: Failed to fetch" in told
        page.evaluate("chat.close()")


@pytest.mark.proof
def test_a_stream_comes_back_after_a_proxy_has_answered_for_a_server_that_is_down(
    page: Page, tmp_path: Path
) -> None:
    def answer(route: Route) -> None:
        route.fulfill(status=502, content_type="text/html", body="<title>502 Bad Gateway</title>")

    with chat_server(tmp_path / "chat.db", limits=QUICK) as server:
        page.goto(f"{server.url}/healthz")
        page.evaluate(CLIENTS + "(" + CHAT + ")", [NAMES[1], server.url, "lobby"])
        post(server, "lobby", "before")
        until(lambda: page.evaluate("got") == ["before"], page)
        page.route("**/*", answer)
        server.stop_in_background()
        page.evaluate("told.length = 0")
        until(lambda: "refused: HTTP 502" in page.evaluate("told"), page)
        server.start_in_background()
        post(server, "lobby", "after")
        page.unroute("**/*")
        until(lambda: page.evaluate("got") == ["before", "after"], page)
        page.evaluate("chat.close()")


@pytest.mark.requires("nginx")
@pytest.mark.parametrize(
    "name", [NAMES[0], *(pytest.param(name, marks=pytest.mark.proof) for name in NAMES[1:])]
)
def test_a_page_behind_nginx_with_tls_can_use_it(browser: Browser, tmp_path: Path, name: str) -> None:
    """Run nginx with the configuration of docs/deploying.md."""
    chain = trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.bytes()
    options: dict[str, Any] = {"trusted_proxies": ["127.0.0.1"], "limits": QUICK}
    with (
        chat_server(tmp_path / "chat.db", **options) as server,
        Nginx(deployed(server.url), chain=chain) as nginx,
        browser.new_context(ignore_https_errors=True) as context,
    ):
        page = context.new_page()
        url = nginx.url.replace("127.0.0.1", "localhost")
        page.goto(f"{url}/healthz")
        talk(page, name, url, server)


SNIPPETS = {
    "webSocket": """
      const queue = new MessageQueue();
      const config = { baseDelay: 200, maxDelay: 2000, backoffMultiplier: 2 };
      let attempt = 0;
      window.codes = [];
      const connect = () => {
        const ws = new WebSocket(`${url.replace("http", "ws")}/ws?${names}&history=0`);
        ws.onopen = () => {
          attempt = 0;
          pongReceived = true;
          startHeartbeat(ws, 10_000, 9_000);
          queue.flush(ws);
        };
        ws.onmessage = e => {
          const frame = JSON.parse(e.data);
          if (frame.type === "pong") pongReceived = true;
          if (frame.type === "message") got.push(frame.text);
        };
        ws.onclose = e => {
          clearInterval(heartbeatTimer);
          codes.push(e.code);
          setTimeout(connect, getReconnectDelay(attempt++, config));
        };
      };
      queue.enqueue({ type: "message", text: "queued" });
      connect();""",
    "sse": """
      const connection = new SSEConnection();
      connection.dispatch = event => { if (event.type === "message") got.push(event.text); };
      connection.connect(`${url}/stream?${names}`);
      let token;
      const renew = async () => { token = (await (await fetch(`${url}/csrf`)).json()).token; };
      window.getCsrfToken = () => token;
      window.ChatSendError = class { constructor(status) { this.status = status; } };
      window.statuses = [];
      window.say = async text => {
        if (!token) await renew();
        try { await sendMessage(url, { text }); }
        catch (error) { statuses.push(error.status); await renew(); await sendMessage(url, { text }); }
      };""",
    "poll": "window.dispatch = message => got.push(message.text); poll(url, 1000);",
    "longPoll": "window.dispatch = message => got.push(message.text); longPoll(url);",
}
"""A page that uses the original document's snippets, with the least additions that work."""
DURATION = 60.0
"""Seconds that the snippets run, with a restart of the server in the middle."""


@pytest.mark.proof
def test_the_original_documents_snippets_work_as_written(
    context: BrowserContext, pages: int, tmp_path: Path
) -> None:
    allowed = f"http://localhost:{pages}"
    polls: list[str] = []
    with chat_server(tmp_path / "chat.db", allowed_origins=[allowed]) as server:
        tabs = {name: context.new_page() for name in SNIPPETS}
        tabs["longPoll"].on("request", lambda request: polls.append(request.url))
        for name, tab in tabs.items():
            tab.goto(allowed)
            tab.add_script_tag(path=Path(__file__).with_name("original.js"))
            tab.evaluate(f"url => {{ window.got = []; window.told = []; {SNIPPETS[name]} }}", server.url)
            until(lambda name=name: name == "longPoll" or tabs[name].evaluate("got.length"), tabs[name])  # type: ignore[misc]
        sent = ["queued"]
        began = time.monotonic()
        while (passed := time.monotonic() - began) < DURATION:
            if passed > DURATION / 2 and "in the gap" not in sent:
                server.stop_in_background()
                tabs["sse"].wait_for_timeout(500)
                server.start_in_background()
                sent.append("in the gap")
                post(server, "lobby", "in the gap")  # before anybody is back
                tabs["sse"].wait_for_timeout(4000)
            sent.append(f"at {passed:.0f} s")
            tabs["sse"].evaluate("text => say(text)", sent[-1])
            tabs["sse"].wait_for_timeout(2000)
        for tab in tabs.values():
            until(lambda tab=tab: tab.evaluate("got.at(-1)") == sent[-1], tab)  # type: ignore[misc]
        got = {name: tab.evaluate("got") for name, tab in tabs.items()}
        restart, *refused = tabs["webSocket"].evaluate("codes")
        assert (restart, set(refused) <= {1006}) == (1012, True)  # and no heartbeat missed its pong
        assert tabs["sse"].evaluate("statuses") == [403]  # The token is from before the restart.
    assert got["sse"] == got["poll"] == sent
    # These two send no cursor, so they lack messages posted before they were back.
    assert set(sent) - set(got["webSocket"]) <= {"in the gap"}
    assert set(sent) - set(got["longPoll"]) <= {"in the gap", "queued"}
    assert len(polls) < 2 * len(sent)
