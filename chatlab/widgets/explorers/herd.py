"""Explorer: everybody loses the server at once. Do they all come back, and when?"""

from __future__ import annotations

import threading
from functools import lru_cache, partial
from typing import Any

import ipywidgets as widgets

from chatlab.errors import SettingsError
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.live.loggers import get_logger
from chatlab.plots.curves import plot_queue, plot_rates
from chatlab.plots.herd import plot_refused, plot_returns
from chatlab.plots.reusable_figure import ReusableFigure
from chatlab.plots.style import figure_of, new_row
from chatlab.presets import PRESETS
from chatlab.settings import HeartbeatConfig
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.faults import ServerDown
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.people import PeopleConfig
from chatlab.sim.transport_settings import WebSocketSettings
from chatlab.studies.backoff_delays import herd_returns
from chatlab.widgets.explorers.explorer import Answer, Explorer, choices
from chatlab.widgets.slider import Slider

_log = get_logger(__name__)

ARRIVING, CALM = 30.0, 10.0
"""Seconds in which everybody arrives, and from then until the server goes down."""
AFTER = 180.0
"""Simulated seconds after the server's return."""
FORMULA_PEOPLE = 20_000
"""Maximum number of people for which the formulas are evaluated; more wouldn't change the plot."""

_returns = lru_cache(16)(herd_returns)
"""Cached, since the server's sliders don't change them."""


class Stopped(Exception):
    """A person stopped the simulation."""


class HerdExplorer(Explorer):
    """Plots the backoff formulas at once, and simulates clients, network and accept queue on demand.

    The server refuses the clients for whom its queue has no room.
    """

    def __init__(self) -> None:
        controls = {
            "systems": choices("Systems", list(PRESETS), ["seed", "full jitter"]),
            "people": Slider("People", 10_000, 1_000, 100_000, "log"),
            "outage": Slider("Server down for (s)", 20.0, 1.0, 120.0),
            "rate": Slider("It accepts (per second)", 500.0, 50.0, 5_000.0, "log"),
            "backlog": Slider("Accept queue holds", 500.0, 10.0, 5_000.0, "log"),
        }
        self.simulate_button = widgets.Button(
            description="Simulate the first system",
            button_style="primary",
            layout={"width": "auto", "flex": "0 0 auto"},
        )
        self.stop_button = widgets.Button(description="Stop", disabled=True)
        self.progress = widgets.FloatProgress(min=0.0, max=1.0, description="", layout={"width": "16em"})
        self._stopping = threading.Event()
        self._simulation: threading.Thread | None = None
        self.simulate_button.on_click(lambda _: self.simulate())
        self.stop_button.on_click(lambda _: self.stop())
        buttons = widgets.HBox(
            [self.simulate_button, self.stop_button, self.progress],
            layout=widgets.Layout(flex_flow="row wrap"),
        )
        super().__init__(
            "Everybody loses the server at once. Do they all come back, and when?",
            controls,
            partial(_formulas, ReusableFigure()),
            buttons,
        )

    def simulate(self) -> None:
        """Simulate the first chosen system in the background, unless a simulation runs."""
        if self.simulate_button.disabled:
            return
        self.simulate_button.disabled, self.stop_button.disabled = True, False
        self._stopping.clear()
        self.picture.busy = True
        scenario = partial(_scenario, **self.values)
        self._simulation = threading.Thread(
            target=self._context.copy().run,
            args=(self._simulate, scenario),
            name="chatlab-herd",
            daemon=True,
        )
        self._simulation.start()

    def stop(self) -> None:
        """Stop a running simulation and discard it."""
        self._stopping.set()

    def close(self) -> None:
        """Stop a running simulation, and remove the explorer from the page."""
        self.stop()
        super().close()

    def _simulate(self, scenario: Any) -> None:
        try:
            made: Scenario = scenario()
            self.show(_simulated(run(made, sample=0, watch=partial(self._watch, made.duration))))
        except Stopped:
            self.say("The simulation was stopped.")
        except SettingsError as error:
            self.say(f"These settings can't be used: {error}")
        except Exception as error:
            _log.exception("a herd couldn't be simulated")
            self.say(f"This couldn't be simulated: {type(error).__name__}: {error}")
        finally:
            self.progress.value = 0.0
            self.simulate_button.disabled, self.stop_button.disabled = False, True

    def _watch(self, duration: float, now: float) -> None:
        if self._stopping.is_set():
            raise Stopped
        self.progress.value = now / duration


def explore_herd() -> HerdExplorer:
    """Return an explorer of thundering herds, with 1,000 to 100,000 people."""
    return HerdExplorer()


def _formulas(
    reusable: ReusableFigure,
    systems: tuple[str, ...],
    people: float,
    outage: float,
    rate: float,
    backlog: float,
) -> Answer:
    if not systems:
        raise SettingsError("Systems: choose one or more")
    counted = min(round(people), FORMULA_PEOPLE)
    herds = {name: _returns(PRESETS[name].reconnect, counted, outage) for name in systems}
    refused = {name: herd.refused(rate, backlog, round(people)) for name, herd in herds.items()}
    left, right = reusable.row(2, left=24.0, height=26.0 + 9.0 * len(herds))
    plot_returns(herds, ax=left)
    plot_refused(refused, ax=right)
    shares = {name: herd.busiest() for name, herd in herds.items()}
    tightest = max(shares, key=shares.__getitem__)
    peak = 10 * people * shares[tightest]
    return Answer(
        figure_of(left),
        f"By the formula alone, {people:,.0f} people with {tightest} make up to {peak:,.0f} attempts a "
        f"second. The server accepts {rate:,.0f}, so the last is back after {people / rate:,.0f} s at the "
        f"earliest, and {100 * refused[tightest]:.2g} % are refused at first. Simulate to see them retry.",
    )


def _scenario(
    systems: tuple[str, ...], people: float, outage: float, rate: float, backlog: float
) -> Scenario:
    if not systems:
        raise SettingsError("Systems: choose one or more")
    count, lost_at = round(people), ARRIVING + CALM + people / rate
    return Scenario(
        name=systems[0],
        duration=lost_at + outage + AFTER + people / rate,
        people=PeopleConfig(count=count, rooms=max(1, count // 10), arrive_over=ARRIVING + people / rate),
        transport=WebSocketSettings(
            reconnect=PRESETS[systems[0]].reconnect, heartbeat=HeartbeatConfig(enabled=False)
        ),
        network=NetworkConfig(latency=0.02),
        server=ServerConfig(accept_rate=rate, backlog=round(backlog), overflow="refuse"),
        faults=(ServerDown(at=lost_at, duration=outage),),
    )


def _simulated(result: Run) -> Answer:
    left, right = new_row(2, left=16.0)
    plot_rates({"attempts": result}, of=("attempts",), ax=left)
    plot_queue(result, ax=right)
    metrics, people = result.metrics, result.scenario.people.count
    fault = result.scenario.faults[0]
    connected = result.series["connected"]
    back = [
        second for second in range(int(fault.end_at), len(connected)) if connected[second] >= 0.99 * people
    ]
    missing = people - connected[-1]
    return Answer(
        figure_of(left),
        f"{people:,} people with {result.scenario.name}: "
        f"{(metrics['attempts'] or 0) / people - 1:.3g} attempts each to come back, "
        f"at most {metrics['attempts_per_second_max_after']:,.0f} in one second; "
        + (f"99 % are back {back[0] - fault.end_at:.0f} s after the server" if back else "")
        + (", and " if back and missing else "")
        + (f"{missing:,} are not back at the end." if missing or not back else "."),
    )
