"""The cost of one more message in the panel, beside other ways to show a growing log, and how soon an
explorer's plot follows its slider, in a real JupyterLab.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from playwright.sync_api import Page, WebSocket, sync_playwright

from bench.report import Figure, Report
from tests.browser.jupyter import Lab, run_all, run_code, serve_lab, write_notebook
from tests.requirements import find

SIZES = (1_000, 10_000)
ROUNDS = 15
BURST = 10_000
LINE = "a message of about the usual length, number"
EMPTY = """
from chatlab.widgets.explorers.explorer import Answer, Explorer
from chatlab.widgets.slider import Slider
from matplotlib.figure import Figure
nothing = {"x": Slider("Nothing", 1.0, 0.0, 9.0)}
Explorer("?", nothing, lambda x: Answer(Figure(figsize=(1, 1 + x)), str(x)))
"""
SLIDERS = {
    "an empty figure: the round trip alone": (EMPTY, "Nothing"),
    "backoff": ("explore_backoff()", "Your multiplier"),
    "heartbeat": ("explore_heartbeat()", "Heartbeat every (s)"),
    "herd": ("explore_herd()", "Server down for (s)"),
    "polling": ("explore_polling()", "Short poll every (s)"),
    "transports": ("explore_transports()", "One way (s)"),
}
"""Explorers: the code that makes each, and the slider that is moved."""
MOVES, WARM = 25, 5
DRAG = 2.0
"""The seconds for which a slider is dragged."""

SETUP = f"""
import threading, time
import ipywidgets
from chatlab import ChatPanel

LINE = {LINE!r}

class Html(ipywidgets.HTML):
    def fill(self, n):
        self.lines = [f"<div>{{LINE}} {{i}}</div>" for i in range(n)]
        self.value = "".join(self.lines)
    def add(self, text):
        self.lines.append(f"<div>{{text}}</div>")
        self.value = "".join(self.lines)

class Output(ipywidgets.Output):
    def fill(self, n):
        self.append_stdout("".join(f"{{LINE}} {{i}}\\n" for i in range(n)))
    def add(self, text):
        self.append_stdout(text + "\\n")

class Panel:
    def __init__(self):
        self.panel = ChatPanel(url="ws://127.0.0.1:9/ws", name="bench")
        self.numbers = iter(range(10**9))
    def _row(self, text):
        return {{"id": str(next(self.numbers)), "at": time.time() * 1000, "sender": "ada", "text": text}}
    def fill(self, n):
        self.panel.messages.upsert_many(self._row(f"{{LINE}} {{i}}") for i in range(n))
    def add(self, text):
        self.panel.messages.upsert(self._row(text))
    def burst(self, n):
        begin = time.monotonic()
        for i in range(n):
            self.add(f"burst {{i}}")
            if (ahead := begin + i / n - time.monotonic()) > 0.005:
                time.sleep(ahead)
    def _ipython_display_(self):
        self.panel._ipython_display_()
