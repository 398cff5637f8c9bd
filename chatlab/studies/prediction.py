"""The model's prediction of one person's connection. It is fast enough to be redrawn beside the live
timeline."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from operator import attrgetter
from statistics import median
from typing import Literal, NamedTuple, cast

from chatlab.dialects import find_dialect
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.settings import AnyConfig, FallbackConfig, TransportConfig, WebSocketConfig
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.faults import AnyFault, Fault
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.people import PeopleConfig, ScriptEntry
from chatlab.sim.transport_settings import AnyTransport, settings_of

FEW = 5
"""Number of round trips below which the shortest counts, since the first ones may include loading code."""
WINDOW = 21
"""Number of the latest round trips in the median."""
TOLERANCE = 0.1
"""Seconds within which a live attempt and a predicted one are the same."""
CHANGE = 0.2
"""Relative change of the latency above which a new prediction is made."""


class RoundTrips:
    """The latest round trips of a connection, measured by heartbeats or polls, in seconds."""

    def __init__(self, latency: float) -> None:
        self.latency = latency
        """One-way latency: half of the median round trip, or of the shortest of a few. Until one is measured
        it is the given value."""
        self._latest: deque[float] = deque(maxlen=WINDOW)

    def add(self, rtt: float | None) -> bool:
        """Add the last measured round trip; return whether `latency` has changed, by more than `CHANGE`."""
        if rtt is None or (self._latest and rtt == self._latest[-1]):
            return False
        self._latest.append(rtt)
        few = len(self._latest) < FEW
        latency = (min(self._latest) if few else median(self._latest)) / 2  # Work only adds to a round trip.
        if abs(latency - self.latency) <= CHANGE * self.latency:
            return False
        self.latency = latency
        return True


Action = Literal["connect", "disconnect"]


def predict(
    config: AnyConfig,
    faults: Sequence[Fault],
    horizon: float,
    *,
    latency: float = 0.02,
    seed: int = 0,
    actions: Sequence[tuple[float, Action]] = ((0.0, "connect"),),
    sends: Sequence[tuple[float, str]] = (),
    server: ServerConfig | None = None,
) -> Run:
    """Return a run of one person, named by the config's `sender`, at a server with these faults.

    `actions` are pairs of time and action, and `sends` pairs of time and text. The run ends at `horizon`;
    faults, actions and sends from then on are left out. `latency` is one-way. All times are in seconds.

    Errors: `SettingsError` when a time is out of range.
    """
    person = config.sender
    script = [
        *(ScriptEntry(at=at, person=person, action=action) for at, action in actions if at < horizon),
        *(ScriptEntry(at=at, person=person, text=text) for at, text in sends if at < horizon),
    ]
    scenario = Scenario(
        name="prediction",
        duration=horizon,
        seed=seed,
        people=PeopleConfig(script=tuple(sorted(script, key=attrgetter("at")))),
        server=server or ServerConfig(),
        transport=_for_model(config),
        network=NetworkConfig(latency=latency),
        faults=tuple(cast(AnyFault, fault) for fault in faults if fault.at < horizon),
    )
    return run(scenario, sample=1)


class Agreement(NamedTuple):
    """The number of `attempts`, live or predicted, and of those that are in both within `tolerance` s."""

    agreeing: int
    attempts: int
    tolerance: float

    def __str__(self) -> str:
        return f"{self.agreeing} of {self.attempts} attempts within {self.tolerance:g} s"


def agreement(
    live: Sequence[float], predicted: Sequence[float], now: float, tolerance: float = TOLERANCE
) -> Agreement:
    """Return how well the predicted times of attempts agree with the live ones, until `now`.

    Each attempt has one partner at most. An attempt that may still get one isn't counted. Times are in
    seconds, in order.
    """
    settled = now - tolerance
    mine = [at for at in live if at <= now]
    theirs = [at for at in predicted if at <= now + tolerance]
    agreeing = alone = first = 0
    for at in mine:
        while first < len(theirs) and theirs[first] < at - tolerance:
            alone, first = alone + 1, first + 1
        if first < len(theirs) and theirs[first] <= at + tolerance:
            agreeing, first = agreeing + 1, first + 1
        elif at <= settled:
            alone += 1
    alone += sum(at <= settled for at in theirs[first:])
    return Agreement(agreeing, agreeing + alone, tolerance)


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
