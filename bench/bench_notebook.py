"""Waiting times in a notebook: for imports, the first panel, and an explorer's plot.

The way from a slider to the page is in `bench_panel.py`; here is what the kernel has to do with it.
"""

import resource
import subprocess
import sys
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, thread_time
from typing import Any, NamedTuple

from ipywidgets import SelectMultiple
from playwright.sync_api import Page

from bench.bench_panel import browser_page
from bench.report import Figure, Report, table
from chatlab.plots.png import png
from chatlab.widgets.explorers import (
    Explorer,
    explore_backoff,
    explore_heartbeat,
    explore_herd,
    explore_polling,
    explore_transports,
)
from chatlab.widgets.slider import Slider
from tests.browser.jupyter import ROOT, Lab, open_notebook, serve_lab, write_notebook

STARTS = 21
PANELS = 5
FRAMES = 15
ENDS = 150
OURS, PEERS = "import chatlab", "import msgspec, simpy"
IMPORTS = (
    PEERS,
    OURS,
    "from chatlab import OutgoingMessage, WebSocketConfig",
    "from chatlab import Scenario, run",
    "from chatlab import WebSocketTransport",
    "from chatlab import ChatPanel",
    "import pandas",
    "import ipywidgets, matplotlib.figure",
)
CELLS = {
    "the panel": ("from chatlab import ChatPanel\nChatPanel()", ".chatlab-panel .cl-scroll"),
    "a slider of ipywidgets": ("import ipywidgets\nipywidgets.FloatSlider()", ".widget-slider"),
}
"""A cell, and the selector of the element that it shows."""

EXPLORERS = {
    "backoff": explore_backoff,
    "heartbeat": explore_heartbeat,
    "herd": explore_herd,
    "polling": explore_polling,
    "transports": explore_transports,
}


class Wait(NamedTuple):
    """Seconds by the clock, and of CPU."""

    clock: float
    cpu: float


def main() -> Report:
    """Return the tables of imports, first panels and plots."""
    imports, figures = _imports()
    panels, more = _panels()
    plots, frames = _plots()
    return Report(f"{imports}\n\n{panels}\n\n{plots}", [*figures, *more, *frames])


# Imports


def _imports() -> tuple[str, list[Figure]]:
    found: dict[str, list[Wait]] = {code: [] for code in ("pass", *IMPORTS)}
    for _ in range(STARTS):  # By turns: what else the machine does hits all.
        for code, waits in found.items():
            waits.append(_started(code))
    medians = {code: Wait(*map(median, zip(*waits, strict=True))) for code, waits in found.items()}
    python = medians.pop("pass")
    each = {code: Wait(wait.clock - python.clock, wait.cpu - python.cpu) for code, wait in medians.items()}
    peers = each[PEERS]
    rows = [
        (
            f"`{code}`",
            f"{1e3 * clock:.0f}",
            f"{clock / peers.clock:.2f}",
            f"{1e3 * cpu:.0f}",
            f"{cpu / peers.cpu:.2f}",
        )
        for code, (clock, cpu) in each.items()
    ]
    page = (
        "### Imports\n\n"
        f"Milliseconds in a new interpreter, without its own {1e3 * python.clock:.0f} ms; medians of "
        f"{STARTS} in turn.\nA name of chatlab is loaded at its first use.\n\n"
        + table(["", "by the clock", "× peers", "CPU", "× peers"], rows)
    )
    ratio = each[OURS].clock / peers.clock
    return page, [
        Figure(item=8, what="import chatlab, seconds", reached=each[OURS].clock, at_most=0.15),
        Figure(item=8, what="import chatlab, over msgspec and simpy", reached=ratio, at_most=1.5),
    ]


def _started(code: str) -> Wait:
    """Start an interpreter that runs some code, and wait for its end."""
    began, used = perf_counter(), _used()
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    return Wait(perf_counter() - began, _used() - used)