"""


class Way(NamedTuple):
    """A way to show a log: the class in the notebook, and the selector of its latest line."""

    title: str
    made: str
    latest: str


WAYS = (
    Way("`ipywidgets.HTML`, its value rewritten", "Html()", ".widget-html-content > div:last-child"),
    Way("`ipywidgets.Output.append_stdout`", "Output()", ".jp-RenderedText pre"),
    Way("chatlab's panel", "Panel()", ".cl-message:last-child .cl-text"),
)


class Traffic:
    """Return the bytes of the comm messages to the page so far."""

    def __init__(self, page: Page) -> None:
        self.bytes = 0
        page.on("websocket", self._follow)

    def _follow(self, socket: WebSocket) -> None:
        socket.on("framereceived", self._count)

    def _count(self, frame: str | bytes) -> None:
        payload = frame.encode() if isinstance(frame, str) else frame
        if b"comm_msg" in payload:
            self.bytes += len(payload)


def main() -> Report:
    """Measure everything, and return the page."""
    with TemporaryDirectory() as folder, serve_lab(Path(folder)) as lab, browser_page() as page:
        traffic = Traffic(page)
        cells = {way.title: _cells(page, lab, traffic, way) for way in WAYS}
        burst = _burst(page)
        moved = {name: _frames(page, lab, name) for name in SLIDERS}
    frames = [f"| {name} | {' | '.join(shown)} |" for name, shown in moved.items()]
    rows = [f"| {title} | {' | '.join(figures)} |" for title, figures in cells.items()]
    head = " | ".join(f"N = {size:,}: kB | ms" for size in SIZES)
    text = (
        "# The cost of one more message in the panel\n\n"
        "Kilobytes over the comm, and milliseconds from asking the kernel for one more message until the "
        f"page shows it, with N messages before; medians of {ROUNDS}, in one JupyterLab and one Chromium.\n"
        "All include the round trip to the kernel, so compare the growth of a row from left to right.\n"
        f"The load was {os.getloadavg()[1]:.1f} on {os.cpu_count()} processors.\n\n"
        f"| way | {head} |\n|---|{'--:|' * 2 * len(SIZES)}\n" + "\n".join(rows) + "\n\n"
        f"A burst of {BURST:,} messages was added one by one within a second to the panel with "
        f"{SIZES[-1]:,}.\n**{burst['seen']:,}** of them reached the page, the last one after "
        f"{burst['seconds']:.1f} s; the longest pause of the page was {burst['still']:.0f} ms.\n\n"
        "## How soon an explorer's plot follows its slider\n\n"
        "- Milliseconds from a move of the slider until the page has painted the new plot: median and 90th "
        f"percentile of {MOVES} moves, one after the other.\n"
        "- CPU milliseconds of the kernel for each.\n"
        f"- Plots a second while the slider is dragged for {DRAG:.0f} s, at every frame of the page.\n\n"
        "| explorer | ms a frame | 90 % within | kernel's CPU, ms | frames a second, dragged |\n"
        "|---|--:|--:|--:|--:|\n" + "\n".join(frames) + "\n"
    )
    slowest = max(SLIDERS, key=lambda name: float(moved[name][0]))
    newest = cells[WAYS[-1].title][-1]
    return Report(
        text,
        [
            Figure(
                item=8,
                what=f"a slider's frame, with the page's part, slowest explorer ({slowest}), ms",
                reached=float(moved[slowest][0]),
                at_most=70,
            ),
            Figure(
                item=8,
                what=f"one more message at {SIZES[-1]:,}, ms",
                reached=float(newest),
            ),
        ],
    )


@contextmanager
def browser_page() -> Iterator[Page]:
    """Yield a page of a headless browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find("chromium"), args=["--no-sandbox", "--disable-gpu", "--disable-quic"]
        )
        yield browser.new_page()
        browser.close()


def _cells(page: Page, lab: Lab, traffic: Traffic, way: Way) -> list[str]:
    run_all(page, lab, write_notebook(lab, "bench.ipynb", SETUP, f"log = {way.made}\nlog"))
    cells: list[str] = []
    there = 0
    for size in SIZES:
        run_code(page, f"log.fill({size - there})")
        there = size
        _add(page, way, "ready")
        costs = []
        for number in range(ROUNDS):
            page.wait_for_timeout(100)  # let what is left of the round before arrive
            before = traffic.bytes
            milliseconds = _add(page, way, f"one more, {size} {number}")
            page.wait_for_timeout(100)
            costs.append((traffic.bytes - before, milliseconds))
        cells += [
            f"{median(cost[0] for cost in costs) / 1000:,.1f}",
            f"{median(cost[1] for cost in costs):.0f}",
        ]
    return cells


def _add(page: Page, way: Way, text: str) -> float:
    """Add a line, and return the milliseconds until the page shows it."""
    milliseconds: float = page.evaluate(
        """async ({ text, latest }) => {
          const begin = performance.now();
          const { kernel } = jupyterapp.shell.currentWidget.sessionContext.session;
          kernel.requestExecute({ code: `log.add(${JSON.stringify(text)})`, store_history: false });
          const last = () => [...document.querySelectorAll(latest)].at(-1)?.textContent ?? "";
          while (!last().trimEnd().endsWith(text)) {
            if (performance.now() - begin > 30_000) throw new Error(`the page shows ${last().slice(-100)}`);
            await new Promise(requestAnimationFrame);
          }
          return performance.now() - begin;
        }""",
        {"text": text, "latest": way.latest},
    )
    return milliseconds


