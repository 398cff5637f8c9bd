"""A retry storm that outlasts its cause (a metastable failure): a published model, with chatlab's backoff.

Clients arrive at random, and each needs one answer. The more requests a server has, the longer each one
takes. A client retries after `TIMEOUT`, while the server still works on the earlier request:

    client ── request n ──▶ server, busy for 1 s + 10 ms for each request that it has
       ▲                                        │
       │ no answer to n within 3 s: sleeps      ▼
       └──────────── `next_delay`, request n + 1, unless that was the last ◀── answer n: good, if n is awaited

Source: M. Brooker, "simulator_example", `simple_collapse_sim`.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, log1p
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from chatlab.errors import SettingsError
from chatlab.settings import ReconnectConfig
from chatlab.sim.environment import LadderEnvironment
from chatlab.transports.backoff import Uniform, next_delay

if TYPE_CHECKING:
    import pandas as pd

Policy = Literal["no backoff", "backoff and jitter"]

DELAY = 0.1
"""Mean seconds of a one-way message, exponential."""
SERVICE, SLOPE = 1.0, 0.01
"""Seconds of service of a request, plus `SLOPE` for each request at the server, including itself."""
TIMEOUT, TRIES = 3.0, 3
"""Seconds that a client waits for an answer, and its maximum number of requests."""
RATE, PEAK = 40.0, 80.0
"""Arrivals of clients a second (Poisson), outside and within the `SPIKE`."""
SPIKE = (20.0, 25.0)
"""Beginning and end of the spike, in seconds."""
DURATION = 80.0
AFTER = (60.0, 75.0)
"""Beginning and end, in seconds, of the time in which the published goodput was measured."""

_CONFIG = ReconnectConfig(max_attempts=None, max_delay=1e9)
POLICIES: Mapping[Policy, ReconnectConfig] = MappingProxyType(
    {
        "no backoff": _CONFIG.replace(schedule=((0.0, 0.0),)),
        "backoff and jitter": _CONFIG.replace(base_delay=20.0, backoff_multiplier=2.0, jitter="full"),
    }
)
"""The settings of each compared policy."""

PUBLISHED: Mapping[Policy, float] = MappingProxyType({"no backoff": 8.3, "backoff and jitter": 39.9})
"""Goodput long after the spike, in answers a second: the mean of `PUBLISHED_RUNS` runs.

The mean without backoff is no run's rate, since a run recovers fully, or not at all.
"""
PUBLISHED_RUNS = 10
STUCK = RATE / 2
"""Goodput, in answers a second, below which a run counts as stuck."""


class Storm(Struct, frozen=True):
    """Counts of each second: arrivals of clients, requests, and good answers, those that a client still
    awaits."""

    clients: NDArray[np.int64]
    requests: NDArray[np.int64]
    good: NDArray[np.int64]

    def goodput(self, start: float = AFTER[0], end: float = AFTER[1]) -> float:
        """Return the good answers a second between two whole seconds."""
        return float(self.good[int(start) : int(end)].mean())


class _Simulation:
    """Clients and one server. All random numbers come from one stream, in the order of events."""

    def __init__(self, config: ReconnectConfig, uniform: Uniform) -> None:
        self.config = config
        self.uniform = uniform
        self.environment = LadderEnvironment()
        self.busy_with = 0
        seconds = ceil(DURATION)
        self.storm = Storm(*(np.zeros(seconds, dtype=np.int64) for _ in Storm.__struct_fields__))

    def exponential(self, mean: float) -> float:
        return -mean * log1p(-self.uniform())

    def count(self, what: NDArray[np.int64]) -> None:
        what[int(self.environment.now)] += 1

    def arrive(self) -> None:
        """Add a client, and schedule the next arrival."""
        self.count(self.storm.clients)
        _Client(self).ask()
        begin, end = SPIKE
        rate = PEAK if begin <= self.environment.now <= end else RATE
        self.environment.call_later(self.exponential(1 / rate), self.arrive)

    def serve(self, request: tuple[_Client, int]) -> None:
        """Begin to serve a request."""
        self.busy_with += 1
        self.environment.call_later(SERVICE + SLOPE * self.busy_with, self.finish, request)

    def finish(self, request: tuple[_Client, int]) -> None:
        """Finish a request, and send the answer."""
        self.busy_with -= 1
        client, number = request
        self.environment.call_later(self.exponential(DELAY), client.on_answer, number)


class _Client:
    """One client, which waits for the answer to its latest request."""

    def __init__(self, sim: _Simulation) -> None:
        self._sim = sim
        self._awaited = 0

    def ask(self) -> None:
        sim = self._sim
        sim.count(sim.storm.requests)
        sim.environment.call_later(TIMEOUT, self.give_up, self._awaited)
        sim.environment.call_later(sim.exponential(DELAY), sim.serve, (self, self._awaited))

    def give_up(self, number: int) -> None:
        if number != self._awaited:
            return
        self._awaited += 1
        if self._awaited < TRIES:
            sim = self._sim
            delay = next_delay(sim.config, number, sim.config.base_delay, sim.uniform())
            sim.environment.call_later(delay, self.ask)

    def on_answer(self, number: int) -> None:
        if number == self._awaited:
            self._awaited = TRIES
            self._sim.count(self._sim.storm.good)


def collapse(policy: Policy, seed: int = 0) -> Storm:
    """Simulate the storm; return the counts of each second.

    Errors: `SettingsError` if there is no such policy.
    """
    if policy not in POLICIES:
        raise SettingsError(f"policy: choose one of {', '.join(POLICIES)}, got {policy!r}")
    sim = _Simulation(POLICIES[policy], np.random.Generator(np.random.Philox(seed)).random)
    sim.environment.call_at(0.0, sim.arrive)
    sim.environment.run(until=DURATION)
    return sim.storm


def compare_policies(*, repetitions: int = 20, seed: int = 0) -> pd.DataFrame:
    """Return the means of `repetitions` storms with each policy beside the published ones.

    Columns: policy, `goodput` in answers a second and its standard error `goodput_se`, `stuck`, the share of
    runs that never recovered, and `published`.
    """
    import pandas as pd

    rows = []
    for policy in POLICIES:
        found = np.array([collapse(policy, seed + number).goodput() for number in range(repetitions)])
        rows.append(
            {
                "policy": policy,
                "goodput": found.mean(),
                "goodput_se": found.std(ddof=1) / np.sqrt(len(found)) if len(found) > 1 else np.nan,
                "stuck": (found < STUCK).mean(),
                "published": PUBLISHED[policy],
            }
        )
    return pd.DataFrame(rows)