def _used() -> float:
    """Return the CPU seconds of all child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


# The first panel


def _panels() -> tuple[str, list[Figure]]:
    seconds: dict[str, list[float]] = {what: [] for what in CELLS}
    with TemporaryDirectory() as folder, serve_lab(Path(folder)) as lab, browser_page() as page:
        for _ in range(PANELS):
            for what, (code, visible) in CELLS.items():
                seconds[what].append(_first(page, lab, code, visible))
                lab.close_notebooks()
    rows = [
        (what, f"{1e3 * median(taken):,.0f}", f"{1e3 * min(taken):,.0f} to {1e3 * max(taken):,.0f}")
        for what, taken in seconds.items()
    ]
    page_text = (
        "### The first panel\n\n"
        "Milliseconds from running the first cell of a notebook with a new kernel until the page shows its "
        f"output, in JupyterLab and Chromium; medians of {PANELS} in turn.\n\n"
        + table(["", "ms", "from, to"], rows)
    )
    first = median(seconds["the panel"])
    return page_text, [Figure(item=8, what="first panel on screen, seconds", reached=first)]


def _first(page: Page, lab: Lab, code: str, visible: str) -> float:
    """Return the seconds from running a new notebook's only cell until the page shows an element."""
    open_notebook(page, lab, write_notebook(lab, "bench.ipynb", code))
    milliseconds: float = page.evaluate(
        """async visible => {
          const begin = performance.now();
          jupyterapp.commands.execute("notebook:run-all-cells");
          while (!(document.querySelector(visible)?.getBoundingClientRect().height > 0)) {
            if (performance.now() - begin > 60_000) throw new Error(`there is no ${visible}`);
            await new Promise(requestAnimationFrame);
          }
          await new Promise(resolve => requestAnimationFrame(() => setTimeout(resolve)));
          return performance.now() - begin;
        }""",
        visible,
    )
    return milliseconds / 1e3


# Plots


def _plots() -> tuple[str, list[Figure]]:
    rows, slowest, worst = [], 0.0, 0.0
    for name, make in EXPLORERS.items():
        explorer = make()
        explorer.wait()
        answers, pictures = _frames(explorer)
        ends = _slowest_of_ends(explorer)
        slowest, worst = max(slowest, answers + pictures), max(worst, ends)
        rows.append((name, *(f"{1e3 * each:.0f}" for each in (answers, pictures, answers + pictures, ends))))
    page = (
        "### From a slider's value to the plot\n\n"
        "CPU milliseconds in the kernel while an explorer's first slider moves: *answer* is simulation and "
        f"layout, *PNG* the drawing; medians of {FRAMES}.\n"
        f"*Slowest* is that of {ENDS} settings in which each control is at one of its ends.\n\n"
        + table(["explorer", "answer", "PNG", "together", "slowest"], rows)
    )
    what = "a slider's frame, the kernel's part, slowest explorer"
    return page, [
        Figure(item=8, what=f"{what}, CPU ms", reached=1e3 * slowest, at_most=70),
        Figure(item=8, what=f"{what} at the ends of its controls, CPU ms", reached=1e3 * worst, at_most=500),
    ]


def _frames(explorer: Explorer) -> tuple[float, float]:
    """Return the CPU seconds of an answer, and of its picture."""
    name, slider = next(
        (name, control) for name, control in explorer.controls.items() if isinstance(control, Slider)
    )
    frames = []
    for number in range(FRAMES):
        value = slider.low + (slider.high - slider.low) * (number + 1) / (FRAMES + 1)
        frames.append(_frame(explorer, explorer.values | {name: _typed(slider, value)}))
    answers, pictures = zip(*frames, strict=True)
    return median(answers), median(pictures)


def _slowest_of_ends(explorer: Explorer) -> float:
    """Return the most CPU seconds of a frame with each control at one of its ends."""
    ends = {name: _ends(control) for name, control in explorer.controls.items()}
    settings = list(product(*ends.values()))
    some = Random(1).sample(settings, min(len(settings), ENDS))
    return max(sum(_frame(explorer, dict(zip(ends, values, strict=True)))) for values in some)


def _ends(control: Any) -> list[Any]:
    if isinstance(control, Slider):
        return [_typed(control, control.low), _typed(control, control.high)]
    several = isinstance(control, SelectMultiple)
    return [tuple(control.options)] if several else list(control.options)


def _typed(slider: Slider, value: float) -> float:
    return round(value) if slider.scale == "whole" else value


def _frame(explorer: Explorer, values: Mapping[str, Any]) -> tuple[float, float]:
    began = thread_time()
    figure = explorer._answer(**values).figure
    between = thread_time()
    png(figure)
    return between - began, thread_time() - between


if __name__ == "__main__":
    print(main().page)