def _burst(page: Page) -> dict[str, Any]:
    """Send a burst; return the number of shown messages, the time of the last, and the longest pause."""
    page.wait_for_timeout(5_000)  # what was said before has settled
    outcome: dict[str, Any] = page.evaluate(
        """async count => {
          const seen = new Set();
          const note = node => {
            const text = node.querySelector?.(".cl-text")?.textContent;
            if (text?.startsWith("burst ")) seen.add(text);
          };
          const look = records => records.forEach(record => record.addedNodes.forEach(note));
          const observer = new MutationObserver(look);
          observer.observe(document.querySelector(".cl-scroll"), { childList: true });
          const { kernel } = jupyterapp.shell.currentWidget.sessionContext.session;
          const begin = performance.now();
          kernel.requestExecute({ code: `log.burst(${count})`, store_history: false });
          let last = begin, still = 0;
          while (seen.size < count && last - begin < 60_000) {
            await new Promise(requestAnimationFrame);
            still = Math.max(still, performance.now() - last);
            last = performance.now();
          }
          observer.disconnect();
          return { seen: seen.size, seconds: (last - begin) / 1000, still };
        }""",
        BURST,
    )
    return outcome


MOVE = """
const explorer = document.querySelector(".chatlab-explorer");
const sliders = [...explorer.querySelectorAll("input[type=range]")];
const slider = sliders.find(e => e.labels[0].innerText.startsWith(label));
const picture = explorer.querySelector(".cl-picture img");
let place = Number(slider.value);
const move = () => {
  place = place >= Number(slider.max) - 1 ? Number(slider.min) + 1 : place + 1;
  slider.value = String(place);
  slider.dispatchEvent(new Event("input", { bubbles: true }));
};
const painted = () => new Promise(resolve => requestAnimationFrame(() => setTimeout(resolve)));
"""


def _frames(page: Page, lab: Lab, name: str) -> list[str]:
    """Move an explorer's slider; return the times of single frames, and the frame rate of a drag."""
    made, label = SLIDERS[name]
    cells = ("from chatlab.widgets.explorers import *", made)
    run_all(page, lab, write_notebook(lab, "bench.ipynb", *cells))
    page.locator(".chatlab-explorer img").wait_for()
    arguments = {"label": label, "moves": MOVES, "seconds": DRAG}
    worked = _worked(page)
    times: list[float] = page.evaluate(
        f"""async ({{ label, moves }}) => {{
          {MOVE}
          const times = [];
          for (let number = -{WARM}; number < moves; number += 1) {{
            const before = picture.src, begin = performance.now();
            move();
            while (picture.src === before) {{
              if (performance.now() - begin > 30_000) throw new Error("the plot doesn't follow its slider");
              await new Promise(resolve => setTimeout(resolve));
            }}
            await picture.decode();
            await painted();
            if (number >= 0) times.push(performance.now() - begin);
          }}
          return times;
        }}""",
        arguments,
    )
    worked = (_worked(page) - worked) / (MOVES + WARM)
    rate: float = page.evaluate(
        f"""async ({{ label, seconds }}) => {{
          {MOVE}
          let frames = 0;
          const observer = new MutationObserver(() => {{ frames += 1; }});
          observer.observe(picture, {{ attributeFilter: ["src"] }});
          const begin = performance.now();
          while (performance.now() - begin < 1000 * seconds) {{
            move();
            await painted();
          }}
          observer.disconnect();
          return frames / seconds;
        }}""",
        arguments,
    )
    most = sorted(times)[int(0.9 * len(times))]
    return [f"{median(times):.0f}", f"{most:.0f}", f"{1000 * worked:.0f}", f"{rate:.0f}"]


def _worked(page: Page) -> float:
    """Return the CPU seconds of the kernel's process."""
    answer: str = page.evaluate(
        """async () => (await jupyterapp.shell.currentWidget.sessionContext.session.kernel.requestExecute({
          code: "", user_expressions: { worked: "__import__('time').process_time()" } }).done
        ).content.user_expressions.worked.data["text/plain"]"""
    )
    return float(answer)
