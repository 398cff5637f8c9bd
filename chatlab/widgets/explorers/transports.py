"""Explorer: which transport suits which chat?"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from math import inf
from types import MappingProxyType

from msgspec import Struct

from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.live.client.kinds import TITLES
from chatlab.plots.reusable_figure import ReusableFigure
from chatlab.plots.style import figure_of
from chatlab.plots.transports import layout, plot_transports
from chatlab.sim.faults import ServerDown
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.people import PeopleConfig
from chatlab.sim.transport_settings import (
    AnyTransport,
    LongPollingSettings,
    ShortPollingSettings,
    SSESettings,
    WebSocketSettings,
)
from chatlab.widgets.explorers.explorer import Answer, Explorer
from chatlab.widgets.slider import Slider

MESSAGES = 18
"""Approximate number of messages sent in each run."""
SHORTEST, LONGEST = 20.0, 600.0
"""Minimum and maximum simulated seconds of a run, without the outage."""
MOST_POLLS = 5_000
"""Maximum number of short polls in a run, which bounds the time of its simulation."""
DOWN_AT, RECOVERY = 10.0, 20.0
"""Time of the outage, and seconds that a run goes on for the recovery."""
HELD: Mapping[str, AnyTransport] = MappingProxyType(
    {"websocket": WebSocketSettings(), "sse": SSESettings(), "long_polling": LongPollingSettings()}
)
"""The transports that hold a connection open, and therefore have no polling interval."""


def explore_transports() -> Explorer:
    """Return an explorer that compares the four transports in one chat: latency, requests and bytes."""
    controls = {
        "people": Slider("People in the room", 5, 2, 15, "whole"),
        "rate": Slider("Messages a minute", 6.0, 0.2, 10.0, "log"),
        "delay": Slider("One way (s)", 0.04, 0.005, 0.5, "log"),
        "interval": Slider("Short poll every (s)", 3.0, 0.5, 20.0, "log"),
        "outage": Slider("Server down for (s)", 0.0, 0.0, 30.0),
    }
    return Explorer("Which transport suits which chat?", controls, partial(_answer, ReusableFigure()))


class _Chat(Struct, frozen=True):
    """Settings of the chat, the same for all transports."""

    duration: float
    people: int
    rate: float
    delay: float
    outage: float


@lru_cache(8)
def _run(name: str, chat: _Chat, interval: float = 0.0) -> Run:
    """Simulate a transport; cached, since the short-polling interval doesn't affect the others."""
    transport = ShortPollingSettings(interval=interval) if interval else HELD[name]
    scenario = Scenario(
        duration=chat.duration,
        people=PeopleConfig(count=chat.people, send_rate=chat.rate / 60),
        network=NetworkConfig(latency=chat.delay),
        transport=transport,
        faults=(ServerDown(at=DOWN_AT, duration=chat.outage),) if chat.outage else (),
    )
    return run(scenario, sample=0)


def _median(result: Run) -> float:
    median = result.metrics["latency_p50"]
    return inf if median is None else median


def _answer(
    reusable: ReusableFigure, people: float, rate: float, delay: float, interval: float, outage: float
) -> Answer:
    longest = min(LONGEST, MOST_POLLS * interval / people)
    duration = min(max(60.0 * MESSAGES / (rate * people), SHORTEST, 2 * interval), longest)
    if outage:
        duration += outage + RECOVERY
    chat = _Chat(duration=duration, people=round(people), rate=rate, delay=delay, outage=outage)
    runs = {TITLES[name]: _run(name, chat) for name in HELD} | {
        TITLES["short_polling"]: _run("short_polling", chat, interval)
    }
    axes = plot_transports(runs, axes=reusable.row(3, **layout(runs)))
    lost = sum(result.metrics["lost"] or 0 for result in runs.values())
    latency = {name: _median(result) for name, result in runs.items()}
    cheapest = min(runs, key=lambda name: runs[name].metrics["requests"] or 0)
    quickest = min(latency, key=lambda name: latency[name])
    return Answer(
        figure_of(axes[0]),
        f"{people:.0f} people who send {rate:.3g} a minute each, for {duration:.0f} s: "
        + (
            f"{quickest} is quickest with a median of {latency[quickest]:.3g} s"
            if latency[quickest] < inf
            else f"{quickest} shows too few messages for a median"
        )
        + (" and" if cheapest == quickest else f", {cheapest}")
        + " makes the fewest requests; "
        + ("1 message was lost" if lost == 1 else f"{lost or 'no'} messages were lost")
        + (f", though the server was down for {outage:.0f} s." if outage else "."),
    )
