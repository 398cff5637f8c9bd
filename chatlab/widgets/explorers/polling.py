"""Explorer: what does low latency cost? Short and long polling compared with push."""

from __future__ import annotations

from functools import lru_cache, partial

from chatlab.plots.polling import plot_polling
from chatlab.plots.reusable_figure import ReusableFigure
from chatlab.plots.style import figure_of
from chatlab.sim.transport_settings import AnyTransport, LongPollingSettings, ShortPollingSettings
from chatlab.studies.closed_forms import long_poll_cost, short_poll_cost
from chatlab.studies.read_cost import read
from chatlab.widgets.explorers.explorer import Answer, Explorer
from chatlab.widgets.slider import Slider

MESSAGES, REQUESTS = 200, 600
"""Approximate number of messages to simulate, and maximum number of requests."""


def explore_polling() -> Explorer:
    """Return an explorer of polling: requests per message against latency."""
    controls = {
        "rate": Slider("Messages a second", 0.2, 0.01, 10.0, "log"),
        "interval": Slider("Short poll every (s)", 3.0, 0.1, 60.0, "log"),
        "hold": Slider("Long poll held (s)", 25.0, 1.0, 120.0, "log"),
        "delay": Slider("One way (s)", 0.04, 0.005, 0.5, "log"),
    }
    return Explorer("What does it cost to be quick?", controls, partial(_answer, ReusableFigure()))


def _answer(reusable: ReusableFigure, rate: float, interval: float, hold: float, delay: float) -> Answer:
    measured = {"short": _short(interval, rate, delay), "long": _long(hold, rate, delay)}
    ax = plot_polling(
        rate,
        interval=interval,
        hold=hold,
        delay=delay,
        measured={name: found for name, found in measured.items() if found is not None},
        ax=reusable.row(left=16.0)[0],
    )
    short, long = short_poll_cost(rate, interval, delay), long_poll_cost(rate, hold, delay)
    return Answer(
        figure_of(ax),
        f"At {rate:.3g} messages a second, polling every {interval:.3g} s shows a message after "
        f"{short.latency:.3g} s on average and makes {short.requests:.3g} requests for each; long polling "
        f"takes {long.latency:.3g} s and {long.requests:.3g} requests. Crosses: simulated.",
    )


@lru_cache(4)
def _short(interval: float, rate: float, delay: float) -> tuple[float, float] | None:
    return _measured(ShortPollingSettings(interval=interval), rate, delay, REQUESTS * interval)


@lru_cache(4)
def _long(hold: float, rate: float, delay: float) -> tuple[float, float] | None:
    transport = LongPollingSettings(hold=hold, timeout=hold + 5, min_gap=0.0)
    return _measured(transport, rate, delay, REQUESTS / (rate + 1 / hold))


def _measured(
    transport: AnyTransport, rate: float, delay: float, longest: float
) -> tuple[float, float] | None:
    """Simulate one reader; return the mean latency in seconds, and requests per message."""
    reading = read(transport, rate, min(MESSAGES / rate, longest), delay=delay)
    if not reading.latencies:
        return None
    return sum(reading.latencies) / len(reading.latencies), reading.requests / reading.messages
