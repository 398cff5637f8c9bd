"""Published figures of reconnecting herds, and the scenarios in which the real machines reproduce them.

The figures come from simulations of the formulas alone, without machines and connections. So these scenarios
have no latency, no messages, and no heartbeats.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from msgspec import Struct

from chatlab.experiment.percentiles import Value, percentile
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.presets import PRESETS
from chatlab.settings import HeartbeatConfig, ReconnectConfig
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.faults import ConnectionReset, ServerDown
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.people import PeopleConfig
from chatlab.sim.transport_settings import WebSocketSettings
from chatlab.transports.machine import Notify

LOST_AT, OUTAGE = 10.0, 60.0
"""Seconds at which the server of `outage` goes down, and for which it is down."""
BIN = 0.1
"""Width in seconds of the bins in which returns are counted."""


class Return(Struct, frozen=True):
    """The return of a herd after an outage.

    `busiest` is the largest share of the people, 0 to 1, that returned within 0.1 s. `median` and `p99` are
    seconds after the server's return. `attempts` is the mean for each person.
    """

    busiest: float
    median: float
    p99: float
    attempts: float


class Rush(Struct, frozen=True):
    """The return of a herd to a server with a low accept rate.

    `attempts` is the mean for each person, `gave_up` the share of the people, 0 to 1, and `last` the seconds
    until the last one was connected.
    """

    attempts: float
    gave_up: float
    last: float


_SEED = ReconnectConfig(max_attempts=None)

OUTAGES: Mapping[str, Return] = MappingProxyType(
    {
        "seed": Return(0.064, 2.55, 3.65, 6.0),
        "socket.io": Return(0.034, 2.25, 4.90, 14.1),
        "python-socketio": Return(0.042, 2.06, 4.93, 14.0),
        "websockets": Return(0.024, 27.5, 29.9, 7.0),
        "Centrifugo": Return(0.012, 5.9, 18.5, 10.6),
        "Ably": Return(0.017, 20.9, 27.1, 4.0),
        "Phoenix": Return(1.0, 4.3, 4.3, 21.0),
        "partysocket": Return(1.0, 7.1, 7.1, 10.0),
        "ActionCable": Return(0.017, 11.7, 15.4, 6.7),
        "full jitter": Return(0.008, 9.0, 27.2, 8.6),
    }
)
"""Returns of 10,000 people after an outage of 60 s, by preset. Nobody gives up."""

RUSHES: Mapping[str, Rush] = MappingProxyType(
    {
        "seed, 10 attempts": Rush(7.66, 0.35, 184.0),
        "seed, no limit": Rush(8.88, 0.0, 403.0),
        "proportional": Rush(6.56, 0.0, 162.0),
        "none": Rush(50.5, 0.0, 2881.0),
        "full": Rush(4.34, 0.0, 45.0),
        "equal": Rush(4.32, 0.0, 57.0),
        "decorrelated": Rush(3.37, 0.0, 49.0),
        "socket.io": Rush(4.42, 0.0, 38.0),
        "Centrifugo": Rush(4.98, 0.0, 36.0),
        "Phoenix": Rush(52.4, 0.0, 470.0),
    }
)
"""Returns of 50,000 people to a server that accepts 2,000 a second and queues 500, by policy."""

RUSH_POLICIES: Mapping[str, ReconnectConfig] = MappingProxyType(
    {
        "seed, 10 attempts": ReconnectConfig(),
        "seed, no limit": _SEED,
        "proportional": _SEED.replace(jitter="proportional"),
        "none": _SEED.replace(jitter="none"),
        "full": _SEED.replace(jitter="full"),
        "equal": _SEED.replace(jitter="equal"),
        "decorrelated": _SEED.replace(jitter="decorrelated"),
        **{name: PRESETS[name].reconnect for name in ("socket.io", "Centrifugo", "Phoenix")},
    }
)
"""The settings of each policy of `RUSHES`."""


def outage(name: str, people: int = 10_000, seed: int = 0) -> Return:
    """Stop the server for a minute; return how people with a preset reconnect.

    Errors: `KeyError` for a name that isn't in `OUTAGES`; `SettingsError` as for `Scenario`.
    """
    reconnect = PRESETS[name].reconnect.replace(max_attempts=None)
    scenario = _herd(
        reconnect,
        people,
        seed,
        duration=LOST_AT + 2.5 * OUTAGE,
        faults=(ServerDown(at=LOST_AT, duration=OUTAGE),),
    )
    result = run(scenario, sample=people)
    returns = _returns(result) - (LOST_AT + OUTAGE)
    bins, counts = np.unique(np.floor(returns / BIN + 1e-9), return_counts=True)
    busiest = counts[np.isfinite(bins)].max(initial=0) / people
    return Return(
        float(busiest),
        percentile(returns, 50),
        percentile(returns, 99),
        _number(result.metrics["attempts"]) / people - 1,
    )


def rush(name: str, people: int = 1_000, seed: int = 0) -> Rush:
    """Reset all connections to a server that accepts 4 % of the people a second, and queues 1 %.

    It refuses the others.

    Errors: `KeyError` for a name that isn't in `RUSHES`; `SettingsError` as for `Scenario`.
    """
    lost_at = 60  # Long after all have connected, at a rate that the server can accept.
    scenario = _herd(
        RUSH_POLICIES[name],
        people,
        seed,
        arrive_over=40.0,
        duration=lost_at + 1.25 * RUSHES[name].last + 30.0,
        server=ServerConfig(accept_rate=0.04 * people, backlog=max(1, people // 100), overflow="refuse"),
        faults=(ConnectionReset(at=lost_at),),
    )
    series = run(scenario, sample=0).series
    connected = np.array(series["connected"])[lost_at:]
    return Rush(
        sum(series["attempts"][lost_at:]) / people,
        1 - float(connected[-1]) / people,
        float(np.argmax(connected == connected[-1])),
    )


def _herd(
    reconnect: ReconnectConfig, people: int, seed: int, *, arrive_over: float = 0.0, **more: Any
) -> Scenario:
    return Scenario(
        seed=seed,
        people=PeopleConfig(count=people, rooms=max(1, people // 10), arrive_over=arrive_over),
        transport=WebSocketSettings(reconnect=reconnect, heartbeat=HeartbeatConfig(enabled=False)),
        network=NetworkConfig(latency=0.0),
        **more,
    )


def _returns(result: Run) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the sorted times since which people are connected at the end of the run; inf: they aren't."""
    last = {
        step.person: step.at if effect.change.status == "connected" else np.inf
        for step in result.steps()
        for effect in step.effects
        if isinstance(effect, Notify)
    }
    return np.sort(list(last.values()))


def _number(value: Value) -> float:
    return float(value or 0)
