"""The model's prediction of one person's connection. It is fast enough to be redrawn beside the live
timeline."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple, cast

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
from chatlab.studies.live_record import Action

TOLERANCE = 0.1
"""Seconds within which a live attempt and a predicted one are the same."""


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
    """Return a run of one person, with the arguments of `scenario_for`.

    Errors: `SettingsError` when a time is out of range.
    """
    scenario = scenario_for(
        config, faults, horizon, latency=latency, seed=seed, actions=actions, sends=sends, server=server
    )
    return run(scenario, sample=1)


def scenario_for(
    config: AnyConfig,
    faults: Sequence[Fault],
    horizon: float,
    *,
    latency: float,
    seed: int,
    actions: Sequence[tuple[float, Action]],
    sends: Sequence[tuple[float, str]],
    server: ServerConfig | None,
) -> Scenario:
    """Return a scenario of one person, named by the config's `sender`, at a server with these faults.

    `actions` are pairs of time and action, and `sends` pairs of time and text. The run ends at `horizon`;
    faults, actions and sends from then on are left out. `latency` is one-way. All times are in seconds.

    Errors: `SettingsError` when a time is out of range, or scenarios have no such transport.
    """
    person = config.sender
    script = [
        *(ScriptEntry(at=at, person=person, action=action) for at, action in actions if at < horizon),
        *(ScriptEntry(at=at, person=person, text=text) for at, text in sends if at < horizon),
    ]
    return Scenario(
        name="prediction",
        duration=horizon,
        seed=seed,
        people=PeopleConfig(script=tuple(sorted(script, key=attrgetter("at")))),
        server=server or ServerConfig(),
        transport=_for_model(config),
        network=NetworkConfig(latency=latency),
        faults=tuple(cast(AnyFault, fault) for fault in faults if fault.at < horizon),
    )


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
