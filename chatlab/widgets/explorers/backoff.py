"""Explorer: how long do clients wait, and do they come back as a herd?"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

from chatlab.plots.backoff import plot_backoff
from chatlab.plots.herd import plot_returns
from chatlab.plots.reusable_figure import ReusableFigure
from chatlab.plots.style import figure_of
from chatlab.presets import PRESETS
from chatlab.settings import JITTERS, ReconnectConfig
from chatlab.studies.backoff_delays import herd_returns
from chatlab.widgets.explorers.explorer import Answer, Explorer, choice, choices
from chatlab.widgets.slider import Slider

OWN = "yours"
MAX_DRAWN = 5
"""Maximum number of systems drawn beside the user's own; more are hard to tell apart."""
PEOPLE = 10_000
SAMPLES = 2_000

_returns = lru_cache(16)(herd_returns)
"""Cached, since a slider changes only one of the systems."""


def explore_backoff() -> Explorer:
    """Return an explorer of backoff formulas: the delay before each retry, and the resulting herd."""
    controls = {
        "systems": choices("Systems", list(PRESETS), ["seed", "full jitter", "socket.io"]),
        "jitter": choice("Your jitter", list(JITTERS), "proportional"),
        "base_delay": Slider("Your first delay (s)", 1.0, 0.25, 10.0, "log"),
        "max_delay": Slider("Your longest delay (s)", 30.0, 1.0, 120.0, "log"),
        "multiplier": Slider("Your multiplier", 2.0, 1.0, 4.0),
        "outage": Slider("Server down for (s)", 60.0, 1.0, 300.0),
    }
    return Explorer(
        "How long do clients wait, and do they come back as a herd?",
        controls,
        partial(_answer, ReusableFigure()),
    )


def _answer(
    reusable: ReusableFigure,
    systems: tuple[str, ...],
    jitter: Any,
    base_delay: float,
    max_delay: float,
    multiplier: float,
    outage: float,
) -> Answer:
    own = ReconnectConfig(
        base_delay=base_delay,
        max_delay=max_delay,
        backoff_multiplier=multiplier,
        jitter=jitter,
        max_attempts=None,
    )
    drawn = systems[:MAX_DRAWN]
    configs = {name: PRESETS[name].reconnect for name in drawn} | {OWN: own}
    herds = {name: _returns(config, PEOPLE, outage) for name, config in configs.items()}
    left, right = reusable.row(2, left=22.0)
    plot_backoff(configs, samples=SAMPLES, ax=left)
    plot_returns(herds, ax=right)
    shares = {name: herd.busiest() for name, herd in herds.items()}
    busiest = max(shares, key=shares.__getitem__)
    return Answer(
        figure_of(left),
        f"{PEOPLE:,} people lose the server for {outage:.0f} s. With your settings at most "
        f"{100 * shares[OWN]:.3g} % come back in the same tenth of a second; the tightest herd is "
        f"{busiest if busiest == OWN else f'that of {busiest}'}, with {100 * shares[busiest]:.3g} %."
        + (f" Of {len(systems)} systems, the first {MAX_DRAWN} are drawn." if drawn != systems else ""),
    )
