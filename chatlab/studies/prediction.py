"""The model's prediction of one person's connection. It is fast enough to be redrawn beside the live
timeline."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from statistics import median

from chatlab.dialects import find_dialect
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.settings import AnyConfig, FallbackConfig, TransportConfig, WebSocketConfig
from chatlab.sim.faults import ServerDown
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.people import PeopleConfig, ScriptEntry
from chatlab.sim.transport_settings import AnyTransport, settings_of

WINDOW = 21
"""Number of the latest round trips in the median."""
CHANGE = 0.2
"""Relative change of the latency above which a new prediction is made."""


class RoundTrips:
    """The latest round trips of a connection, measured by heartbeats or polls, in seconds."""

    def __init__(self, latency: float) -> None:
        self.latency = latency
        """One-way latency: half of the median round trip, or the given value until one is measured."""
        self._latest: deque[float] = deque(maxlen=WINDOW)

    def add(self, rtt: float | None) -> bool:
        """Add the last measured round trip; return whether `latency` has changed, by more than `CHANGE`."""
        if rtt is None or (self._latest and rtt == self._latest[-1]):
            return False
        self._latest.append(rtt)
        latency = median(self._latest) / 2
        if abs(latency - self.latency) <= CHANGE * self.latency:
            return False
        self.latency = latency
        return True


def predict(
    config: AnyConfig,
    outages: Sequence[tuple[float, float | None]],
    horizon: float,
    *,
    latency: float = 0.02,
    seed: int = 0,
    sends: Sequence[tuple[float, str]] = (),
) -> Run:
    """Return a run of one person, named by the config's `sender`, who connects at 0.

    `outages` are pairs of beginning and end (None: not over yet), and `sends` pairs of time and text. The
    run ends at `horizon`; outages and sends from then on are left out. Times are seconds since the person
    asked to connect. `latency` is one-way.

    Errors: `SettingsError` when a time is out of range.
    """
    person = config.sender
    script = [ScriptEntry(at=0.0, person=person, action="connect")]
    script += [ScriptEntry(at=at, person=person, text=text) for at, text in sends if at < horizon]
    faults = [
        ServerDown(at=start, duration=(horizon if end is None else end) - start)
        for start, end in outages
        if start < horizon
    ]
    scenario = Scenario(
        name="prediction",
        duration=horizon,
        seed=seed,
        people=PeopleConfig(script=tuple(script)),
        transport=_for_model(config),
        network=NetworkConfig(latency=latency),
        faults=tuple(faults),
    )
    return run(scenario, sample=1)


def _for_model(config: AnyConfig) -> AnyTransport:
    """Return the settings with the dialect of the model's server, but the heartbeat mode of their own
    dialect."""
    if isinstance(config, FallbackConfig):
        return settings_of(config.replace(transports=tuple(map(_in_chatlab, config.transports))))
    return settings_of(_in_chatlab(config))


def _in_chatlab(config: TransportConfig) -> TransportConfig:
    if isinstance(config, WebSocketConfig):
        heartbeat = config.heartbeat
        mode = heartbeat.mode or find_dialect(config.dialect).heartbeat
        config = config.replace(heartbeat=heartbeat.replace(mode=mode))
    return config.replace(dialect="chatlab")
