"""Look of a view without a notebook: the style sheet in a real browser."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route

from chatlab.widgets import assets

STATIC = Path(assets.__file__).parent / "static"
SITE = "http://localhost/"
INDEX = """<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="chatlab.css">
<div id="place"></div>
<script type="module">
  import view from "./chat_log.js";
  const heard = [];
  let request;
  const model = {
    get() {}, set() {}, save_changes() {}, off() {},
    on: (_, listener) => heard.push(listener),
    send: (message) => { request = message.request; },
  };
  view.render({ model, el: document.querySelector("#place") });
  window.show = (rows) => {
    const count = rows.length;
    const place = { epoch: 0, seq: 0, oldest: 0, total: count, newest: count - 1, fitting: count };
    const answer = { type: "rows", reply: request, part: 0, parts: 1, replay: true, ...place, rows };
    for (const listener of heard) listener(answer, []);
  };
</script>"""


@pytest.fixture
def chat(page: Page) -> Page:
    """Open a page with only a chat log, which `show` fills."""

    def answer(route: Route) -> None:
        name = route.request.url.removeprefix(SITE)
        if name:
            route.fulfill(path=STATIC / name)
        else:
            route.fulfill(body=INDEX, content_type="text/html")

    page.route(f"{SITE}**", answer)
    page.goto(SITE)
    page.wait_for_function("() => Boolean(window.show)")
    return page


def show(chat: Page, *texts: str, **fields: Any) -> None:
    rows = [
        {"id": f"m{n}", "n": n, "at": 1e12, "sender": "ada", "own": False, "text": text, **fields}
        for n, text in enumerate(texts)
    ]
    chat.evaluate("rows => show(rows)", rows)


def test_hidden_elements_take_no_space(chat: Page) -> None:
    show(chat, "hello")
    hidden, seen = chat.evaluate(
        """() => {
          const hidden = [...document.querySelectorAll("[hidden]")];
          const seen = hidden.filter(node => node.getClientRects().length);
          return [hidden.length, seen.map(node => node.outerHTML)];
        }"""
    )
    assert hidden > 0
    assert seen == []


@pytest.mark.parametrize("width", [1000, 400, 220])
def test_a_long_word_is_broken_and_not_cut(chat: Page, width: int) -> None:
    show(chat, "W" * 1_000, "https://example.com/" + "x" * 500, state="failed", reason="r" * 500)
    chat.evaluate("width => { document.querySelector('#place').style.width = `${width}px` }", width)
    cut = chat.evaluate(
        """() => [...document.querySelectorAll(".cl-text, .cl-trouble")]
          .filter(node => node.scrollWidth > node.clientWidth).map(node => node.outerHTML.slice(0, 80))"""
    )
    assert cut == []


@pytest.mark.parametrize("text", ["line\n" * 500, "word " * 5_000], ids=["lines", "words"])
def test_a_long_text_is_short_until_somebody_asks_for_more(chat: Page, text: str) -> None:
    chat.evaluate("() => { document.querySelector('#place').style.width = '220px' }")
    show(chat, text)
    shown = chat.locator(".cl-text")
    short = shown.bounding_box()
    assert short is not None
    assert 100 < short["height"] < 500
    chat.get_by_role("button", name="Show more").click()
    whole = shown.bounding_box()
    assert whole is not None
    assert whole["height"] > 2_000
