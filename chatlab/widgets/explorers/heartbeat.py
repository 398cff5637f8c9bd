"""Explorer: how soon is a dead connection noticed, and does a proxy cut an idle one first?"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial

from chatlab.experiment.scenario import Scenario
from chatlab.experiment.spans import StatusSpan
from chatlab.experiment.worlds.runner import run
from chatlab.messages import ConnectionStatus
from chatlab.plots.detection import plot_alarms, plot_detection
from chatlab.plots.reusable_figure import ReusableFigure
from chatlab.plots.style import INK, TITLE, figure_of
from chatlab.plots.timeline import plot_statuses
from chatlab.settings import HeartbeatConfig, ReconnectConfig
from chatlab.sim.faults import HalfOpen, IdleTimeout
from chatlab.sim.people import PeopleConfig
from chatlab.sim.transport_settings import WebSocketSettings
from chatlab.studies.closed_forms import detection_span, late_pong_share
from chatlab.studies.late_pongs import pong_delays
from chatlab.widgets.explorers.explorer import Answer, Explorer
from chatlab.widgets.slider import Slider

PEOPLE = 100
QUIET = 300.0
"""Simulated seconds of an idle connection behind the proxy."""
YEAR = 365.25 * 86_400
SELDOM = 1e9 * YEAR
"""Seconds between two false alarms from which on their number tells nothing."""
NEVER = 86_400.0
"""Seconds before a retry that no run is to see."""
DELAY = 0.04
"""One-way delay of the network, in seconds."""

_pongs = lru_cache(4)(partial(pong_delays, beats=1_000, delay=DELAY))
"""Cached, since only the loss changes them."""


def explore_heartbeat() -> Explorer:
    """Return an explorer of heartbeats: silent connections, proxies' idle timeouts, and false alarms."""
    controls = {
        "interval": Slider("Heartbeat every (s)", 30.0, 1.0, 120.0),
        "timeout": Slider("Pong within (s)", 10.0, 1.0, 60.0),
        "idle": Slider("Proxy cuts after (s)", 60.0, 5.0, 120.0),
        "loss": Slider("Lost on each way (%)", 1.0, 0.0, 20.0),
    }
    return Explorer(
        "How soon is a dead connection noticed, and does a proxy cut an idle one first?",
        controls,
        partial(_answer, ReusableFigure()),
    )


def _answer(reusable: ReusableFigure, interval: float, timeout: float, idle: float, loss: float) -> Answer:
    heartbeat = HeartbeatConfig(interval=interval, timeout=timeout)
    lanes = {"pings": _proxied(heartbeat, idle), "no pings": _proxied(HeartbeatConfig(enabled=False), idle)}
    left, middle, right = reusable.row(3, width=76.0, left=15.0, right=4.0, bottom=18.0)
    soonest, latest = detection_span(interval, timeout)
    plot_detection(_noticed(heartbeat), interval, timeout, ax=left)
    pongs = _pongs(loss / 100)
    plot_alarms(soonest, loss / 100, delay=DELAY, pongs=pongs, ax=middle)
    plot_statuses(lanes, ax=right)
    title = f"Idle behind a proxy ({idle:.3g} s)"
    right.set_title(title, loc="left", y=1.0, fontsize=TITLE, fontweight="bold", color=INK, pad=13)
    cuts = sum(span.status is ConnectionStatus.RECONNECTING for span in lanes["pings"])
    minutes = f"{QUIET / 60:.0f} minutes"
    return Answer(
        figure_of(left),
        f"A connection that goes silent is noticed after {soonest:.3g} to {latest:.3g} s. "
        f"A proxy with an idle timeout of {idle:.3g} s "
        + (f"cuts an idle connection {cuts} times in {minutes}" if cuts else "never cuts it")
        + f", as a heartbeat passes every {interval:.3g} s. "
        + _alarms(pongs, interval, soonest, loss),
    )


def _alarms(pongs: Sequence[float], interval: float, wait: float, loss: float) -> str:
    """Say how often a healthy connection is taken for dead if a pong may take `wait` seconds."""
    if not loss:
        return "Nothing is lost, so there are no false alarms."
    late = sum(seconds > wait for seconds in pongs)
    lost = f"With {loss:.2g} % lost on each way, {{}} of {len(pongs):,} simulated pongs {{}}: "
    alarm = "a healthy connection is taken for dead"
    if late:
        return (
            lost.format(late, "come too late") + f"{alarm} about every {_span(interval * len(pongs) / late)}."
        )
    least = interval / late_pong_share(wait, loss / 100, DELAY)
    often = f"about every {_span(least)}" if least < SELDOM else "less than once in a billion years"
    return lost.format("the latest", f"takes {max(pongs):.2g} s") + f"by the closed form, {alarm} {often}."


@lru_cache(4)
def _proxied(heartbeat: HeartbeatConfig, idle: float) -> Sequence[StatusSpan]:
    """Simulate one person who sends nothing, behind a proxy with an idle timeout in seconds."""
    fault = IdleTimeout(at=0.0, duration=QUIET, timeout=idle)
    reconnect = ReconnectConfig(max_attempts=None, stable_after=1.0)
    transport = WebSocketSettings(heartbeat=heartbeat, reconnect=reconnect)
    result = run(Scenario(duration=QUIET, transport=transport, faults=(fault,)), sample=1)
    return result.statuses(result.people[0])


@lru_cache(4)
def _noticed(heartbeat: HeartbeatConfig) -> Sequence[float]:
    """Simulate people whose connections go silent at once; return the seconds until each notices."""
    interval, latest = heartbeat.interval, detection_span(heartbeat.interval, heartbeat.timeout)[1]
    silent_at = interval + 1
    never_again = ReconnectConfig(base_delay=NEVER, max_delay=NEVER)
    scenario = Scenario(
        duration=silent_at + latest + 1,
        people=PeopleConfig(count=PEOPLE, arrive_over=interval),
        transport=WebSocketSettings(heartbeat=heartbeat, reconnect=never_again),
        faults=(HalfOpen(at=silent_at),),
    )
    result = run(scenario, sample=PEOPLE)
    return [
        next(span.start for span in result.statuses(person) if span.status is ConnectionStatus.RECONNECTING)
        - silent_at
        for person in result.people
    ]


def _span(seconds: float) -> str:
    """Return a duration in words, with three digits."""
    for size, name in ((YEAR, "years"), (86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * size:
            count = float(f"{seconds / size:.3g}")
            return f"{count:,.0f} {name}" if count >= 100 else f"{count:g} {name}"
    return f"{seconds:.3g} s"
