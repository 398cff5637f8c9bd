"""Two chat panels in one notebook, on one page for all tests, with both kernels."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from websockets.sync.server import ServerConnection, serve

from tests.browser.axe import violations
from tests.browser.jupyter import Lab, error_outputs, run_all, run_code, show_theme, write_notebook
from tests.browser.kernels import OLD
from tests.browser.layout import cut_rings, sticking_out

pytestmark = pytest.mark.proof

NOTEBOOK = "panel.ipynb"
CELLS = (
    "from chatlab import ChatPanel\nada = ChatPanel(sender='ada', name='ada', seed=7)\nada",
    "bob = ChatPanel(url=ada.server.ws_url, sender='bob', name='bob')\nbob",
    "ada.connect()\nbob.connect()\nimport ipykernel\nipykernel.__version__",
)
EVIL = "</script><script>window.evil = 1</script><img src=x onerror='window.evil = 1'>"


@pytest.fixture(scope="module")
def notebook(
    browser: Browser, browser_context_args: dict[str, Any], lab_server: Lab, kernel: str
) -> Iterator[Page]:
    """Open and run the notebook; its two panels are connected."""
    context = browser.new_context(**browser_context_args)
    page = context.new_page()
    page.set_viewport_size({"width": 1300, "height": 2600})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(f"{error.message}\n{error.stack or ''}"))
    run_all(page, lab_server, write_notebook(lab_server, NOTEBOOK, *CELLS, kernel=kernel))
    assert error_outputs(page) == []
    yield page
    context.close()
    lab_server.close_notebooks()
    assert errors == []


def panel(page: Page, name: str) -> Locator:
    return page.locator(".chatlab-panel").nth(("ada", "bob").index(name))


@contextmanager
def server_stopped(page: Page) -> Iterator[None]:
    """Stop the server, and restart it in any case: later tests need it."""
    panel(page, "ada").get_by_role("button", name="Stop the server").click()
    try:
        yield
    finally:
        panel(page, "ada").get_by_role("button", name="Start the server").click()


def log(page: Page, name: str) -> Locator:
    return panel(page, name).get_by_role("log")


def say(page: Page, name: str, text: str) -> None:
    box = panel(page, name).get_by_label("Message", exact=True)
    box.fill(text)
    box.press("Enter")


def message(page: Page, name: str, text: str) -> Locator:
    return log(page, name).locator(".cl-message").filter(has_text=text).last


def save(page: Page) -> None:
    page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")


def open_frames(page: Page, name: str) -> Locator:
    """Return the frame inspector, opened if necessary."""
    place = panel(page, name)
    fold = place.get_by_role("button", name=re.compile("^[▸▾] Frames$"))
    if (fold.text_content() or "").startswith("▸"):
        fold.click()
    frames = place.locator(".cl-frames")
    expect(frames).to_be_visible()
    return frames


def test_the_kernel_is_the_one_that_is_meant(notebook: Page, kernel: str) -> None:
    version = notebook.locator(".jp-OutputArea-executeResult").last
    expect(version).to_contain_text("7.0.1" if kernel == OLD else re.compile(r"7\.([4-9]|\d\d)"))


def test_two_panels_talk_to_each_other(notebook: Page) -> None:
    for name in ("ada", "bob"):
        expect(panel(notebook, name).locator(".cl-status")).to_have_attribute("data-status", "connected")
    panel(notebook, "bob").get_by_label("Message", exact=True).press_sequentially("Hel")
    expect(panel(notebook, "ada").locator(".cl-typing")).to_have_text("bob is typing…")
    say(notebook, "bob", "Hello Ada")
    heard = message(notebook, "ada", "Hello Ada")
    expect(heard.locator(".cl-sender")).to_have_text("bob")
    expect(heard.locator("time")).to_have_text(re.compile(r"^\d\d:\d\d:\d\d$"))
    expect(message(notebook, "bob", "Hello Ada")).to_have_attribute("data-state", "acked")
    expect(panel(notebook, "ada").locator(".cl-typing")).to_have_text("")
    say(notebook, "ada", "Hello Bob")
    expect(message(notebook, "bob", "Hello Bob").locator(".cl-sender")).to_have_text("ada")


def test_frames_are_filtered_expanded_saved_and_loaded(notebook: Page, tmp_path: Path) -> None:
    frames = open_frames(notebook, "ada")
    rows = frames.locator(".cl-row")
    frames.get_by_label("Filter content").fill("hello bob")
    expect(rows.filter(has_text="Hello Bob").first).to_be_visible()
    expect(rows.filter(has_text="Hello Ada")).to_have_count(0)
    frames.get_by_label("Direction").select_option("up")
    expect(rows).to_have_count(1)
    rows.get_by_role("button").first.press("Enter")
    expect(frames.locator("pre")).to_contain_text('"text": "Hello Bob"')
    frames.get_by_role("button", name="Raw").click()
    expect(frames.locator("pre")).to_contain_text('"text":"Hello Bob"')
    with notebook.expect_download() as saved:
        frames.get_by_role("button", name="Save all frames as JSON lines").click()
    file = tmp_path / saved.value.suggested_filename
    saved.value.save_as(file)
    kept = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert file.name == "chatlab-frames.jsonl"
    assert any("Hello Bob" in row["text"] and row["direction"] == "up" for row in kept)
    with notebook.expect_download() as saved:
        panel(notebook, "ada").get_by_role("button", name="Save all messages as text").click()
    saved.value.save_as(tmp_path / "transcript.txt")
    text = (tmp_path / "transcript.txt").read_text("utf-8")
    assert re.search(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ada: Hello Bob \(acked\)$", text, re.MULTILINE)

    loaded = open_frames(notebook, "bob")
    load(loaded, file)
    expect(loaded.get_by_text(f"{len(kept)} frames loaded from chatlab-frames.jsonl.")).to_be_visible()
    loaded.get_by_label("Direction").select_option("up")
    loaded.get_by_label("Filter content").fill("hello bob")
    expect(loaded.locator(".cl-row")).to_have_count(1)
    load(loaded, tmp_path / "transcript.txt")
    expect(loaded.get_by_text("transcript.txt wasn’t written by “Save: JSON lines”: line 1")).to_be_visible()
    expect(loaded.locator(".cl-row")).to_have_count(1)


def load(place: Locator, file: Path) -> None:
    """Choose a file with the button of a view."""
    with place.page.expect_file_chooser() as chooser:
        place.get_by_role("button", name="Load").click()
    chooser.value.set_files(file)


def test_a_transcript_is_loaded_by_its_button_and_nothing_of_it_is_sent(
    notebook: Page, tmp_path: Path
) -> None:
    file = tmp_path / "old.jsonl"
    old = {"id": "old", "at": 1e12, "sender": "carol", "text": "Long ago", "own": True, "state": "failed"}
    file.write_text(json.dumps(old), "utf-8")
    load(panel(notebook, "bob").locator(".cl-chat"), file)
    heard = message(notebook, "bob", "Long ago")
    expect(heard.locator(".cl-day")).to_have_text("2001-09-09")
    heard.get_by_role("button", name="Retry").click()
    expect(log(notebook, "bob")).to_contain_text("Not sent again: that message is from a file")
    expect(message(notebook, "ada", "Long ago")).to_have_count(0)


def test_a_filter_looks_through_the_whole_history_and_the_whole_payload(notebook: Page) -> None:
    run_code(notebook, "bob.disconnect()")  # otherwise heartbeats come in between
    expect(panel(notebook, "bob").locator(".cl-status")).to_have_attribute("data-status", "disconnected")
    run_code(
        notebook,
        "def frame(n, direction='down', kind='ack', text='hay'):\n"
        "    return dict(id=f'x{n}', at=1e12, direction=direction, kind=kind, size=9, text=text)\n"
        "bob.frames.clear()\n"
        "bob.frames.upsert_many([frame(0, 'up', 'rare', 'x' * 70_000 + 'NEEDLE')])\n"
        "bob.frames.upsert_many(frame(n, kind='ping' if n % 2 else 'ack') for n in range(1, 3_001))\n"
        "bob.frames.upsert_many([frame(9_999, text='the end')])\n",
    )
    frames = open_frames(notebook, "bob")
    rows, count = frames.locator(".cl-row"), frames.locator(".cl-count")
    frames.get_by_label("Direction").select_option("")
    frames.get_by_label("Filter content").fill("")
    expect(rows.last).to_contain_text("the end")
    expect(count).to_have_text("1,502 of 3,002 frames")  # heartbeats are hidden
    expect(rows.filter(has_text="ping")).to_have_count(0)
    frames.get_by_label("Filter content").fill("needle")
    expect(rows).to_have_count(1)
    expect(rows).to_have_attribute("data-direction", "up")
    expect(count).to_have_text("1 of 3,002 frames")
    frames.get_by_label("Filter content").fill("")
    frames.get_by_label("Kind").select_option("rare")
    expect(rows).to_have_count(1)
    frames.get_by_label("Kind").select_option("")
    frames.get_by_label("Direction").select_option("up")
    expect(rows).to_have_count(1)
    frames.get_by_label("Kind").select_option("ack")
    expect(frames.get_by_text("None of 3,002 frames passes the filter.")).to_be_visible()
    frames.get_by_role("button", name="Clear the filter").click()
    expect(count).to_have_text("3,002 frames")
    frames.get_by_label("Heartbeats").uncheck()
    expect(count).to_have_text("1,502 of 3,002 frames")


def test_a_frame_is_copied_as_it_was_sent(notebook: Page) -> None:
    notebook.context.grant_permissions(["clipboard-read", "clipboard-write"])
    frames = open_frames(notebook, "bob")
    frames.locator(".cl-row").last.get_by_role("button").first.click()
    frames.get_by_role("button", name="Copy").click()
    expect(frames.get_by_role("button", name="Copied")).to_be_visible()
    assert notebook.evaluate("navigator.clipboard.readText()") == "the end"


def test_every_transport_and_any_server_and_dialect_can_be_chosen(notebook: Page) -> None:
    place = panel(notebook, "bob")
    status = place.locator(".cl-status")
    for title in ("SSE + POST", "Long polling", "Short polling", "Fallback", "WebSocket"):
        place.get_by_label("Transport").select_option(title)
        place.get_by_role("button", name="Connect", exact=True).click()
        in_use = re.compile(f"^connected since .*\n{_first(title)}", re.DOTALL)
        expect(status).to_have_attribute("title", in_use)
        say(notebook, "bob", f"by {title}")
        expect(message(notebook, "bob", f"by {title}")).to_have_attribute("data-state", "acked")
        expect(message(notebook, "ada", f"by {title}")).to_be_visible()

    before = place.get_by_label("URL").input_value()
    with echoing() as url:
        place.get_by_role("button", name="▸ Settings").click()
        place.get_by_label("Dialect").select_option("text")
        place.get_by_label("URL").fill(url)
        place.get_by_role("button", name="Connect", exact=True).click()
        expect(status).to_have_attribute("title", re.compile("^connected since .*/echo", re.DOTALL))
        say(notebook, "bob", "is anybody there?")
        expect(message(notebook, "bob", "echo: is anybody there?")).to_be_visible()
        place.get_by_label("Dialect").select_option("chatlab")
        place.get_by_label("URL").fill(before)
        place.get_by_role("button", name="Connect", exact=True).click()
        expect(status).to_have_attribute("title", re.compile("^connected since .*/ws", re.DOTALL))


@contextmanager
def echoing() -> Iterator[str]:
    """Yield the URL of a server that knows no dialect of ours, and echoes each text."""

    def echo(connection: ServerConnection) -> None:
        for text in connection:
            connection.send(f"echo: {text!s}")

    with serve(echo, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/echo"
        server.shutdown()
        thread.join()


def _first(title: str) -> str:
    """Return the first line of a transport's details; a fallback's is the transport in use."""
    return re.escape("WebSocket, of 4 to fall back on" if title == "Fallback" else title)


def test_a_preset_fills_in_another_systems_settings(notebook: Page) -> None:
    place = panel(notebook, "bob")
    longest = place.get_by_label("Longest delay (s)")
    expect(longest).to_have_value("30")
    place.get_by_label("Backoff preset").select_option("partysocket")
    expect(longest).to_have_value("10")
    expect(place.get_by_label("Jitter")).to_have_value("none")
    place.get_by_label("Backoff preset").select_option("SignalR")
    expect(place.get_by_text("Waits 0, 2, 10, 30 s. Gives up after the fourth retry.")).to_be_visible()
    expect(place.get_by_label("Multiplier")).to_be_disabled()
    place.get_by_label("Backoff preset").select_option("custom")
    expect(place.get_by_label("Multiplier")).to_be_enabled()
    place.get_by_role("button", name="▾ Settings").click()


def test_faults_are_made_in_the_panel_and_stand_on_the_timeline(notebook: Page) -> None:
    place = panel(notebook, "ada")
    status, drawing = place.locator(".cl-status"), place.locator(".cl-drawing")
    faults = drawing.locator("[data-kind=fault] title")
    place.get_by_label("Fault").select_option("latency")
    place.get_by_label("by (s)").fill("0.3")
    place.get_by_role("textbox", name="for (s)", exact=True).fill("")
    place.get_by_role("button", name="Inject").click()
    expect(faults.last).to_have_text(re.compile(r"^latency 0\.3 at \d"))
    say(notebook, "ada", "slowly")
    expect(message(notebook, "ada", "slowly")).to_have_attribute("data-state", "acked")
    expect(place.get_by_text("Under way: latency 0.3.")).to_be_visible()
    place.get_by_role("button", name="End all faults").click()
    expect(place.get_by_text("No fault is under way.")).to_be_visible()
    place.get_by_label("Script").fill("reset at 0.1; latency 0.01 at 0.2 for 0.1")
    place.get_by_role("button", name="Play").click()
    expect(faults.filter(has_text=re.compile(r"^connection reset at \d"))).to_have_count(1)
    expect(drawing.locator(".cl-reconnecting title").first).to_be_attached()
    expect(status).to_have_attribute("data-status", "connected")


def test_the_status_says_why_which_attempt_when_the_next_one_comes_and_what_waits(notebook: Page) -> None:
    place = panel(notebook, "ada")
    status = place.locator(".cl-status")
    with server_stopped(notebook):
        expect(status.locator("strong")).to_have_text("reconnecting")
        say(notebook, "ada", "I can wait")
        expect(status.locator(".cl-attempt")).to_have_text(re.compile(r"^attempt \d of 10$"))
        expect(status.locator(".cl-countdown")).to_have_text(re.compile(r"^next try in \d+\.\d s$"))
        expect(status.locator(".cl-waiting")).to_have_text("1 message waits")
        expect(status.locator(".cl-reason")).to_contain_text("reset")
        details = re.compile("reset.*\nreconnecting since .*\nroom lobby, as ada$", re.DOTALL)
        expect(status).to_have_attribute("title", details)
    expect(status).to_have_attribute("data-status", "connected", timeout=40_000)
    expect(message(notebook, "ada", "I can wait")).to_have_attribute("data-state", "acked")
    expect(status.locator(".cl-waiting")).to_have_text("")


def test_what_was_dropped_or_expired_is_marked_and_sent_again(notebook: Page, screenshots: Path) -> None:
    place = panel(notebook, "bob")
    run_code(
        notebook,
        "from chatlab import OutboxConfig, ReconnectConfig\n"
        "config = bob.form.config().replace(outbox=OutboxConfig(max_size=2, max_age=15.0),\n"
        "    reconnect=ReconnectConfig(max_attempts=None, base_delay=0.2, max_delay=0.2))\n"
        "small = ChatPanel(config, name='bob')\n"
        "bob = small\n",
    )
    expect(notebook.locator(".chatlab-panel")).to_have_count(1)  # the new one is not shown yet
    notebook.evaluate("() => { jupyterapp.shell.currentWidget.content.activeCellIndex = 1 }")
    notebook.evaluate(
        "() => jupyterapp.shell.currentWidget.content.activeCell.model.sharedModel.setSource('bob')"
    )
    notebook.evaluate("() => jupyterapp.commands.execute('notebook:run-cell')")
    expect(notebook.locator(".chatlab-panel")).to_have_count(2)
    place.get_by_role("button", name="Connect", exact=True).click()
    expect(place.locator(".cl-status")).to_have_attribute("data-status", "connected")

    with server_stopped(notebook):
        expect(place.locator(".cl-status")).to_have_attribute("data-status", "reconnecting")
        for text in ("first", "second", "third"):
            say(notebook, "bob", text)
        dropped = message(notebook, "bob", "first")
        expect(dropped).to_have_attribute("data-state", "dropped")
        expect(dropped.locator(".cl-mark")).to_have_attribute("title", re.compile("outbox is full"))
        expired = message(notebook, "bob", "third")
        expect(expired).to_have_attribute("data-state", "expired")
        notebook.screenshot(path=screenshots / "panel-not-delivered.png")
    expect(place.locator(".cl-status")).to_have_attribute("data-status", "connected")
    for row in (dropped, expired):
        row.get_by_role("button", name="Retry").click()
        expect(row).to_have_attribute("data-state", "acked")
    # Ada's backoff has grown meanwhile; “Connect” tries at once.
    panel(notebook, "ada").get_by_role("button", name="Connect", exact=True).click()
    expect(message(notebook, "ada", "third")).to_be_visible(timeout=60_000)


def test_a74_hostile_names_and_texts_leave_the_layout_whole(notebook: Page, screenshots: Path) -> None:
    long = "N" * 200
    texts = {
        "plain": "before",
        long: "a name of 200 characters",
        "\u202egnp.exe": "\u202eRTL override",
        "zalgo": "Z" + "\u0301" * 5_000,
        "large": "W" * 65_000,
        EVIL[:60]: EVIL,
    }
    run_code(
        notebook,
        "import time\n"
        "now = time.time() * 1000\n"
        f"for n, (sender, text) in enumerate({texts!r}.items()):\n"
        "    bob.messages.upsert({'id': f'evil-{n}', 'at': now, 'sender': sender, 'text': text})\n"
        "bob.messages.upsert({'id': 'evil-failed', 'at': now, 'sender': 'you', 'own': True,"
        f" 'text': 'refused', 'state': 'failed', 'reason': {EVIL!r} + 'r' * 3000}})\n",
    )
    place = panel(notebook, "bob")
    expect(message(notebook, "bob", "refused")).to_be_visible()
    for width in (1300, 800):
        notebook.set_viewport_size({"width": width, "height": 2600})
        assert sticking_out(place) == []
        for row in log(notebook, "bob").locator(".cl-message").all()[-7:-2]:
            box = row.bounding_box()
            assert box is not None
            assert box["height"] < (560 if "large" in row.inner_text() else 150), row.inner_text()[:80]
        for theme in ("Dark", "Light"):
            show_theme(notebook, f"JupyterLab {theme}")
            notebook.screenshot(path=screenshots / f"panel-{width}-{theme.lower()}.png")
    notebook.set_viewport_size({"width": 1300, "height": 2600})
    assert notebook.evaluate("window.evil") is None
    assert log(notebook, "bob").locator("img, script").count() == 0


def test_the_timeline_zooms_and_pans_by_keyboard_and_has_a_prediction(notebook: Page) -> None:
    drawing = panel(notebook, "ada").locator(".cl-drawing")
    expect(drawing).to_have_attribute("aria-label", re.compile(r"live: connected .*predicted: "))
    expect(drawing.locator("[data-kind=fault]").first).to_be_attached()
    ticks = drawing.locator(".cl-grid text")
    first = ticks.first.text_content()
    for _ in range(3):
        panel(notebook, "ada").get_by_role("button", name="Zoom in").click()
    expect(ticks.first).not_to_have_text(first or "")
    zoomed = ticks.first.text_content()
    for _ in range(8):
        drawing.press("ArrowLeft")
    expect(ticks.first).not_to_have_text(zoomed or "")
    panel(notebook, "ada").get_by_role("button", name="Show everything").click()
    expect(ticks.first).to_have_text(first or "")


@pytest.mark.requires("node")
def test_axe_finds_nothing_in_light_or_dark(notebook: Page) -> None:
    place = panel(notebook, "ada")
    place.evaluate("element => { element.id = 'looked-at' }")
    place.get_by_role("button", name="▸ Settings").click()
    for theme in ("Dark", "Light"):
        show_theme(notebook, f"JupyterLab {theme}")
        assert violations(notebook, "#looked-at") == []


def test_the_keyboard_goes_through_the_panel_in_the_order_of_the_page(notebook: Page) -> None:
    place = panel(notebook, "ada")
    place.get_by_label("Transport").focus()
    names = []
    for _ in range(40):
        names.append(
            notebook.evaluate(
                "() => (document.activeElement.ariaLabel || document.activeElement.innerText || "
                "document.activeElement.labels?.[0]?.innerText || '').slice(0, 24).trim()"
            )
        )
        notebook.keyboard.press("Tab")
    wanted = ["URL", "Room", "Name", "Connect", "Disconnect", "Stop the server", "▾ Settings", "Messages"]
    wanted += ["Message", "Send"]
    assert [name for name in names if name in wanted] == wanted, names


def test_tab_stops_at_one_frame_and_the_arrow_keys_go_to_the_others(notebook: Page) -> None:
    frames = open_frames(notebook, "ada")
    frames.get_by_label("Direction").select_option("")
    frames.get_by_label("Filter content").fill("")
    expand = frames.locator(".cl-expand")
    expect(expand.filter(has_text="Hello Ada").first).to_be_attached()  # all are there again
    frames.locator("[aria-expanded=true]").evaluate_all("opened => opened.forEach(one => one.click())")
    frames.get_by_role("region", name="Frames").press("Tab")
    expect(expand.last).to_be_focused()
    notebook.keyboard.press("ArrowUp")
    expect(expand.nth(-2)).to_be_focused()
    frames.get_by_role("region", name="Frames").press("Shift+Tab")
    expect(frames.get_by_role("button", name="Remove all frames")).to_be_focused()


def test_focus_rings_are_not_clipped(notebook: Page) -> None:
    open_frames(notebook, "ada")
    for width in (1300, 800):
        notebook.set_viewport_size({"width": width, "height": 2600})
        assert cut_rings(panel(notebook, "ada")) == []
    notebook.set_viewport_size({"width": 1300, "height": 2600})


def test_in_a_narrow_cell_every_field_of_the_settings_shrinks_with_its_row(notebook: Page) -> None:
    place = panel(notebook, "bob")
    place.get_by_role("button", name="▸ Settings").click()
    for width in ("700px", "320px", "220px"):
        place.evaluate("(place, width) => place.style.width = width", width)
        assert sticking_out(place) == [], width
    place.evaluate("place => place.style.width = ''")
    place.get_by_role("button", name="▾ Settings").click()


def test_a_second_tab_shows_the_same_and_both_may_write(notebook: Page, lab_server: Lab) -> None:
    save(notebook)
    tab = notebook.context.new_page()
    tab.set_viewport_size({"width": 1300, "height": 2600})
    tab.goto(f"{lab_server.url}/lab/workspaces/second/tree/{NOTEBOOK}")
    expect(message(tab, "ada", "Hello Ada")).to_be_visible(timeout=60_000)
    say(tab, "ada", "from the second tab")
    expect(message(notebook, "ada", "from the second tab")).to_have_attribute("data-state", "acked")
    say(notebook, "ada", "from the first tab")
    expect(message(tab, "ada", "from the first tab")).to_have_attribute("data-state", "acked")
    tab.close()


def test_a_saved_notebook_has_a_transcript_and_its_export_runs_nothing(
    notebook: Page, lab_server: Lab, tmp_path: Path
) -> None:
    say(notebook, "ada", EVIL)
    expect(message(notebook, "ada", "window.evil")).to_have_attribute("data-state", "acked")
    kept = notebook.locator(".chatlab-transcript").first
    expect(kept).to_contain_text("window.evil")
    expect(kept).to_be_hidden()
    saved = lab_server.root / NOTEBOOK
    save(notebook)
    assert "window.evil" in saved.read_text("utf-8")

    page = notebook.context.new_page()
    page.route(
        re.compile("^https?:"), lambda route: route.abort()
    )  # resources that an export loads from elsewhere
    exported = tmp_path / "panel.html"
    exported.write_text(_export(saved), "utf-8")
    page.goto(exported.as_uri())
    expect(page.locator(".chatlab-transcript").first).to_contain_text("ada: " + EVIL)
    expect(page.locator(".chatlab-transcript").first).to_be_visible()
    assert page.evaluate("window.evil") is None
    assert page.locator("img[src=x]").count() == 0
    page.close()


def _export(notebook: Path) -> str:
    from nbconvert import HTMLExporter  # takes a second to import

    page: str
    page, _ = HTMLExporter(template_name="lab").from_filename(str(notebook))
    return page


def test_running_the_cell_again_replaces_the_panel(notebook: Page) -> None:
    notebook.evaluate("() => { jupyterapp.shell.currentWidget.content.activeCellIndex = 0 }")
    notebook.evaluate("() => jupyterapp.commands.execute('notebook:run-cell')")
    expect(panel(notebook, "ada").locator(".cl-status")).to_have_attribute("data-status", "disconnected")
    expect(notebook.locator(".chatlab-panel")).to_have_count(2)
    expect(log(notebook, "ada").locator(".cl-message")).to_have_count(0)
    panel(notebook, "ada").get_by_role("button", name="Connect", exact=True).click()
    expect(panel(notebook, "ada").locator(".cl-status")).to_have_attribute("data-status", "connected")
    run_code(notebook, "import gc; assert len([p for p in ChatPanel._open.values()]) == 2")


def test_a_reload_brings_everything_back(notebook: Page) -> None:
    say(notebook, "ada", "still here?")
    expect(message(notebook, "ada", "still here?")).to_have_attribute("data-state", "acked")
    save(notebook)
    notebook.reload()
    # Jupyter's server waits up to 60 s for a kernel's answer before it gives the kernel to a page.
    expect(message(notebook, "ada", "still here?")).to_have_attribute("data-state", "acked", timeout=150_000)
    expect(panel(notebook, "ada").locator(".cl-status")).to_have_attribute("data-status", "connected")
    say(notebook, "ada", "yes")
    expect(message(notebook, "ada", "yes")).to_have_attribute("data-state", "acked")


def test_a_restarted_kernel_is_reported_once_and_written_text_stays(
    notebook: Page, screenshots: Path
) -> None:
    notebook.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    place = panel(notebook, "ada")
    expect(place).to_have_class(re.compile(r"\bjupyter-widgets-disconnected\b"), timeout=150_000)
    expect(place.locator(".cl-status")).to_be_hidden()
    said = place.evaluate(
        "place => [place, ...place.querySelectorAll('.jupyter-widgets-disconnected')]"
        ".map(part => getComputedStyle(part, '::before')).filter(before => before.display !== 'none')"
        ".map(before => before.content)"
    )
    assert said == ['"The kernel doesn\u2019t answer. If it was restarted, run this cell again."']
    say(notebook, "ada", "precious")
    expect(place.get_by_role("alert")).to_contain_text("Not sent: the kernel doesn\u2019t answer.")
    expect(place.get_by_label("Message", exact=True)).to_have_value("precious")
    notebook.screenshot(path=screenshots / "panel-without-kernel.png")
